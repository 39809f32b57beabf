/**
 * The small app behind /docs: the OpenAPI document of the service's routes, and Swagger UI that shows it. A module of its
 * own, since it is loaded when somebody first asks for it.
 */
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyServerOptions, type RouteOptions } from 'fastify'
import { VERSION } from '../../version.ts'
import type { Access } from '../access.ts'
import { compilers } from '../body/compilers.ts'
import { mediaTypeOf } from '../body/index.ts'
import { finish, type OpenApi } from './document.ts'
import { theme } from './theme.ts'

const DESCRIPTION = `Passwords and tokens for the services behind one gateway.

Try it here: register, press **Authorize**, paste the \`access_token\` of the answer, and ask \`GET /user/me\`.

Every error has one shape; program against its \`code\`. Messages are for people, in English or Korean, as
\`Accept-Language\` asks. Every answer carries \`x-request-id\`, by which the log finds it.`

const TAGS = [
  { name: 'user', description: 'Register, log in, refresh, log out, and what a person may do with the own account' },
  { name: 'keys', description: 'What other services check access tokens with' },
  { name: 'gateways', description: 'What gateways ask about the requests that they let pass' },
  { name: 'services', description: 'What other services ask about tokens, with an id and a secret of SERVICE_CLIENTS' },
  { name: 'health', description: 'What an orchestrator asks' },
]

/** What the gate asks for, in the words of OpenAPI. */
const SECURITY: Record<Access, Record<string, string[]>[]> = {
  public: [],
  token: [{ bearer: [] }],
  session: [{ bearer: [] }],
  either: [{}, { bearer: [] }],
  service: [{ basic: [] }],
}

const document = {
  openapi: '3.1.0' as const,
  info: {
    title: 'Latchkey',
    version: VERSION,
    description: DESCRIPTION,
    license: { name: 'MIT', identifier: 'MIT' },
  },
  // Relative to the document itself: right behind any gateway, under any path.
  servers: [{ url: '..', description: 'where this page comes from' }],
  tags: TAGS,
  components: {
    securitySchemes: {
      bearer: { type: 'http' as const, scheme: 'bearer', bearerFormat: 'JWT' },
      basic: { type: 'http' as const, scheme: 'basic', description: 'The id and secret of a service' },
    },
  },
}

/** All from files of its own; Swagger UI's style sheets hold small images. No `upgrade-insecure-requests`: on a host without TLS the page's parts would be asked for by https. */
const POLICY = {
  'default-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'", 'data:'],
  'connect-src': ["'self'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
}

/** The page: the one document that a browser shows, so it alone gets a browser's whole set of headers. */
async function page(app: FastifyInstance): Promise<void> {
  // Asked for by `transform`, although none of them is shown.
  app.addHook('onRoute', (route) => {
    route.config = { access: 'public' }
  })
  // Strict-Transport-Security is for whoever speaks TLS: the gateway.
  await app.register(helmet, {
    contentSecurityPolicy: false,
    strictTransportSecurity: false,
    xFrameOptions: { action: 'deny' },
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // At /docs, without a slash, the page's parts are asked for beside it: right under any path of a gateway.
    indexPrefix: '.',
    staticCSP: POLICY,
    theme,
    uiConfig: {
      // Without the bar on top, which holds a style within the page and a field for other documents.
      layout: 'BaseLayout',
      tryItOutEnabled: true,
      docExpansion: 'list',
      defaultModelsExpandDepth: 0,
      displayRequestDuration: true,
    },
  })
}

/** What stands for each route of the service: no gate is here, so nothing is to be had here. */
const nobody = (_request: unknown, reply: FastifyReply) => reply.code(404).send()

/** The app, ready to be injected into. It holds the routes for their descriptions alone. */
export async function buildPages(routes: RouteOptions[]): Promise<FastifyInstance> {
  // Compilers that compile at the first use do nothing here.
  const app: FastifyInstance = Fastify({ schemaController: { compilersFactory: compilers } } as FastifyServerOptions)
  await app.register(swagger, {
    stripBasePath: false,
    openapi: document,
    transform: ({ schema, url, route }) => {
      // No route starts without it.
      const { access } = route.config as { access: Access }
      const consumes = [mediaTypeOf(route.config!)]
      return { schema: { ...schema, consumes, security: SECURITY[access] }, url }
    },
    transformObject: (made) => finish((made as { openapiObject: unknown }).openapiObject as OpenApi),
  })
  for (const { method, url, schema, config } of routes)
    app.route({ method, url, handler: nobody, ...(schema && { schema }), ...(config && { config }) })
  await app.register(page)
  await app.ready()
  return app
}
