/**
 * `latchkey/verifier`: how another service checks Latchkey's access tokens by itself. Keys and ended sessions are read in
 * the background; no token makes a request wait for Latchkey, but one of a key that is not known yet.
 */
import { compactVerify } from 'jose'
import { createEnded, type Ended, NOTHING_ENDED } from './ended.ts'
import { VerifierError } from './errors.ts'
import type { Asker } from './http.ts'
import { createPublicKeys, createSharedKey, type Keys, type VerifyingKey } from './keys.ts'
import { checkOptions, type VerifierOptions } from './options.ts'
import type { Source } from './source.ts'
import { type AccessClaims, isRight, readToken } from './token.ts'

export { type VerifierCode, VerifierError } from './errors.ts'
export type { VerifierOptions } from './options.ts'
export type { AccessClaims } from './token.ts'

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
  const timers = new Map<Source, NodeJS.Timeout>()

  /**
   * The next read is a while after the end of this one, however long it takes; a process does not go on for its sake. Keys
   * and feed do not wait for each other.
   */
  async function readOn(source: Source): Promise<void> {
    await source.refresh()
    if (!closing.signal.aborted) timers.set(source, setTimeout(readOn, pollSeconds * 1000, source).unref())
  }
  const first = Promise.all([keys, ended].map(readOn))

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
    await checkSignature(token, (await keys.find(header, isOver())) ?? refuse('INVALID_TOKEN'))
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
      if (!keys.isFresh() || !ended.isFresh()) await Promise.all([keys.refresh(), ended.refresh()])
      if (!keys.isFresh() || !canJudge()) refuse('UNAVAILABLE', keys.failure() ?? whyStale())
    },
    close() {
      closing.abort()
      for (const timer of timers.values()) clearTimeout(timer)
    },
  }
}

function refuse(code: VerifierError['code'], cause?: unknown): never {
  throw new VerifierError(code, { cause })
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
