/**
 * Access tokens (RFC 9068) by @fastify/jwt over the signing keys: issues them, and verifies them exactly. A token does
 * not pass by what is missing from it.
 */
import fastifyJwt, { type JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../parts.ts'
import { fail } from '../schemas/errors.ts'
import type { AccessClaims } from '../schemas/tokens.ts'
import { type Keys, keysOf } from './keys/index.ts'

const TYP = 'at+jwt'
/** Seconds by which the clock of the instance that issued a token may be ahead. */
const SKEW = 5
/** RFC 8725bis, section 3: nothing but base64url and two dots. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/

interface Needs extends Pick<Parts, 'config' | 'now' | 'newId'> {
  jwt: JWT
  keys: Keys
}

function createAccessTokens({ jwt, keys, config, now, newId }: Needs) {
  return {
    /** A token of a session, good from `iat` to `exp`, in seconds since 1970. */
    issue({ sub, sid, roles, iat, exp }: Pick<AccessClaims, 'sub' | 'sid' | 'roles' | 'iat' | 'exp'>): string {
      const { kid, privatePem } = keys.current()
      const claims: AccessClaims = {
        iss: config.ISSUER,
        sub,
        aud: config.AUDIENCE,
        exp,
        iat,
        jti: newId(),
        client_id: config.AUDIENCE,
        sid,
        roles,
      }
      return jwt.sign(claims, { algorithm: 'ES256', key: privatePem, header: { alg: 'ES256', typ: TYP, kid } })
    },

    /** The claims of a token that is right in all but, perhaps, its `exp`, which the caller checks last. Throws INVALID_TOKEN. */
    async verify(token: string): Promise<AccessClaims> {
      if (!COMPACT.test(token) || !isCanonical(token)) fail('INVALID_TOKEN')
      const { header, payload } = await decode(token)
      // RFC 7515, section 4.1.11: nothing critical is understood here, and the library overlooks a null.
      if ('crit' in header || !isRight(payload)) fail('INVALID_TOKEN')
      return payload
    },
  }

  /** Whatever the library throws about a token is the token's fault: its own answers would be 500 for some. */
  async function decode(token: string): Promise<{ header: object; payload: Partial<AccessClaims> }> {
    try {
      return await jwt.verify(token, { complete: true } as never)
    } catch (cause) {
      return fail('INVALID_TOKEN', { cause })
    }
  }

  /** Checked here and not by the library, which lets a claim that is missing pass. */
  function isRight(claims: Partial<AccessClaims> & { nbf?: unknown }): claims is AccessClaims {
    const { iss, aud, client_id, sub, sid, jti, iat, exp, roles, nbf = 0 } = claims
    return (
      iss === config.ISSUER &&
      aud === config.AUDIENCE &&
      client_id === config.AUDIENCE &&
      [sub, sid, jti].every((text) => typeof text === 'string' && text !== '') &&
      Number.isSafeInteger(iat) &&
      Number.isSafeInteger(exp) &&
      iat! <= now() / 1000 + SKEW &&
      // Never issued, but RFC 7519, section 4.1.5, binds whoever reads it.
      typeof nbf === 'number' &&
      nbf <= now() / 1000 + SKEW &&
      Array.isArray(roles) &&
      roles.every((role) => typeof role === 'string')
    )
  }
}

/** base64url leaves bits unused at the end: only one spelling of a token is the token. */
function isCanonical(token: string): boolean {
  return token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)
}

export type AccessTokens = ReturnType<typeof createAccessTokens>
export const accessTokensOf = (app: FastifyInstance) => app.getDecorator<AccessTokens>('accessTokens')

export default fp<Parts>(
  async (app, parts) => {
    const keys = keysOf(app)
    const publicKey = async ({ header }: { header: { kid?: unknown } }) =>
      keys.find(header.kid) ?? fail('INVALID_TOKEN')
    await app.register(fastifyJwt, {
      secret: { private: keys.current().privatePem, public: publicKey as never },
      sign: { algorithm: 'ES256' },
      verify: { algorithms: ['ES256'], checkTyp: TYP, ignoreExpiration: true, ignoreNotBefore: true },
    } as never)
    app.decorate('accessTokens', createAccessTokens({ ...parts, jwt: app.jwt, keys }))
  },
  { name: 'jwt', dependencies: ['keys'] },
)
