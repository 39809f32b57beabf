/**
 * The rules of an access token (RFC 9068; RFC 8725 for the exactness), as pure functions: Latchkey itself and the
 * verifier of other services judge by the same ones. The signature is checked by whoever calls them.
 */
import { strictJson } from './json.ts'

/** The claims of an access token (RFC 9068, section 2.2, and `sid`). */
export interface AccessClaims {
  iss: string
  /** The person's id. */
  sub: string
  aud: string
  /** Seconds since 1970, as `iat` is. */
  exp: number
  iat: number
  jti: string
  client_id: string
  /** The session's id. */
  sid: string
  roles: string[]
}

/** A token taken apart, of which nothing is believed yet. */
export interface ReadToken {
  header: Record<string, unknown>
  payload: Record<string, unknown>
}

export interface Expected {
  issuer: string
  audience: string
  /** Milliseconds since 1970. */
  now: number
}

export const TYP = 'at+jwt'
/** Seconds by which the clock of whoever issued a token may be ahead. */
const SKEW = 5
/** RFC 8725bis, section 3: nothing but base64url and two dots. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/

/**
 * Takes a token apart; undefined where its form is wrong: another spelling than the compact one, a header or payload that
 * is no object of strict JSON, another `typ`, anything critical (RFC 7515, section 4.1.11: nothing of it is understood).
 */
export function readToken(token: unknown): ReadToken | undefined {
  if (typeof token !== 'string' || !COMPACT.test(token)) return undefined
  const parts = token.split('.')
  if (!parts.every(isCanonical)) return undefined
  const [header, payload] = parts.slice(0, 2).map(objectOf)
  if (!header || !payload || header.typ !== TYP || 'crit' in header) return undefined
  return { header, payload }
}

/** Whether the claims are those of a token for this audience. `exp` only has to be a time: whether it is over is asked last. */
export function isRight(
  claims: { [name in keyof AccessClaims]?: unknown } & { nbf?: unknown },
  { issuer, audience, now }: Expected,
): claims is AccessClaims {
  const { iss, aud, client_id, sub, sid, jti, iat, exp, roles, nbf = 0 } = claims
  const latest = now / 1000 + SKEW
  return (
    iss === issuer &&
    aud === audience &&
    client_id === audience &&
    [sub, sid, jti].every((text) => typeof text === 'string' && text !== '') &&
    isTime(iat) &&
    iat <= latest &&
    isTime(exp) &&
    // Never issued, but RFC 7519, section 4.1.5, binds whoever reads it.
    typeof nbf === 'number' &&
    nbf <= latest &&
    Array.isArray(roles) &&
    roles.every((role) => typeof role === 'string')
  )
}

/** base64url leaves bits unused at the end: only one spelling of a token is the token. */
const isCanonical = (part: string) => Buffer.from(part, 'base64url').toString('base64url') === part

const isTime = (value: unknown): value is number => Number.isSafeInteger(value)

function objectOf(part: string): Record<string, unknown> | undefined {
  try {
    const value = strictJson(Buffer.from(part, 'base64url'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
