/** The OpenAPI document at /docs/json and Swagger UI at /docs. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import type { Parts } from '../parts.ts'
import { VERSION } from '../version.ts'

export default fp<Parts>(
  async (app, { routes }) => {
    if (!routes) return
    await app.register(swagger, {
      stripBasePath: false,
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Latchkey',
          version: VERSION,
          description: 'Passwords and tokens for the services behind one gateway.',
        },
        // Relative to the document itself: right behind any gateway, under any path.
        servers: [{ url: '..' }],
        components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
      },
      transform: ({ schema, url, route }) => {
        const access = route.config?.access
        const security = access === 'public' ? [] : access === 'either' ? [{}, { bearer: [] }] : [{ bearer: [] }]
        return { schema: { ...schema, security }, url }
      },
    })
    await app.register(async (scope) => {
      scope.addHook('onRoute', (route) => {
        route.config = { ...route.config, access: 'public', limit: 'none' }
      })
      await scope.register(swaggerUi, {
        routePrefix: '/docs',
        staticCSP: true,
        // On a host without TLS the browser would ask for the page's parts by https and get none.
        transformStaticCSP: (policy) => policy.replace(' upgrade-insecure-requests;', ''),
      })
    })
  },
  // After access, so that its pages pass the gate too.
  { name: 'docs', dependencies: ['errors', 'access'] },
)
