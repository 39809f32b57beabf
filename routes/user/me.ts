/** GET and PATCH /user/me: the person of the access token. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Parts } from '../../parts.ts'
import { sessionOf } from '../../plugins/access.ts'
import { dbOf } from '../../plugins/db/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { fail } from '../../schemas/errors.ts'
import { Username } from '../../schemas/identifiers.ts'
import { User, userOf } from '../../schemas/user.ts'

const Body = Type.Object({ username: Username }, { additionalProperties: false })

const route: FastifyPluginAsyncTypebox<Parts> = async (app, { now }) => {
  const db = dbOf(app)

  async function personOf(id: string): Promise<User> {
    const account = await db.users.byId(id)
    return !account || account.disabled ? fail('INVALID_TOKEN') : userOf(account)
  }

  app.route({
    method: 'GET',
    url: '/me',
    config: { access: 'token', limit: 'none' },
    schema: {
      operationId: 'me',
      summary: 'Who am I?',
      description: 'Shows the person of the access token.',
      tags: ['user'],
      response: { 200: User, ...errors('token') },
    },
    handler: async (request, reply) => reply.code(200).send(await personOf(sessionOf(request).userId)),
  })

  app.route({
    method: 'PATCH',
    url: '/me',
    config: { access: 'session', limit: 'none' },
    schema: {
      operationId: 'rename',
      summary: 'Change the username',
      description: 'Gives the person another username.',
      tags: ['user'],
      body: Body,
      response: { 200: User, ...errors('token', 'body', 'USERNAME_TAKEN') },
    },
    handler: async (request, reply) => {
      const { userId } = sessionOf(request)
      const taken = await db.users.rename(userId, request.body.username, now())
      return reply.code(200).send(taken ? fail(taken) : await personOf(userId))
    },
  })
}

export default route
