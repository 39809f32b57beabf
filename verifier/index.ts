/**
 * `latchkey/verifier`: how another service checks Latchkey's access tokens by itself. Keys and ended sessions are read in
 * the background; no token makes a request wait for Latchkey, but one of a key that is not known yet.
 */
import { compactVerify } from 'jose'
import { createEnded, type Ended, NOTHING_ENDED } from './ended.ts'
import { VerifierError } from './errors.ts'
import type { Asker, Fetch } from './http.ts'
import { createPublicKeys, createSharedKey, type Keys, type VerifyingKey } from './keys.ts'
import { type AccessClaims, isRight, readToken } from './token.ts'

export { type VerifierCode, VerifierError } from './errors.ts'
export type { AccessClaims } from './token.ts'

export interface VerifierOptions {
  /** Latchkey's ISSUER: the `iss` of its tokens. */
  issuer: string
  /** Latchkey's AUDIENCE: the `aud` of its tokens. */
  audience: string
  /** Where Latchkey is reached, when that is not the issuer: `http://latchkey:3000`. */
  url?: string | undefined
  /** Where its keys are; by default `/.well-known/jwks.json` there. */
  jwksUri?: string | undefined
  /** Latchkey's JWT_SECRET, where it signs by HS256; then there are no keys to be read. */
  secret?: string | undefined
  /**
   * How the feed of ended sessions is read: as one of SERVICE_CLIENTS, by everyone (REVOCATIONS_PUBLIC=on, the default), or
   * `false`: not at all, and a token is good until its `exp` whatever happens to its session.
   */
  sessions?: { clientId: string; clientSecret: string } | 'public' | false | undefined
  /**
   * What to do where the list of ended sessions is older than `maxStaleness`: `refuse` (the default) throws UNAVAILABLE,
   * `tolerate` goes on with what is known.
   */
  staleSessions?: 'refuse' | 'tolerate' | undefined
  /**
   * Seconds since the feed was read with another `as_of` than before; 30 by default. Latchkey moves it each second, while it
   * can read its database.
   */
  maxStaleness?: number | undefined
  /** Seconds between two looks at the feed; 2 by default. */
  pollSeconds?: number | undefined
  /** Seconds for which a list of keys is used before it is read anew: what its Cache-Control says, and at most this; 300 by default. */
  jwksMaxAge?: number | undefined
  /** Seconds for which a list of keys is believed that cannot be read anew; 3,600 by default. */
  jwksMaxStaleness?: number | undefined
  /** Seconds that Latchkey has for an answer; 5 by default. */
  timeoutSeconds?: number | undefined
  /** Hears why keys or feed could not be read: the first of several failures in a row. What it throws is passed over. */
  onError?: ((error: Error) => void) | undefined
  /** By default the global one. */
  fetch?: Fetch | undefined
  /** Milliseconds since 1970; by default the system's clock. */
  now?: (() => number) | undefined
}

export interface Verifier {
  /** The claims of a good access token. Throws a VerifierError: TOKEN_EXPIRED, INVALID_TOKEN, UNAVAILABLE. */
  verify: (token: string) => Promise<AccessClaims>
  /** The same for an Authorization header; UNAUTHENTICATED where it brings no token. */
  verifyHeader: (authorization: string | undefined) => Promise<AccessClaims>
  /** Done when keys and feed were read. Throws UNAVAILABLE, with its cause, where they cannot be; then it may be called again. */
  ready: () => Promise<void>
  /** Ends the reading in the background. */
  close: () => void
}

/** A verifier, which begins to read keys and feed at once. Throws a TypeError where an option is none. */
export function createVerifier(options: VerifierOptions): Verifier {
  checkOptions(options)
  const { issuer, audience, staleSessions = 'refuse', pollSeconds = 2, now = Date.now } = options
  const closing = new AbortController()
  const { keys, ended } = sourcesOf(options, closing.signal)
  let timer: NodeJS.Timeout | undefined

  const read = async () => void (await Promise.all([keys.refresh(), ended.refresh()]))

  /** The next read is a while after the end of this one, however long it takes; a process does not go on for its sake. */
  async function readOn(): Promise<void> {
    await read()
    if (!closing.signal.aborted) timer = setTimeout(readOn, pollSeconds * 1000).unref()
  }
  const first = readOn()

  /** RFC 7515, section 5.2; whatever jose throws about it is the token's fault. */
  async function checkSignature(token: string, { key, alg }: VerifyingKey): Promise<void> {
    try {
      await compactVerify(token, key, { algorithms: [alg] })
    } catch (cause) {
      refuse('INVALID_TOKEN', cause)
    }
  }

  const whyStale = () => ended.failure() ?? new Error('Latchkey has told no newer list of ended sessions for too long')
  const canJudge = () => ended.isFresh() || staleSessions === 'tolerate'

  /** All else before the session, and the session before `exp`: who is told TOKEN_EXPIRED may refresh. */
  async function verify(token: string): Promise<AccessClaims> {
    const { header, payload: claims } = readToken(token) ?? refuse('INVALID_TOKEN')
    if (!isRight(claims, { issuer, audience, now: now() })) return refuse('INVALID_TOKEN')
    await first
    const isOver = () => now() >= claims.exp * 1000
    await checkSignature(token, (await keys.find(header, !isOver())) ?? refuse('INVALID_TOKEN'))
    if (!canJudge()) refuse('UNAVAILABLE', whyStale())
    if (ended.has(claims.sid)) refuse('INVALID_TOKEN')
    return isOver() ? refuse('TOKEN_EXPIRED') : claims
  }

  return {
    verify,
    async verifyHeader(authorization) {
      // RFC 6750, section 2.1.
      const [, token] = /^Bearer +(\S.*)$/i.exec(authorization ?? '') ?? []
      return verify(token ?? refuse('UNAUTHENTICATED'))
    },
    async ready() {
      await first
      if (!keys.isFresh() || !ended.isFresh()) await read()
      if (!keys.isFresh() || !canJudge()) refuse('UNAVAILABLE', keys.failure() ?? whyStale())
    },
    close() {
      closing.abort()
      clearTimeout(timer)
    },
  }
}

function refuse(code: VerifierError['code'], cause?: unknown): never {
  throw new VerifierError(code, { cause })
}

function checkOptions({ issuer, audience, secret, jwksUri }: VerifierOptions): void {
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (typeof value !== 'string' || value === '') throw new TypeError(`A verifier needs \`${name}\`.`)
  }
  if (secret === undefined) return
  if (jwksUri !== undefined) throw new TypeError('A verifier has `secret` (HS256) or `jwksUri`, not both.')
  if (Buffer.byteLength(secret) < 32) throw new TypeError('`secret` has at least 32 bytes, as JWT_SECRET has.')
}

/** Where keys and ended sessions come from. */
function sourcesOf(options: VerifierOptions, closing: AbortSignal): { keys: Keys; ended: Ended } {
  const { issuer, url = issuer, secret, sessions = 'public', now = Date.now } = options
  const { fetch = globalThis.fetch, timeoutSeconds = 5, maxStaleness = 30 } = options
  const { jwksMaxAge: maxAge = 300, jwksMaxStaleness = 3600 } = options
  const asker: Asker = { fetch, timeoutMs: timeoutSeconds * 1000, closing }
  const base = `${url.replace(/\/$/, '')}/.well-known`
  const { jwksUri = `${base}/jwks.json` } = options
  const onError = (error: Error) => {
    // What the close itself ends is no failure.
    if (closing.aborted) return
    // Whatever it throws, or its promise: the reading goes on.
    new Promise((resolve) => resolve(options.onError?.(error))).catch(() => {})
  }
  const shared = { asker, now, onError }
  const keys = secret
    ? createSharedKey(secret)
    : createPublicKeys({ ...shared, url: jwksUri, maxAge, staleAfterMs: jwksMaxStaleness * 1000 })
  const feed = { ...shared, url: `${base}/revocations`, headers: basicOf(sessions), staleAfterMs: maxStaleness * 1000 }
  return { keys, ended: sessions === false ? NOTHING_ENDED : createEnded(feed) }
}

function basicOf(sessions: VerifierOptions['sessions']): Record<string, string> {
  if (typeof sessions !== 'object') return {}
  const { clientId, clientSecret } = sessions
  return { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` }
}
