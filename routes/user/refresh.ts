/** POST /user/refresh: a refresh token for two new tokens. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { RefreshToken, TokenAnswer } from '../../schemas/tokens.ts'

const Body = Type.Object({ refresh_token: RefreshToken }, { additionalProperties: false })

const route: FastifyPluginAsyncTypebox = async (app) => {
  const sessions = sessionsOf(app)

  app.route({
    method: 'POST',
    url: '/refresh',
    config: { access: 'public', limit: 'none' },
    schema: {
      operationId: 'refresh',
      summary: 'Refresh the tokens',
      description:
        'Takes the `refresh_token` of the last answer that had one, and gives a new access token and the refresh token to use from now on. Within the grace it may be asked again.',
      tags: ['user'],
      body: Body,
      response: { 200: TokenAnswer, ...errors('body', 'INVALID_REFRESH_TOKEN', 'REFRESH_TOKEN_REUSED') },
    },
    handler: async (request, reply) => reply.code(200).send(await sessions.refresh(request.body.refresh_token)),
  })
}

export default route
