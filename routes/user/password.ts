/** PUT /user/password: a new password. Every older session ends, the asking one too. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Parts } from '../../parts.ts'
import { sessionOf } from '../../plugins/access.ts'
import { credentialsOf } from '../../plugins/credentials.ts'
import { clientOf } from '../../plugins/headers.ts'
import { passwordsOf, placeOf } from '../../plugins/passwords/index.ts'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { fail } from '../../schemas/errors.ts'
import { spellings } from '../../schemas/name.ts'
import { NewPassword, Password } from '../../schemas/password.ts'
import { TokenAnswer } from '../../schemas/tokens.ts'

const route: FastifyPluginAsyncTypebox<Parts> = async (app, { config }) => {
  const credentials = credentialsOf(app)
  const passwords = passwordsOf(app)
  const sessions = sessionsOf(app)
  const Body = Type.Object(
    { current_password: Password, new_password: NewPassword(config.PASSWORD_MIN_LENGTH) },
    { additionalProperties: false },
  )

  app.route({
    method: 'PUT',
    url: '/password',
    config: { access: 'session', limit: 'guesses', hashes: 2 },
    schema: {
      operationId: 'changePassword',
      summary: 'Change the password',
      description:
        'Ends every session of the person, the asking one too, and opens a new one: go on with the tokens of the answer.',
      tags: ['user'],
      body: Body,
      response: {
        200: TokenAnswer,
        ...errors('token', 'body', 'PASSWORD_TOO_COMMON', 'WRONG_PASSWORD', 'RATE_LIMITED', 'OVERLOADED'),
      },
    },
    handler: async (request, reply) => {
      const { current_password, new_password } = request.body
      const session = sessionOf(request)
      const client = clientOf(request)
      const place = placeOf(request)
      const asker = { ip: client.ip, place }
      const answer = await credentials.asOneself(session, current_password, asker, async (account) => {
        if (await passwords.isCommon(new_password, spellings(account.email, account.username)))
          fail('PASSWORD_TOO_COMMON')
        const passwordHash = await passwords.hash(new_password, undefined, place)
        return sessions.replace(account, session.id, passwordHash, client)
      })
      return reply.code(200).send(answer)
    },
  })
}

export default route
