/** POST /user/delete: deletes the account of the person who asks. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { sessionOf } from '../../plugins/access.ts'
import { credentialsOf } from '../../plugins/credentials.ts'
import { clientOf } from '../../plugins/headers.ts'
import { placeOf } from '../../plugins/passwords/index.ts'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { Password } from '../../schemas/password.ts'

const Body = Type.Object({ password: Password }, { additionalProperties: false })

const route: FastifyPluginAsyncTypebox = async (app) => {
  const credentials = credentialsOf(app)
  const sessions = sessionsOf(app)

  app.route({
    method: 'POST',
    url: '/delete',
    config: { access: 'session', limit: 'guesses', hashes: 1 },
    schema: {
      operationId: 'deleteAccount',
      summary: 'Delete the account',
      description: 'Deletes the account and ends its sessions. The e-mail address may be registered again.',
      tags: ['user'],
      body: Body,
      response: {
        204: Type.Null({ description: 'Deleted' }),
        ...errors('token', 'body', 'WRONG_PASSWORD', 'RATE_LIMITED', 'OVERLOADED'),
      },
    },
    handler: async (request, reply) => {
      const session = sessionOf(request)
      const asker = { ip: clientOf(request).ip, place: placeOf(request) }
      await credentials.asOneself(session, request.body.password, asker, (account) =>
        sessions.remove(account, session.id),
      )
      return reply.code(204).send(null)
    },
  })
}

export default route
