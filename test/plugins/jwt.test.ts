/** Forged and odd access tokens, at both gates: by the token alone and by its session. */
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import t, { type Test } from 'tap'
import { keysOf } from '../../plugins/keys/index.ts'
import { createEngine } from '../engines.ts'
import { startApp, type TestApp } from '../helper.ts'

/** Where a token alone is enough, and where its session is read. */
const GATES = ['/user/me', '/user/sessions']

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const es256 = (text: string, key: string | KeyObject, dsaEncoding: 'ieee-p1363' | 'der' = 'ieee-p1363') =>
  sign('sha256', Buffer.from(text), { key: key as string, dsaEncoding }).toString('base64url')

/** A person, the parts of a right token of hers, and ways to sign others with the real key. */
async function start(t: Test) {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  // In the middle of a second, where rounding shows.
  app.clock.time = Math.floor(app.clock.time / 1000) * 1000 + 500
  const ann = await app.register('ann')
  const token = ann.tokens.access_token
  const [head = '', payload = '', signature = ''] = token.split('.')
  const [header, claims] = [head, payload].map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))
  const { privatePem, publicPem, kid } = keysOf(app.server).current()
  const seal = (text: string) => `${text}.${es256(text, privatePem)}`
  const make = (changedHeader: object, changedClaims: object) =>
    seal(`${encode({ ...header, ...changedHeader })}.${encode({ ...claims, ...changedClaims })}`)
  const ask = async (url: string, authorization: string) => (await app.anon.get(url, { authorization })) as Answered
  return { app, ann, token, head, payload, signature, header, claims, privatePem, publicPem, kid, seal, make, ask }
}

interface Answered {
  status: number
  text: string
  body: { code: string }
  headers: Record<string, unknown>
}
type Cases = [name: string, token: string][]

/** Each of these is refused at both gates, and no two of them are told apart. */
async function refuses(t: Test, app: TestApp, cases: Cases, code = 'INVALID_TOKEN') {
  const bodies = new Set<string>()
  for (const [name, token] of cases) {
    for (const url of GATES) {
      const { status, body, text, headers } = await app.anon.get(url, { authorization: `Bearer ${token}` })
      t.strictSame({ status, code: body?.code }, { status: 401, code }, `${name}: ${url}`)
      t.equal(headers['www-authenticate'], 'Bearer error="invalid_token"', name)
      bodies.add(text)
    }
  }
  t.equal(bodies.size, 1, 'one body for all')
}

async function accepts(t: Test, app: TestApp, cases: Cases) {
  for (const [name, token] of cases) {
    for (const url of GATES)
      t.equal((await app.anon.get(url, { authorization: `Bearer ${token}` })).status, 200, `${name}: ${url}`)
  }
}

t.test('what is issued is an RFC 9068 token, and one like it by the real key is accepted', async (t) => {
  const { app, ann, token, header, claims, kid, make } = await start(t)
  const { iss, aud, client_id, sub, sid, jti, iat, exp, roles, ...more } = claims
  t.strictSame(header, { alg: 'ES256', typ: 'at+jwt', kid })
  t.strictSame(more, {}, 'no other claim')
  t.strictSame(
    { iss, aud, client_id, sub, roles },
    {
      iss: 'https://auth.example.com',
      aud: 'latchkey',
      client_id: 'latchkey',
      sub: ann.tokens.user.id,
      roles: [],
    },
  )
  t.strictSame([iat, exp], [(app.clock.time - 500) / 1000, iat + 900])
  const again = (await app.login('ann')).tokens.access_token
  const claimsAgain = JSON.parse(Buffer.from(again.split('.')[1]!, 'base64url').toString())
  t.not(claimsAgain.jti, jti)
  t.not(claimsAgain.sid, sid)
  await accepts(t, app, [
    ['the token itself', token],
    ['the same claims again', make({}, {})],
    ['a claim that is not ours', make({}, { name: 'Ann', nonce: 1 })],
    ['a header member that is not ours', make({ x: 1 }, {})],
    ['roles', make({}, { roles: ['admin'] })],
  ])
})

t.test('another algorithm', async (t) => {
  const { app, head, payload, signature, header, claims, publicPem, token } = await start(t)
  const jwk = createPublicKey(publicPem).export({ format: 'jwk' })
  const der = createPublicKey(publicPem).export({ format: 'der', type: 'spki' })
  const published = keysOf(app.server).published()
  const withAlg = (alg: unknown) => `${encode({ ...header, alg })}.${payload}`
  const hmac = (key: string | Buffer, alg = 'HS256', hash = 'sha256') =>
    `${withAlg(alg)}.${createHmac(hash, key).update(withAlg(alg)).digest('base64url')}`
  const cases: Cases = []
  for (const alg of [
    'none',
    'None',
    'NONE',
    'nOnE',
    'none ',
    '',
    'es256',
    'ES256 ',
    'ES384',
    'RS256',
    'PS256',
    'EdDSA',
    null,
    0,
    true,
    ['ES256'],
    {},
    undefined,
  ]) {
    const name = `alg ${JSON.stringify(alg)}`
    cases.push(
      [`${name}, unsigned`, `${withAlg(alg)}.`],
      [`${name}, the old signature`, `${withAlg(alg)}.${signature}`],
    )
  }
  const secrets: [name: string, key: string | Buffer][] = [
    ['the PEM', publicPem],
    ['the PEM without its last line break', publicPem.trim()],
    ['the DER', der],
    ['the DER as base64', der.toString('base64')],
    ['the JWK', JSON.stringify(jwk)],
    ['the published JWK', JSON.stringify(published[0])],
    ['the JWK set', JSON.stringify({ keys: published })],
    ['x', published[0]!.x],
    ['kid', published[0]!.kid],
    ['nothing', ''],
    ['NUL', '\0'],
    ['SECRET', app.config.SECRET[0]!],
  ]
  for (const [name, key] of secrets) {
    cases.push([`HS256 keyed with ${name}`, hmac(key)], [`HS512 keyed with ${name}`, hmac(key, 'HS512', 'sha512')])
    cases.push([`an HMAC that says ES256, keyed with ${name}`, hmac(key, 'ES256')])
  }
  const pairs = [
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ]
  const [own, rsa] = pairs.map(({ privateKey }) => privateKey as KeyObject)
  const text = `${head}.${payload}`
  cases.push(['a stranger’s key', `${text}.${es256(text, own!)}`])
  const rs = withAlg('RS256')
  cases.push(['RS256', `${rs}.${sign('sha256', Buffer.from(rs), rsa!).toString('base64url')}`])
  const ownJwk = createPublicKey(own!).export({ format: 'jwk' })
  for (const extra of [
    { jwk: ownJwk },
    { jku: 'http://127.0.0.1:1/' },
    { x5c: ['x'] },
    { x5u: 'http://127.0.0.1:1/' },
  ]) {
    const named = `${encode({ ...header, ...extra })}.${encode(claims)}`
    cases.push([`its own key along: ${Object.keys(extra)}`, `${named}.${es256(named, own!)}`])
  }
  await refuses(t, app, cases)
  await accepts(t, app, [['and the right one still', token]])
})

t.test('kid, typ, crit, and a header that is none', async (t) => {
  const { app, head, payload, header, claims, make, seal, kid } = await start(t)
  const cases: Cases = []
  const kids = [
    undefined,
    null,
    '',
    'x',
    `${kid} `,
    kid.toLowerCase(),
    kid.slice(1),
    '__proto__',
    'constructor',
    'toString',
    0,
    1,
    true,
    [kid],
    { kid },
    '../../etc/passwd',
    "' OR 1=1--",
    '\0',
    'x'.repeat(4000),
  ]
  for (const other of kids) cases.push([`kid ${JSON.stringify(other)}`.slice(0, 40), make({ kid: other }, {})])
  const typs = [
    undefined,
    null,
    '',
    'JWT',
    'jwt',
    'at',
    'at+jwt ',
    'rt+jwt',
    'application/jwt',
    'application/at+jwt',
    'AT+JWT',
    'secevent+jwt',
    0,
    ['at+jwt'],
    {},
  ]
  for (const typ of typs) cases.push([`typ ${JSON.stringify(typ)}`, make({ typ }, {})])
  for (const crit of [['exp'], ['b64'], [], ['x'], 'exp', null, {}, 1])
    cases.push([`crit ${JSON.stringify(crit)}`, make({ crit, b64: true, x: 1 }, {})])
  for (const part of [null, 1, 'x', [], [header], true, {}]) {
    cases.push([`the header ${JSON.stringify(part)}`.slice(0, 40), seal(`${encode(part)}.${payload}`)])
    cases.push([`the payload ${JSON.stringify(part)}`.slice(0, 40), seal(`${head}.${encode(part)}`)])
  }
  cases.push(['the payload an array of claims', seal(`${head}.${encode([claims])}`)])
  cases.push(['the payload a string of claims', seal(`${head}.${encode(JSON.stringify(claims))}`)])
  const raw = (text: string | Buffer) => Buffer.from(text).toString('base64url')
  cases.push(
    ['the payload no JSON', seal(`${head}.${raw('{')}`)],
    ['exp without end', seal(`${head}.${raw(JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e400'))}`)],
    ['the header no JSON', seal(`${raw('{')}.${payload}`)],
  )
  for (const [index, part] of [header, claims].entries()) {
    for (const [name, value] of Object.entries(part)) {
      const twice = raw(JSON.stringify(part).replace('{', `{${JSON.stringify(name)}:${JSON.stringify(value)},`))
      cases.push([`${name} twice`, seal(index === 0 ? `${twice}.${payload}` : `${head}.${twice}`)])
    }
  }
  cases.push(
    ['sub twice, once escaped', seal(`${head}.${raw(JSON.stringify(claims).replace('{', '{"s\\u0075b":"x",'))}`)],
    ['twice within a claim', seal(`${head}.${raw(JSON.stringify(claims).replace('{', '{"x":[{"a":1,"a":1}],'))}`)],
    ['a BOM', seal(`${head}.${raw(`\ufeff${JSON.stringify(claims)}`)}`)],
    ['a byte that is no UTF-8', seal(`${head}.${raw(Buffer.from(JSON.stringify({ ...claims, x: 'é' }), 'latin1'))}`)],
  )
  cases.push(['the payload no UTF-8', seal(`${head}.${raw(Buffer.from([0x7b, 0xff, 0x7d]))}`)])
  await refuses(t, app, cases)
})

t.test('each claim, missing, of another type or of another value', async (t) => {
  const { app, claims, make } = await start(t)
  const anyType = [undefined, null, true, 0, 1, '', [], {}]
  const text = (right: string) => [
    ...anyType,
    [right],
    { 0: right },
    ` ${right}`,
    `${right} `,
    right.toUpperCase(),
    `${right}\0`,
  ]
  const time = (right: number) => [
    ...anyType.slice(0, 3),
    '',
    [],
    {},
    String(right),
    [right],
    right + 0.5,
    Number.MAX_SAFE_INTEGER + 1,
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
  }
  const cases: Cases = []
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) cases.push([`${name} ${JSON.stringify(value)}`, make({}, { [name]: value })])
  }
  for (const nbf of [claims.iat + 6, claims.iat + 900, '0', null, [], {}])
    cases.push([`nbf ${JSON.stringify(nbf)}`, make({}, { nbf })])
  await refuses(t, app, cases)
  await accepts(t, app, [
    ['iat 5 s ahead', make({}, { iat: claims.iat + 5 })],
    ['iat long ago', make({}, { iat: 0 })],
    ['iat before 1970', make({}, { iat: -1 })],
    ['nbf now', make({}, { nbf: claims.iat })],
    ['exp far ahead', make({}, { exp: Number.MAX_SAFE_INTEGER })],
  ])
})

t.test('a right signature of claims that are not in the database', async (t) => {
  const { app, claims, make } = await start(t)
  const bob = await app.register('bob')
  const { authorization } = { authorization: `Bearer ${make({}, { sid: 'unknown' })}` }
  t.equal((await app.anon.get('/user/sessions', { authorization })).body.code, 'INVALID_TOKEN', 'no such session')
  const others = `Bearer ${make({}, { sub: bob.tokens.user.id })}`
  t.equal(
    (await app.anon.get('/user/sessions', { authorization: others })).body.code,
    'INVALID_TOKEN',
    'of another person',
  )
  await refuses(t, app, [
    ['nobody', make({}, { sub: 'nobody' })],
    ['an odd id', make({}, { sub: '\0한국😀' })],
    ['a long id', make({}, { sub: 'x'.repeat(5000), sid: claims.sid })],
  ])
  for (const sid of ['\0', '한국', '😀', 'x'.repeat(5000)]) {
    const token = make({}, { sid })
    t.match(await app.anon.get('/user/sessions', { authorization: `Bearer ${token}` }), {
      status: 401,
      body: { code: 'INVALID_TOKEN' },
    })
  }
})

t.test('exp: reached, and after all else', async (t) => {
  const { app, ann, claims, make, head, payload, signature, token, seal } = await start(t)
  const past = { exp: claims.iat }
  await refuses(
    t,
    app,
    [
      ['exp reached', make({}, past)],
      ['exp 0', make({}, { exp: 0 })],
      ['exp before 1970', make({}, { exp: -5 })],
    ],
    'TOKEN_EXPIRED',
  )
  const edge: [ms: number, code: string | undefined][] = [
    [-1, undefined],
    [0, 'TOKEN_EXPIRED'],
    [1, 'TOKEN_EXPIRED'],
  ]
  for (const [ms, code] of edge) {
    app.clock.time = claims.exp * 1000 + ms
    await app.advance(0)
    for (const url of GATES) t.equal((await ann.get(url)).body.code, code, `${ms} ms after exp: ${url}`)
  }
  const flipped = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`
  await refuses(t, app, [
    ['expired and forged', `${head}.${payload}.${flipped}`],
    ['expired and of another audience', make({}, { ...past, aud: 'other' })],
    ['expired and of another issuer', make({}, { ...past, iss: 'other' })],
    ['expired and of another type', make({ typ: 'JWT' }, past)],
    ['expired and without sid', make({}, { ...past, sid: undefined })],
    ['expired and without sub', make({}, { ...past, sub: undefined })],
    ['expired and with a bad role', make({}, { ...past, roles: [1] })],
    ['expired and of an unknown key', make({ kid: 'x' }, past)],
    ['expired and from the future', make({}, { ...past, iat: claims.exp + 100 })],
    ['expired and unsigned', `${encode({ alg: 'none', typ: 'at+jwt' })}.${encode({ ...claims, ...past })}.`],
    ['expired and no object', seal(`${head}.${encode([])}`)],
  ])
  await refuses(t, app, [['expired alone', token]], 'TOKEN_EXPIRED')
})

t.test('expired and ended is INVALID_TOKEN', async (t) => {
  const { app, ann, claims, token, make } = await start(t)
  const other = await app.login('ann')
  t.equal((await ann.delete('/user/logout')).status, 200)
  await refuses(t, app, [
    ['ended', token],
    ['ended and expired', make({}, { exp: claims.iat })],
  ])
  await app.advance(901)
  await refuses(t, app, [['ended, then expired', token]])
  t.equal((await other.get('/user/me')).body.code, 'TOKEN_EXPIRED', 'a session that has not ended')
})

t.test('another spelling of a token is no token', async (t) => {
  const { app, token, head, payload, signature, header, claims, privatePem, seal, kid } = await start(t)
  const text = `${head}.${payload}`
  const bytes = Buffer.from(signature, 'base64url')
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // 64 bytes leave four bits of the last character unused: these decode to the same signature.
  const twin = last[last.indexOf(signature.at(-1)!) + 1]!
  t.same(Buffer.from(signature.slice(0, -1) + twin, 'base64url'), bytes, 'the twin decodes alike')
  const plus = (part: string) => part.replaceAll('-', '+').replaceAll('_', '/')
  // Something whose base64 has a + or /, whatever the signature is.
  const odd = seal(`${encode({ ...header, x: '>>>???>>>???' })}.${payload}`)
  t.match(odd, /[-_]/)
  const cases: Cases = [
    ['the last character’s twin', `${text}.${signature.slice(0, -1)}${twin}`],
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
    ['base64, not base64url', plus(odd)],
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
      `${Buffer.from(JSON.stringify(header, null, 1)).toString('base64url')}.${payload}.${signature}`,
    ],
    ['another payload', `${head}.${encode({ ...claims, roles: ['admin'] })}.${signature}`],
    ['long', 'x'.repeat(14_000)],
    ['a refresh token', (await app.login('ann')).tokens.refresh_token],
    ['kid alone', kid],
  ]
  await refuses(t, app, cases)
  await accepts(t, app, [['the odd one as it should be', odd]])
})

t.test('spellings of Authorization', async (t) => {
  const { token, ask } = await start(t)
  const fine = [`Bearer ${token}`, `bearer ${token}`, `BEARER ${token}`, `Bearer  ${token}`]
  const none = [
    '',
    'Bearer',
    'Bearer ',
    'Bearer    ',
    token,
    `Bearer${token}`,
    `Basic ${token}`,
    `Basic ${btoa(`ann:${token}`)}`,
    `Token ${token}`,
    `DPoP ${token}`,
    `JWT ${token}`,
    `Bearer: ${token}`,
    `Bearer=${token}`,
    `, Bearer ${token}`,
    `Bearer\t${token}`,
    `Bearer,${token}`,
  ]
  for (const url of GATES) {
    for (const authorization of fine) t.equal((await ask(url, authorization)).status, 200, authorization.slice(0, 12))
    for (const authorization of none) {
      const { status, body, headers } = await ask(url, authorization)
      const got = { status, code: body.code, challenge: headers['www-authenticate'] }
      t.strictSame(got, { status: 401, code: 'UNAUTHENTICATED', challenge: 'Bearer' }, authorization.slice(0, 12))
    }
  }
})

t.test('a token of another Latchkey', async (t) => {
  const here = await start(t)
  const there = await startApp(t, createEngine(t, 'sqlite'))
  const stranger = await there.register('ann')
  await refuses(t, here.app, [['of another database', stranger.tokens.access_token]])
  await refuses(t, there, [['and the other way', here.token]])
})
