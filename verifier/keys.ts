/**
 * The keys by which tokens are checked: Latchkey's public ones, kept as long as its Cache-Control says and read anew in
 * the background, or the one secret of HS256.
 */
import { createSecretKey } from 'node:crypto'
import { type CryptoKey, importJWK, type JWK, type KeyObject } from 'jose'
import { VerifierError } from './errors.ts'
import { type Asker, askJson } from './http.ts'
import { createSource, NO_SOURCE, type Source } from './source.ts'

/** RFC 8725, section 3.1: one key, one algorithm. */
export interface VerifyingKey {
  alg: string
  key: CryptoKey | KeyObject
}

export interface Keys extends Source {
  /**
   * The key that a token's header names; undefined where there is none. An unknown one is asked for, but not for a token
   * that is over: that throws TOKEN_EXPIRED, since its key may have gone with its last tokens. Throws UNAVAILABLE where it
   * cannot be told.
   */
  find: (header: Record<string, unknown>, isOver: boolean) => Promise<VerifyingKey | undefined>
}

interface Needs {
  asker: Asker
  url: string
  now: () => number
  /** Seconds for which a list is used at most before it is read anew. */
  maxAge: number
  staleAfterMs: number
  onError: (error: Error) => void
}

/** An unknown `kid` has the list read anew, but a flood of them only once in this time. */
const UNKNOWN_EVERY_MS = 10_000
const KID = /^[\w.~-]{1,128}$/
/** What Latchkey signs with, and what of a key of this kind is public. */
const KINDS = new Map<unknown, { kty: string; members: (keyof JWK)[] }>([
  ['ES256', { kty: 'EC', members: ['kty', 'crv', 'x', 'y'] }],
  ['RS256', { kty: 'RSA', members: ['kty', 'n', 'e'] }],
])

/** Latchkey's public keys (RFC 7517). */
export function createPublicKeys({ asker, url, now, maxAge, staleAfterMs, onError }: Needs): Keys {
  let known = new Map<string, VerifyingKey>()
  let dueAt = Number.NEGATIVE_INFINITY
  const source = createSource({ read, now, staleAfterMs, onError })

  async function read(): Promise<boolean> {
    const time = now()
    const { body, headers } = await askJson(asker, url)
    const keys = await keysOf(body)
    if (keys.size === 0)
      throw new Error(`${url} lists no key for ES256 or RS256; with JWT_ALG=HS256 a verifier needs \`secret\``)
    known = keys
    dueAt = time + Math.min(maxAge, lifetimeOf(headers) ?? maxAge) * 1000
    return true
  }

  const knownKey = ({ kid, alg }: Record<string, unknown>) => {
    const key = known.get(kid as string)
    return key?.alg === alg ? key : undefined
  }

  async function find(header: Record<string, unknown>, isOver: boolean): Promise<VerifyingKey | undefined> {
    const { kid, alg } = header
    if (typeof kid !== 'string' || !KID.test(kid) || !KINDS.has(alg)) return undefined
    if (!known.has(kid) && !isOver) {
      // Either way: a clock that was put back must not close this for as long as it was.
      if (Math.abs(now() - source.askedAt()) >= UNKNOWN_EVERY_MS) await source.refresh()
      else await source.running()
    }
    // Where the list could not be read, a key that is not in it may be a new one.
    if (!source.isFresh() || (!known.has(kid) && source.failure()))
      throw new VerifierError('UNAVAILABLE', { cause: source.failure() })
    // Nothing of this token is proven, but it only decides between two refusals: who owns it refreshes or is told there.
    if (!known.has(kid) && isOver) throw new VerifierError('TOKEN_EXPIRED')
    return knownKey(header)
  }

  /** Where it is time to, or the clock was put back behind the last read. */
  async function refresh(): Promise<void> {
    if (now() >= dueAt || !source.isFresh() || source.failure()) await source.refresh()
  }

  return { ...source, find, refresh }
}

/** The usable keys of a set by their `kid`; RFC 7517, section 5: others are passed over. */
async function keysOf(body: unknown): Promise<Map<string, VerifyingKey>> {
  const { keys } = (body ?? {}) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('this is no set of keys')
  const read = await Promise.all(keys.map(keyOf))
  return new Map(read.flatMap((entry) => (entry ? [entry] : [])))
}

async function keyOf(jwk: JWK | null): Promise<[kid: string, key: VerifyingKey] | undefined> {
  const { kid, alg, kty, use = 'sig' } = jwk ?? {}
  const kind = KINDS.get(alg)
  if (typeof kid !== 'string' || !kind || kind.kty !== kty || use !== 'sig') return undefined
  try {
    // Its public members alone: whatever else stands there has no say.
    const key = await importJWK(Object.fromEntries(kind.members.map((name) => [name, jwk![name]])), alg)
    return [kid, { alg: alg!, key: key as CryptoKey }]
  } catch {
    return undefined
  }
}

/** Seconds for which an answer may still be used (RFC 9111, section 4.2); undefined where it does not say. */
function lifetimeOf(headers: Headers): number | undefined {
  const control = headers.get('cache-control') ?? ''
  if (/\bno-(store|cache)\b/i.test(control)) return 0
  const seconds = /\bmax-age=(\d+)/i.exec(control)?.[1]
  return seconds === undefined ? undefined : Number(seconds) - (Number(headers.get('age')) || 0)
}

/** The secret of HS256, which never changes while this runs and has no `kid`. */
export function createSharedKey(secret: string): Keys {
  const shared: VerifyingKey = { alg: 'HS256', key: createSecretKey(Buffer.from(secret)) }
  return {
    ...NO_SOURCE,
    find: async (header) => (header.alg === shared.alg && !('kid' in header) ? shared : undefined),
  }
}
