/** POST /oauth/introspect: what a token is worth right now (RFC 7662). */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { introspectionOf } from '../../plugins/introspection.ts'
import { oauthErrors } from '../../schemas/error-responses.ts'
import { Introspection, TokenForm } from '../../schemas/introspection.ts'

const route: FastifyPluginAsyncTypebox = async (app) => {
  const { introspect } = introspectionOf(app)

  app.route({
    method: 'POST',
    url: '/introspect',
    config: { access: 'service', limit: 'none', bodyType: 'form' },
    schema: {
      operationId: 'introspect',
      summary: 'What is this token worth?',
      description:
        'Tells a service whether an access token or a refresh token is good right now, by its session and person in the database (RFC 7662). Of any other text it says `{"active":false}` and nothing more.',
      tags: ['services'],
      body: TokenForm,
      response: { 200: Introspection, ...oauthErrors('client', 'body') },
    },
    handler: async (request, reply) => reply.code(200).send(await introspect(request.body.token)),
  })
}

export default route
