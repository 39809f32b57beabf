/** GET /.well-known/revocations: the ended sessions, for services that check access tokens by themselves. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Parts } from '../../parts.ts'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { fail } from '../../schemas/errors.ts'

const seconds = (description: string) => Type.Integer({ description, examples: [1_795_500_000] })

const Query = Type.Object({
  since: Type.Optional(
    Type.String({
      pattern: '^\\d{1,15}$',
      description: 'The `as_of` of the answer before: gives what ended since, and a little of what was told already',
      examples: ['1795500000'],
    }),
  ),
})
const Revocations = Type.Object(
  {
    as_of: seconds('When the list was read, in seconds since 1970; the next `since`'),
    max_age: Type.Integer({ description: 'Seconds that an access token lives', examples: [900] }),
    sessions: Type.Array(
      Type.Object({
        sid: Type.String({ description: 'Refuse the access tokens with this `sid`' }),
        until: seconds('By then all of them are dead, and it can be forgotten'),
      }),
    ),
  },
  { title: 'Revocations', description: 'The sessions that have ended, the oldest ending first' },
)

/** Shared caches may answer many that ask at once; a second is as long as the list itself goes unread. */
const CACHE = 'public, max-age=1'

const route: FastifyPluginAsyncTypebox<Parts> = async (app, { config }) => {
  const { ended } = sessionsOf(app)
  const open = config.REVOCATIONS_PUBLIC === 'on'

  app.route({
    method: 'GET',
    url: '/revocations',
    config: { access: open ? 'public' : 'service', limit: 'none', compress: true },
    schema: {
      operationId: 'revocations',
      summary: 'Ended sessions',
      description:
        'For services that check access tokens by themselves: ask every few seconds with the last `as_of` as `since`, add what is told to what is known, and refuse these sessions.',
      tags: ['services'],
      querystring: Query,
      response: { 200: Revocations, ...errors(...(open ? [] : ['client' as const]), 'VALIDATION_FAILED') },
    },
    handler: async (request, reply) => {
      if (!ended.isFresh()) fail('UNAVAILABLE')
      const { since } = request.query
      const sessions = ended
        .since(since === undefined ? undefined : Number(since) * 1000)
        .map(({ id, until }) => ({ sid: id, until: Math.ceil(until / 1000) }))
      if (open) reply.header('cache-control', CACHE)
      const as_of = Math.floor(ended.readAt() / 1000)
      return reply.code(200).send({ as_of, max_age: config.ACCESS_TOKEN_TTL, sessions })
    },
  })
}

export default route
