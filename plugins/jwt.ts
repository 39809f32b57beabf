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
import { isRight, readToken, TYP } from '../verifier/token.ts'
import { type Keys, keysOf } from './keys/index.ts'

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
      const { payload } = readToken(token) ?? fail('INVALID_TOKEN')
      await checkSignature(token)
      const expected = { issuer: config.ISSUER, audience: config.AUDIENCE, now: now() }
      return isRight(payload, expected) ? payload : fail('INVALID_TOKEN')
    },
  }

  /** Whatever the library throws about a token is the token's fault: its own answers would be 500 for some. */
  async function checkSignature(token: string): Promise<void> {
    try {
      await jwt.verify(token)
    } catch (cause) {
      fail('INVALID_TOKEN', { cause })
    }
  }
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
