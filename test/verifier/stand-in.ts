// A stand-in for Latchkey as a verifier sees it: keys, the feed of ended sessions, and tokens; each answer can be another.

import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { type AccessClaims, createVerifier, type Verifier, type VerifierOptions } from '../../verifier/index.ts'
import { encode } from '../forgeries.ts'

export const ISSUER = 'https://auth.example.com'
export const AUDIENCE = 'latchkey'
export const JWKS = '/.well-known/jwks.json'
export const FEED = '/.well-known/revocations'

export interface Key {
  alg: 'ES256' | 'RS256'
  kid: string
  privateKey: KeyObject
  jwk: Record<string, unknown>
}

/** A signing key; its id is its thumbprint, but for the order of members (RFC 7638). */
export function makeKey(alg: Key['alg'] = 'ES256', modulusLength = 2048): Key {
  const { privateKey, publicKey } =
    alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength })
  const jwk = publicKey.export({ format: 'jwk' })
  const kid = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url')
  return { alg, kid, privateKey, jwk: { ...jwk, kid, alg, use: 'sig' } }
}

/** A text with its signature by this key. */
export function seal(text: string, { alg, privateKey }: Pick<Key, 'alg' | 'privateKey'>): string {
  const key = alg === 'ES256' ? ({ key: privateKey, dsaEncoding: 'ieee-p1363' } as const) : privateKey
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`
}

/** Header and payload of a token, as they are signed. */
export const unsigned = (header: object, claims: object) => `${encode(header)}.${encode(claims)}`

type Handler = (request: IncomingMessage, response: ServerResponse) => void

export const json =
  (body: unknown, headers = {}, status = 200): Handler =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  }

export type StandIn = Awaited<ReturnType<typeof startStandIn>>

export async function startStandIn(t: Test) {
  const clock = { time: Math.floor(Date.now() / 1000) * 1000 + 500 }
  const keys = [makeKey()]
  const ended: { sid: string; until: number }[] = []
  /** What each address answers; the right thing where none is set. */
  const answers: Record<string, Handler> = {}
  /** The addresses that were asked, in order. */
  const asked: string[] = []
  const usual: Record<string, Handler> = {
    [JWKS]: (request, response) =>
      json({ keys: keys.map(({ jwk }) => jwk) }, { 'cache-control': 'public, max-age=300' })(request, response),
    [FEED]: (request, response) =>
      json({ as_of: Math.floor(clock.time / 1000), max_age: 900, sessions: ended })(request, response),
  }
  const server = createServer((request, response) => {
    const { url = '' } = request
    asked.push(url)
    const path = url.split('?')[0]!
    const handler = answers[path] ?? usual[path]
    if (handler) handler(request, response)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })

  const claims = (changed: object = {}): AccessClaims => {
    const iat = Math.floor(clock.time / 1000)
    const ids = { sub: 'ann', sid: 'session-1', jti: 'token-1', roles: ['admin'] }
    return { iss: ISSUER, aud: AUDIENCE, client_id: AUDIENCE, ...ids, iat, exp: iat + 900, ...changed }
  }
  return {
    ...{ clock, keys, ended, answers, asked, origin, claims },
    /** How often this address was asked. */
    count: (path: string) => asked.filter((url) => url.split('?')[0] === path).length,
    /** A token by the first key; right but for what is changed. */
    token: (changed: object = {}, header: object = {}, key = keys[0]!) =>
      seal(unsigned({ alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header }, claims(changed)), key),
    /** A verifier of this stand-in, with the clock that is moved by hand; it reads at the start and then never by itself. */
    verifier: (options: Partial<VerifierOptions> = {}): Verifier => {
      const verifier = createVerifier({
        issuer: ISSUER,
        audience: AUDIENCE,
        url: origin,
        now: () => clock.time,
        pollSeconds: 86_400,
        ...options,
      })
      t.teardown(() => verifier.close())
      return verifier
    },
  }
}

/** What a verifier makes of a token: `accepted`, or the code of its error. Any other error is thrown on. */
export async function verdict(verifier: Pick<Verifier, 'verify'>, token: string): Promise<string> {
  try {
    await verifier.verify(token)
    return 'accepted'
  } catch (error) {
    const { name, code, statusCode } = error as { name?: string; code?: string; statusCode?: number }
    if (name !== 'VerifierError' || !code) throw error
    if (statusCode !== (code === 'UNAVAILABLE' ? 503 : 401)) throw error
    return code
  }
}
