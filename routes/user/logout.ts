/** DELETE and POST /user/logout: ends this session, the others, or all of a person. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { sessionOf } from '../../plugins/access.ts'
import { type Scope, sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { fail } from '../../schemas/errors.ts'
import { RefreshToken, Success } from '../../schemas/tokens.ts'

const Query = Type.Object({
  scope: Type.Optional(
    Type.Unsafe<Scope>({
      type: 'string',
      enum: ['local', 'others', 'global'],
      description: '`local`: this session, the default; `others`: all but this one; `global`: all',
    }),
  ),
})
const Body = Type.Object(
  { refresh_token: Type.Optional(RefreshToken) },
  { additionalProperties: false, examples: [{}] },
)

const route: FastifyPluginAsyncTypebox = async (app) => {
  const sessions = sessionsOf(app)

  app.route({
    method: 'DELETE',
    url: '/logout',
    config: { access: 'session', limit: 'none' },
    schema: {
      operationId: 'logout',
      summary: 'Log out',
      description: 'Ends the session of the access token: it is refused from now on.',
      tags: ['user'],
      querystring: Query,
      response: { 200: Success, ...errors('token', 'VALIDATION_FAILED') },
    },
    handler: async (request, reply) => {
      await sessions.end(sessionOf(request), request.query.scope ?? 'local')
      return reply.code(200).send({ result: 'success' })
    },
  })

  app.route({
    method: 'POST',
    url: '/logout',
    config: { access: 'either', limit: 'none', bodyOptional: true },
    schema: {
      operationId: 'logoutByPost',
      summary: 'Log out, with the access token or the refresh token',
      description: 'Takes an access token and an empty body, or a `refresh_token` in the body and no Authorization.',
      tags: ['user'],
      querystring: Query,
      body: Body,
      response: { 200: Success, ...errors('token', 'body') },
    },
    // No body is as good as an empty one; with an access token none is taken (plugins/body.ts).
    preValidation: async (request) => {
      if (request.body === undefined) request.body = {}
    },
    handler: async (request, reply) => {
      const { refresh_token } = request.body
      const scope = request.query.scope ?? 'local'
      if (request.session) await sessions.end(sessionOf(request), scope)
      else {
        const session = await sessions.ofRefreshToken(refresh_token ?? fail('UNAUTHENTICATED'))
        if (session) await sessions.end(session, scope)
      }
      return reply.code(200).send({ result: 'success' })
    },
  })
}

export default route
