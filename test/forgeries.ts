// Access tokens that nobody may take: what a forger makes without the key, and what a key of ours would never sign. Each
// list is made from one right token and its key, and is for whoever checks tokens: the service's gates, introspection,
// and `latchkey/verifier`.

import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { keysOf } from '../plugins/keys/index.ts'
import { claimsOf, headerOf, type TestApp } from './helper.ts'

export type Cases = [name: string, token: string][]

export const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const raw = (text: string | Buffer) => Buffer.from(text).toString('base64url')
export const es256 = (text: string, key: string | KeyObject, dsaEncoding: 'ieee-p1363' | 'der' = 'ieee-p1363') =>
  sign('sha256', Buffer.from(text), { key: key as string, dsaEncoding }).toString('base64url')

export type Mint = ReturnType<typeof mintOf>

/** The parts of a right token, and ways to sign others with the real key. */
export function mintOf(app: TestApp, token: string) {
  const [head = '', payload = '', signature = ''] = token.split('.')
  const [header, claims] = [headerOf(token), claimsOf(token)]
  const set = keysOf(app.server).set!
  const { privatePem, publicPem, kid } = set.current()
  const seal = (text: string) => `${text}.${es256(text, privatePem)}`
  const make = (changedHeader: object, changedClaims: object) =>
    seal(`${encode({ ...header, ...changedHeader })}.${encode({ ...claims, ...changedClaims })}`)
  /** The same with header and payload by their text. */
  const spell = (header: string | Buffer, payload: string | Buffer) => seal(`${raw(header)}.${raw(payload)}`)
  const published = set.published().map(({ publicJwk }) => publicJwk)
  const secrets = app.config.SECRET
  return {
    ...{ token, head, payload, signature, header, claims, kid, published, secrets },
    ...{ privatePem, publicPem, seal, make, spell },
  }
}

/** RFC 8725, sections 2.1 and 3.1: another algorithm than the key's, keyed with whatever is public. */
export function ofOtherAlgorithms({ payload, signature, header, publicPem, published, secrets }: Mint): Cases {
  const withAlg = (alg: unknown) => `${encode({ ...header, alg })}.${payload}`
  const cases: Cases = []
  for (const alg of [
    ...['none', 'None', 'NONE', 'nOnE', 'none ', '', 'es256', 'ES256 ', 'ES384', 'RS256', 'PS256', 'EdDSA'],
    ...[null, 0, true, ['ES256'], {}, undefined],
  ]) {
    const name = `alg ${JSON.stringify(alg)}`
    cases.push(
      [`${name}, unsigned`, `${withAlg(alg)}.`],
      [`${name}, the old signature`, `${withAlg(alg)}.${signature}`],
    )
  }
  const hmac = (key: string | Buffer, alg = 'HS256', hash = 'sha256') =>
    `${withAlg(alg)}.${createHmac(hash, key).update(withAlg(alg)).digest('base64url')}`
  const key = createPublicKey(publicPem)
  const der = key.export({ format: 'der', type: 'spki' })
  const guesses: [name: string, key: string | Buffer][] = [
    ['the PEM', publicPem],
    ['the PEM without its last line break', publicPem.trim()],
    ['the DER', der],
    ['the DER as base64', der.toString('base64')],
    ['the JWK', JSON.stringify(key.export({ format: 'jwk' }))],
    ['the published JWK', JSON.stringify(published[0])],
    ['the JWK set', JSON.stringify({ keys: published })],
    ['x', published[0]!.x!],
    ['kid', published[0]!.kid],
    ['nothing', ''],
    ['NUL', '\0'],
    ['SECRET', secrets[0]!],
  ]
  for (const [name, key] of guesses) {
    cases.push([`HS256 keyed with ${name}`, hmac(key)], [`HS512 keyed with ${name}`, hmac(key, 'HS512', 'sha512')])
    cases.push([`an HMAC that says ES256, keyed with ${name}`, hmac(key, 'ES256')])
  }
  return cases
}

/** A key of the forger's own, which the token may bring along or point to (RFC 8725, section 3.10). */
export function ofOtherKeys({ head, payload, header, claims }: Mint, url = 'http://127.0.0.1:1/'): Cases {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const text = `${head}.${payload}`
  const rs = `${encode({ ...header, alg: 'RS256' })}.${payload}`
  const cases: Cases = [
    ['a stranger’s key', `${text}.${es256(text, own)}`],
    ['RS256', `${rs}.${sign('sha256', Buffer.from(rs), rsa).toString('base64url')}`],
  ]
  const kid = 'theirs'
  const jwk = { ...createPublicKey(own).export({ format: 'jwk' }), kid }
  for (const extra of [
    { jwk },
    { jku: url },
    { x5c: ['x'] },
    { x5u: url },
    { jwk, kid },
    { jku: url, kid },
    { kid: url },
  ]) {
    const named = `${encode({ ...header, ...extra })}.${encode(claims)}`
    cases.push([`its own key along: ${JSON.stringify(extra)}`.slice(0, 60), `${named}.${es256(named, own)}`])
  }
  return cases
}

/** Signed by the real key: kid, typ, crit, and a header or a payload that is none. */
export function ofOtherHeaders({ head, payload, header, claims, make, seal, spell, kid }: Mint): Cases {
  const cases: Cases = []
  for (const other of [
    ...[undefined, null, '', 'x', `${kid} `, kid.toLowerCase(), kid.slice(1), '__proto__', 'constructor', 'toString'],
    ...[0, 1, true, [kid], { kid }, '../../etc/passwd', "' OR 1=1--", '\0', 'x'.repeat(4000)],
  ])
    cases.push([`kid ${JSON.stringify(other)}`.slice(0, 40), make({ kid: other }, {})])
  for (const typ of [
    ...[undefined, null, '', 'JWT', 'jwt', 'at', 'at+jwt ', 'rt+jwt', 'application/jwt', 'secevent+jwt'],
    ...['application/at+jwt', 'AT+JWT'],
    ...[0, ['at+jwt'], {}],
  ])
    cases.push([`typ ${JSON.stringify(typ)}`, make({ typ }, {})])
  for (const crit of [['exp'], ['b64'], [], ['x'], 'exp', null, {}, 1])
    cases.push([`crit ${JSON.stringify(crit)}`, make({ crit, b64: true, x: 1 }, {})])
  for (const part of [null, 1, 'x', [], [header], true, {}]) {
    cases.push([`the header ${JSON.stringify(part)}`.slice(0, 40), seal(`${encode(part)}.${payload}`)])
    cases.push([`the payload ${JSON.stringify(part)}`.slice(0, 40), seal(`${head}.${encode(part)}`)])
  }
  const texts = [header, claims].map((part) => JSON.stringify(part)) as [string, string]
  cases.push(
    ['the payload an array of claims', seal(`${head}.${encode([claims])}`)],
    ['the payload a string of claims', seal(`${head}.${encode(texts[1])}`)],
    ['the payload no JSON', spell(texts[0], '{')],
    ['the payload no UTF-8', spell(texts[0], Buffer.from([0x7b, 0xff, 0x7d]))],
    ['a claim no UTF-8', spell(texts[0], Buffer.from(JSON.stringify({ ...claims, x: 'é' }), 'latin1'))],
    ['the payload behind a byte order mark', spell(texts[0], `\ufeff${texts[1]}`)],
    ['exp without end', spell(texts[0], texts[1].replace(/"exp":\d+/, '"exp":1e400'))],
    ['the header no JSON', seal(`${raw('{')}.${payload}`)],
    ['the header behind a byte order mark', spell(`\ufeff${texts[0]}`, texts[1])],
  )
  return cases
}

/** RFC 8725bis: a name that stands twice may be read as two tokens by two readers. */
export function ofDoubledNames({ header, claims, spell }: Mint): Cases {
  const [head, payload] = [header, claims].map((part) => JSON.stringify(part)) as [string, string]
  const doubled = (text: string, name: string, value: unknown, escaped = name) => [
    `{"${escaped}":${JSON.stringify(value)},${text.slice(1)}`,
    `${text.slice(0, -1)},"${escaped}":${JSON.stringify(value)}}`,
  ]
  const cases: Cases = []
  for (const [name, value] of Object.entries({ ...claims, exp: claims.exp + 1000, sub: 'admin', roles: ['admin'] }))
    for (const text of doubled(payload, name, value)) cases.push([`${name} twice in the payload`, spell(head, text)])
  for (const [name, value] of Object.entries(header))
    for (const text of doubled(head, name, value)) cases.push([`${name} twice in the header`, spell(text, payload)])
  for (const text of doubled(payload, 'sub', 'admin', '\\u0073ub'))
    cases.push(['sub twice, once escaped', spell(head, text)])
  const nested = `${payload.slice(0, -1)},"x":{"a":1,"a":2}}`
  cases.push(['a name twice within a claim', spell(head, nested)])
  return cases
}

/** Signed by the real key: each claim missing, of another type or of another value. */
export function ofOtherClaims({ claims, make }: Mint): Cases {
  const anyType = [undefined, null, true, 0, 1, '', [], {}]
  const text = (right: string) => [
    ...anyType,
    ...[[right], { 0: right }, ` ${right}`, `${right} `, right.toUpperCase(), `${right}\0`],
  ]
  const time = (right: number) => [
    ...anyType.slice(0, 3),
    ...['', [], {}, String(right), [right], right + 0.5, Number.MAX_SAFE_INTEGER + 1],
  ]
  const wrong: Record<string, unknown[]> = {
    iss: [...text(claims.iss), `${claims.iss}/`, 'https://evil.example.com', [claims.iss, 'x']],
    aud: [...text(claims.aud), [claims.aud, 'other'], 'other'],
    client_id: [...text(claims.client_id), 'other'],
    sub: anyType,
    sid: anyType,
    jti: anyType,
    iat: [...time(claims.iat), claims.iat + 6, claims.iat + 900],
    exp: time(claims.exp),
    roles: [undefined, null, true, 0, '', 'admin', {}, [1], [null], ['admin', 1], [['admin']]],
    nbf: [claims.iat + 6, claims.iat + 900, '0', null, [], {}],
  }
  return Object.entries(wrong).flatMap(([name, values]) =>
    values.map((value): Cases[number] => [`${name} ${JSON.stringify(value)}`, make({}, { [name]: value })]),
  )
}

/** Something whose base64 has a + or /, whatever the signature is. */
export const oddOf = ({ seal, header, payload }: Mint) => seal(`${encode({ ...header, x: '>>>???>>>???' })}.${payload}`)

/** Another spelling of a token is no token (RFC 8725bis, section 3: nothing but base64url and two dots). */
export function ofOtherSpellings(mint: Mint): Cases {
  const { token, head, payload, signature, header, claims, privatePem, kid } = mint
  const text = `${head}.${payload}`
  const bytes = Buffer.from(signature, 'base64url')
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // 64 bytes leave four bits of the last character unused: these decode to the same signature.
  const twin = signature.slice(0, -1) + last[last.indexOf(signature.at(-1)!) + 1]!
  const plus = (part: string) => part.replaceAll('-', '+').replaceAll('_', '/')
  const flipped = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`
  return [
    ['another signature', `${text}.${flipped}`],
    ['the last character’s twin', `${text}.${twin}`],
    ['no signature', text],
    ['an empty signature', `${text}.`],
    ['cut', token.slice(0, -1)],
    ['cut by a byte', `${text}.${bytes.subarray(0, 63).toString('base64url')}`],
    ['a byte more', `${text}.${Buffer.concat([bytes, Buffer.from([0])]).toString('base64url')}`],
    ['twice', `${text}.${signature}${signature}`],
    ['as DER', `${text}.${es256(text, privatePem, 'der')}`],
    ['zeros (CVE-2022-21449)', `${text}.${Buffer.alloc(64).toString('base64url')}`],
    ['ones', `${text}.${Buffer.alloc(64, 255).toString('base64url')}`],
    ['padding', `${token}==`],
    ['padding within', `${head}=.${payload}.${signature}`],
    ['base64, not base64url', plus(oddOf(mint))],
    ['a space at the start of a part', `${head}. ${payload}.${signature}`],
    ['a space within', `${head.slice(0, 4)} ${head.slice(4)}.${payload}.${signature}`],
    ['a tab within', `${head}.\t${payload}.${signature}`],
    ['a no-break space at the end', `${token}\xa0`],
    ['four parts', `${token}.${signature}`],
    ['five parts, like JWE', `${head}.${payload}.${signature}.${payload}.${signature}`],
    ['a dot in front', `.${token}`],
    ['a dot behind', `${token}.`],
    ['two dots', '..'],
    ['one part', 'x'],
    ['quoted', `"${token}"`],
    ['percent-encoded', encodeURIComponent(`${token} `)],
    ['twice, by comma', `${token},${token}`],
    ['two tokens', `${token} ${token}`],
    ['Bearer twice', `Bearer ${token}`],
    ['JSON serialization', JSON.stringify({ protected: head, payload, signature })],
    ['general JSON serialization', JSON.stringify({ payload, signatures: [{ protected: head, signature }] })],
    [
      'the header spaced, the signature of the other',
      `${raw(JSON.stringify(header, null, 1))}.${payload}.${signature}`,
    ],
    ['another payload', `${head}.${encode({ ...claims, roles: ['admin'] })}.${signature}`],
    ['long', 'x'.repeat(14_000)],
    ['kid alone', kid],
  ]
}

/** All of them. `url` is where the tokens that point to a key of their own point to. */
export const forgeries = (mint: Mint, url?: string): Cases => [
  ...ofOtherAlgorithms(mint),
  ...ofOtherKeys(mint, url),
  ...ofOtherHeaders(mint),
  ...ofDoubledNames(mint),
  ...ofOtherClaims(mint),
  ...ofOtherSpellings(mint),
]
