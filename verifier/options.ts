/** The options of a verifier, and whether they are some: what comes from an environment may be NaN or missing. */
import type { Fetch } from './http.ts'

/** What is in seconds is a number above 0, not necessarily whole, and at most 86,400. */
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
   * How the feed of ended sessions is read: as one of SERVICE_CLIENTS, by `public` (the default) as everyone may with
   * REVOCATIONS_PUBLIC=on, or by `false` not at all: then a token is good until its `exp` whatever happens to its session.
   */
  sessions?: { clientId: string; clientSecret: string } | 'public' | false | undefined
  /**
   * What to do where the list of ended sessions is older than `maxStaleness`: `refuse` (the default) throws UNAVAILABLE,
   * `tolerate` goes on with what is known.
   */
  staleSessions?: 'refuse' | 'tolerate' | undefined
  /**
   * Seconds for which a list of ended sessions is believed; 30 by default. It is a new one where its `as_of` is another than
   * before, which Latchkey moves each second while it can read its database: so this is more than `pollSeconds` and 1.
   */
  maxStaleness?: number | undefined
  /** Seconds between two looks; 2 by default. */
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

const SECONDS = ['maxStaleness', 'pollSeconds', 'jwksMaxAge', 'jwksMaxStaleness', 'timeoutSeconds'] as const
/** A day. A timer of more than 24.8 days would end at once. */
const MAX_SECONDS = 86_400

/** Throws a TypeError that names the option that is none. */
export function checkOptions(options: VerifierOptions): void {
  for (const name of ['issuer', 'audience'] as const) check(isText(options[name]), `A verifier needs \`${name}\`.`)
  for (const name of SECONDS)
    check(isSeconds(options[name]), `\`${name}\` is a number of seconds above 0, at most ${MAX_SECONDS}.`)
  const { secret, jwksUri, sessions, staleSessions = 'refuse' } = options
  check(isSessions(sessions), "`sessions` is 'public', false, or an object with `clientId` and `clientSecret`.")
  check(['refuse', 'tolerate'].includes(staleSessions), "`staleSessions` is 'refuse' or 'tolerate'.")
  if (secret === undefined) return
  check(jwksUri === undefined, 'A verifier has `secret` (HS256) or `jwksUri`, not both.')
  check(Buffer.byteLength(secret) >= 32, '`secret` has at least 32 bytes, as JWT_SECRET has.')
}

function check(isRight: boolean, message: string): void {
  if (!isRight) throw new TypeError(message)
}

const isText = (value: unknown) => typeof value === 'string' && value !== ''

const isSeconds = (value: unknown = 1) => typeof value === 'number' && value > 0 && value <= MAX_SECONDS

function isSessions(sessions: VerifierOptions['sessions'] | null = 'public'): boolean {
  if (typeof sessions !== 'object') return sessions === 'public' || sessions === false
  return isText(sessions?.clientId) && isText(sessions?.clientSecret)
}
