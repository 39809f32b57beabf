/** POST /oauth/revoke: ends the session of a token (RFC 7009). */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { introspectionOf } from '../../plugins/introspection.ts'
import { oauthErrors } from '../../schemas/error-responses.ts'
import { TokenForm } from '../../schemas/introspection.ts'

/** No body at all: a null would be sent as one. */
const Nothing = Type.Unsafe<undefined>({ type: 'null', description: 'The token is not good any more' })

const route: FastifyPluginAsyncTypebox = async (app) => {
  const { revoke } = introspectionOf(app)

  app.route({
    method: 'POST',
    url: '/revoke',
    config: { access: 'service', limit: 'none', bodyType: 'form' },
    schema: {
      operationId: 'revoke',
      summary: 'End the session of a token',
      description:
        'Ends the session of a good access token, or of a refresh token of a session that lives, as a log-out does (RFC 7009). Any other text is a success too.',
      tags: ['services'],
      body: TokenForm,
      response: { 200: Nothing, ...oauthErrors('client', 'body') },
    },
    handler: async (request, reply) => {
      await revoke(request.body.token)
      return reply.code(200).send()
    },
  })
}

export default route
