/** POST /user/register: makes an account and logs it in. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Parts } from '../../parts.ts'
import { dbOf } from '../../plugins/db/index.ts'
import { clientOf } from '../../plugins/headers.ts'
import { passwordsOf, placeOf } from '../../plugins/passwords/index.ts'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { fail } from '../../schemas/errors.ts'
import { Email, Username } from '../../schemas/identifiers.ts'
import { spellings } from '../../schemas/name.ts'
import { NewPassword } from '../../schemas/password.ts'
import { TokenAnswer } from '../../schemas/tokens.ts'

const route: FastifyPluginAsyncTypebox<Parts> = async (app, { config, now, newId }) => {
  const db = dbOf(app)
  const passwords = passwordsOf(app)
  const sessions = sessionsOf(app)
  const Body = Type.Object(
    { username: Username, email: Email, password: NewPassword(config.PASSWORD_MIN_LENGTH) },
    { additionalProperties: false },
  )

  app.route({
    method: 'POST',
    url: '/register',
    config: { access: 'public', limit: 'none', hashes: 1, admission: 'late' },
    schema: {
      operationId: 'register',
      summary: 'Register',
      description: 'Makes an account and logs it in. The `access_token` of the answer is what **Authorize** asks for.',
      tags: ['user'],
      body: Body,
      response: {
        201: TokenAnswer,
        ...errors('body', 'PASSWORD_TOO_COMMON', 'EMAIL_TAKEN', 'USERNAME_TAKEN', 'OVERLOADED'),
      },
    },
    handler: async (request, reply) => {
      const { username, email, password } = request.body
      const refuseTaken = async () => {
        const taken = await db.users.taken(email, username)
        if (taken) fail(taken)
      }
      if (await passwords.isCommon(password, spellings(email, username))) fail('PASSWORD_TOO_COMMON')
      await refuseTaken()
      // Asked again when its turn comes: what was taken meanwhile costs no hash.
      const passwordHash = await passwords.hash(password, refuseTaken, placeOf(request))
      const time = now()
      const account = { id: newId(), username, email, emailVerified: false, roles: [], passwordHash, disabled: false }
      const answer = await sessions.register({ ...account, createdAt: time, updatedAt: time }, clientOf(request))
      return reply.code(201).send(typeof answer === 'string' ? fail(answer) : answer)
    },
  })
}

export default route
