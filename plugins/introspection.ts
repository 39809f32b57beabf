/** What tokens are worth right now, access and refresh tokens alike, for services that ask (RFC 7662), and their end (RFC 7009). */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../parts.ts'
import { Failure } from '../schemas/errors.ts'
import type { Introspection } from '../schemas/introspection.ts'
import type { AccessClaims } from '../schemas/tokens.ts'
import { type Gate, gateOf } from './access.ts'
import { type Sessions, sessionsOf } from './sessions/index.ts'
import type { Living } from './sessions/living.ts'

interface Needs extends Pick<Parts, 'config'> {
  gate: Gate
  sessions: Sessions
}

function createIntrospection({ config, gate, sessions }: Needs) {
  /** The claims of an access token that is good now, and its living session. Throws UNAVAILABLE. */
  async function ofAccessToken(token: string): Promise<{ claims: AccessClaims; living: Living } | undefined> {
    try {
      const claims = await gate.judge(token)
      const living = await sessions.live(claims.sid)
      return living?.account.id === claims.sub ? { claims, living } : undefined
    } catch (error) {
      if (error instanceof Failure && error.statusCode === 401) return undefined
      throw error
    }
  }

  /** RFC 9068 and 7662 call it by the same names. */
  function accessToken({ roles: _, ...claims }: AccessClaims, living: Living): Introspection {
    return { active: true, token_use: 'access_token', token_type: 'Bearer', ...claims, ...personOf(living) }
  }

  /** Without a `token_type`, so that nobody takes it for a token that opens anything. */
  function refreshToken(living: Living): Introspection {
    const { id, createdAt, expiresAt } = living.session
    return {
      active: true,
      token_use: 'refresh_token',
      iss: config.ISSUER,
      sub: living.account.id,
      aud: config.AUDIENCE,
      client_id: config.AUDIENCE,
      exp: expiresAt / 1000,
      iat: Math.floor(createdAt / 1000),
      sid: id,
      ...personOf(living),
    }
  }

  return {
    /** What a token is worth. Throws UNAVAILABLE. */
    async introspect(token: string): Promise<Introspection> {
      const refreshed = await sessions.ofGoodRefreshToken(token)
      if (refreshed) return refreshToken(refreshed)
      const found = await ofAccessToken(token)
      return found ? accessToken(found.claims, found.living) : { active: false }
    },

    /** Ends the living session of a good access token, or of a refresh token of whatever generation, as a log-out does. */
    async revoke(token: string): Promise<void> {
      const session = (await sessions.ofRefreshToken(token)) ?? (await ofAccessToken(token))?.living.session
      if (session) await sessions.end(session, 'local')
    },
  }
}

const personOf = ({ account }: Living) => ({ username: account.username, roles: account.roles })

export type Introspect = ReturnType<typeof createIntrospection>
export const introspectionOf = (app: FastifyInstance) => app.getDecorator<Introspect>('introspection')

export default fp<Parts>(
  async (app, { config }) => {
    app.decorate('introspection', createIntrospection({ config, gate: gateOf(app), sessions: sessionsOf(app) }))
  },
  { name: 'introspection', dependencies: ['access', 'sessions'] },
)
