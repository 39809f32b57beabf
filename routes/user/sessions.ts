/** GET /user/sessions and DELETE /user/sessions/:id: where a person is logged in. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { sessionOf } from '../../plugins/access.ts'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { fail } from '../../schemas/errors.ts'
import { SessionView, viewOf } from '../../schemas/session.ts'

const List = Type.Object(
  { sessions: Type.Array(SessionView) },
  { title: 'SessionList', description: 'The sessions, the newest first' },
)
const Params = Type.Object({ id: Type.String({ description: 'The `id` of a session in the list' }) })

const route: FastifyPluginAsyncTypebox = async (app) => {
  const sessions = sessionsOf(app)

  app.route({
    method: 'GET',
    url: '/sessions',
    config: { access: 'session', limit: 'none' },
    schema: {
      operationId: 'sessions',
      summary: 'List the sessions',
      description: 'Shows where the person is logged in.',
      tags: ['user'],
      response: { 200: List, ...errors('token') },
    },
    handler: async (request, reply) => {
      const { id, userId } = sessionOf(request)
      const list = await sessions.list(userId)
      return reply.code(200).send({ sessions: list.map((session) => viewOf(session, id)) })
    },
  })

  app.route({
    method: 'DELETE',
    url: '/sessions/:id',
    config: { access: 'session', limit: 'none' },
    schema: {
      operationId: 'endSession',
      summary: 'End one session',
      description: 'Logs the person out there. The `id` is one of `GET /user/sessions`.',
      tags: ['user'],
      params: Params,
      response: { 204: Type.Null({ description: 'Ended' }), ...errors('token', 'SESSION_NOT_FOUND') },
    },
    handler: async (request, reply) => {
      const { userId } = sessionOf(request)
      const ended = await sessions.end({ userId, id: request.params.id }, 'local')
      return reply.code(204).send(ended ? null : fail('SESSION_NOT_FOUND'))
    },
  })
}

export default route
