/**
 * Access tokens (RFC 9068) by @fastify/jwt, and the fast-jwt under it, over the signing keys: issues them, and verifies them exactly. A token does
 * not pass by what is missing from it.
 */
import fastifyJwt, { type JWT } from '@fastify/jwt'
import { createSigner } from 'fast-jwt'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../parts.ts'
import { fail } from '../schemas/errors.ts'
import type { AccessClaims } from '../schemas/tokens.ts'
import { isRight, type ReadToken, readToken, TYP } from '../verifier/token.ts'
import { type Keys, keysOf } from './keys/index.ts'

/** A signature is paid for once a token: by an ES256 key it costs more than all else of a request together. */
const KNOWN_TOKENS = 10_000

/** What was verified: the claims, and by which key. */
interface Verified {
  claims: AccessClaims
  header: ReadToken['header']
}

interface Needs extends Pick<Parts, 'config' | 'now' | 'newId'> {
  jwt: JWT
  keys: Keys
}

function createAccessTokens({ jwt, keys, config, now, newId }: Needs) {
  /** By the token exactly as it was sent, never by a hash or a part of it; only what was verified, expired or not. Full, it drops the oldest; that of a revoked key is refused at its next use, and goes. */
  const known = new Map<string, Verified>()

  function remember(token: string, verified: Verified): void {
    if (known.size >= KNOWN_TOKENS) known.delete(known.keys().next().value!)
    known.set(token, verified)
  }

  /** By the key that signed last. To read a key from its PEM costs several times its signature, and @fastify/jwt does it at each call that names one. */
  let signer: { key: string; sign: (claims: AccessClaims) => string } | undefined

  function sign(claims: AccessClaims): string {
    const { alg, key, ...named } = keyOf(keys, config)
    if (signer?.key !== key)
      signer = { key, sign: createSigner({ algorithm: alg, key, header: { alg, typ: TYP, ...named } }) }
    return signer.sign(claims)
  }

  async function verifyAnew(token: string): Promise<AccessClaims> {
    const { header, payload } = readToken(token) ?? fail('INVALID_TOKEN')
    // The shared secret has no name, and the library does not ask for one.
    if (!keys.set && 'kid' in header) fail('INVALID_TOKEN')
    await checkSignature(token)
    const expected = { issuer: config.ISSUER, audience: config.AUDIENCE, now: now() }
    if (!isRight(payload, expected)) return fail('INVALID_TOKEN')
    if (!isKeyed(header, payload)) return fail('INVALID_TOKEN')
    remember(token, { claims: payload, header })
    return payload
  }

  /**
   * Whether the key is still one. A key that went from the list has no living token, but dead ones, whose clients are to
   * learn that they may refresh; one that was revoked has neither.
   */
  function isKeyed({ kid, alg }: ReadToken['header'], { exp }: AccessClaims): boolean {
    const { set } = keys
    return !set || (set.find(kid, alg) !== undefined && (set.isPublished(kid) || now() >= exp * 1000))
  }

  return {
    /** Before anything is written for which a token is to be issued. Throws UNAVAILABLE where it is not known which key signs. */
    ready: async () => keys.set?.renew(),

    /** A token of a session, good from `iat` to `exp`, in seconds since 1970. */
    issue({ sub, sid, roles, iat, exp }: Pick<AccessClaims, 'sub' | 'sid' | 'roles' | 'iat' | 'exp'>): string {
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
      return sign(claims)
    },

    /**
     * The claims of a token that is right in all but, perhaps, its `exp`, which the caller checks last. At once for a token
     * that was verified before. Throws INVALID_TOKEN.
     */
    verify(token: string): AccessClaims | Promise<AccessClaims> {
      const verified = known.get(token)
      if (!verified) return verifyAnew(token)
      if (isKeyed(verified.header, verified.claims)) return verified.claims
      known.delete(token)
      return fail('INVALID_TOKEN')
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

/** What signs: the key of this moment, or with HS256 the secret that every verifier shares, which has no id. */
function keyOf({ set }: Keys, { JWT_SECRET }: Parts['config']) {
  if (!set) return { alg: 'HS256' as const, key: JWT_SECRET }
  const { alg, kid, privatePem } = set.current()
  return { alg, kid, key: privatePem }
}

/** A key verifies by its own alg and by no other; one that is not known costs no more than this look. */
const publicKeyOf =
  (set: NonNullable<Keys['set']>) =>
  async ({ header }: { header: { kid?: unknown; alg?: unknown } }) =>
    set.find(header.kid, header.alg) ?? fail('INVALID_TOKEN')

export type AccessTokens = ReturnType<typeof createAccessTokens>
export const accessTokensOf = (app: FastifyInstance) => app.getDecorator<AccessTokens>('accessTokens')

export default fp<Parts>(
  async (app, parts) => {
    const keys = keysOf(app)
    const { set } = keys
    const { alg, key } = keyOf(keys, parts.config)
    await app.register(fastifyJwt, {
      secret: set ? { private: key, public: publicKeyOf(set) } : key,
      sign: { algorithm: alg },
      verify: {
        algorithms: set ? ['ES256', 'RS256'] : ['HS256'],
        checkTyp: TYP,
        ignoreExpiration: true,
        ignoreNotBefore: true,
      },
    } as never)
    app.decorate('accessTokens', createAccessTokens({ ...parts, jwt: app.jwt, keys }))
  },
  { name: 'jwt', dependencies: ['keys'] },
)
