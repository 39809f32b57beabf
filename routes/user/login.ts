/** POST /user/login: a name and a password for two tokens. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { credentialsOf } from '../../plugins/credentials.ts'
import { clientOf } from '../../plugins/headers.ts'
import { placeOf } from '../../plugins/passwords/index.ts'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { Password } from '../../schemas/password.ts'
import { TokenAnswer } from '../../schemas/tokens.ts'

// Not judged any further: what no account can be called answers like what no account is called.
const AnyName = (example: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 320, examples: [example] }))

const Body = Type.Object(
  { email: AnyName('ann@example.com'), username: AnyName('ann'), password: Password },
  {
    additionalProperties: false,
    oneOf: [{ required: ['email'] }, { required: ['username'] }],
    examples: [{ email: 'ann@example.com', password: 'correct horse battery' }],
  },
)

const route: FastifyPluginAsyncTypebox = async (app) => {
  const credentials = credentialsOf(app)
  const sessions = sessionsOf(app)

  app.route({
    method: 'POST',
    url: '/login',
    config: { access: 'public', limit: 'guesses', hashes: 1 },
    schema: {
      operationId: 'login',
      summary: 'Log in',
      description: 'Takes the e-mail address or the username, one of the two, and the password.',
      tags: ['user'],
      body: Body,
      response: { 200: TokenAnswer, ...errors('body', 'INVALID_CREDENTIALS', 'RATE_LIMITED', 'OVERLOADED') },
    },
    handler: async (request, reply) => {
      const { email, username = '', password } = request.body
      const name = email === undefined ? { username } : { email }
      const client = clientOf(request)
      const asker = { ip: client.ip, place: placeOf(request) }
      const answer = await credentials.asAnyone(name, password, asker, (account, renewed) =>
        sessions.open(account, renewed, client),
      )
      return reply.code(200).send(answer)
    },
  })
}

export default route
