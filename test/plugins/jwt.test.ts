/** Odd access tokens, at both gates: by the token alone and by its session. The forged ones are in forgeries.test.ts. */
import t, { type Test } from 'tap'
import { accessTokensOf } from '../../plugins/jwt.ts'
import { keysOf } from '../../plugins/keys/index.ts'
import { createEngine } from '../engines.ts'
import { type Cases, encode, mintOf, oddOf } from '../forgeries.ts'
import { startApp, type TestApp } from '../helper.ts'

/** Where a token alone is enough, and where its session is read. */
const GATES = ['/user/me', '/user/sessions']

/** A person, and a mint of her tokens. */
async function start(t: Test) {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  // In the middle of a second, where rounding shows.
  app.clock.time = Math.floor(app.clock.time / 1000) * 1000 + 500
  const ann = await app.register('ann')
  const ask = async (url: string, authorization: string) => (await app.anon.get(url, { authorization })) as Answered
  return { app, ann, ask, ...mintOf(app, ann.tokens.access_token) }
}

interface Answered {
  status: number
  text: string
  body: { code: string }
  headers: Record<string, unknown>
}

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

t.test('times that are odd and yet right', async (t) => {
  const { app, claims, make } = await start(t)
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

t.test('a token whose base64 has a + or /', async (t) => {
  const { app, ...mint } = await start(t)
  const odd = oddOf(mint)
  t.match(odd, /[-_]/)
  await accepts(t, app, [['it', odd]])
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

/** How often a signature is paid for from now on. */
function countSignatures(t: Test, app: TestApp): { count: number } {
  const paid = { count: 0 }
  const { jwt } = app.server
  const { verify } = jwt
  jwt.verify = ((...args: Parameters<typeof verify>) => {
    paid.count++
    return verify.apply(jwt, args)
  }) as typeof verify
  t.teardown(() => {
    jwt.verify = verify
  })
  return paid
}

t.test('a signature is paid for once a token, and a refused token never passes for free', async (t) => {
  const { app, ann, ask, token, head, payload } = await start(t)
  const paid = countSignatures(t, app)
  for (const url of ['/auth/verify', '/user/me', '/user/sessions', '/auth/verify'])
    t.equal((await ask(url, `Bearer ${token}`)).status, 200)
  t.equal(paid.count, 1)
  for (const time of [2, 3]) {
    t.equal((await ask('/auth/verify', `Bearer ${head}.${payload}.${'A'.repeat(86)}`)).status, 401)
    t.equal(paid.count, time, 'it is not remembered that a token was refused')
  }
  t.equal((await ask('/auth/verify', `Bearer ${token}`)).status, 200)
  t.equal(paid.count, 3)
  await app.advance(app.config.ACCESS_TOKEN_TTL)
  t.equal((await ask('/auth/verify', `Bearer ${token}`)).body.code, 'TOKEN_EXPIRED')
  const { body } = await app.anon.post('/user/refresh', { refresh_token: ann.tokens.refresh_token })
  t.equal((await ask('/auth/verify', `Bearer ${body.access_token}`)).status, 200)
  await app.anon.post('/user/logout', { refresh_token: body.refresh_token })
  t.equal((await ask('/auth/verify', `Bearer ${body.access_token}`)).body.code, 'INVALID_TOKEN')
  t.equal(paid.count, 4)
})

t.test('what was verified goes with its key', async (t) => {
  const { app, ask, token, kid } = await start(t)
  await app.advance(60)
  t.equal((await ask('/auth/verify', `Bearer ${token}`)).status, 200)
  const { set } = keysOf(app.server)
  await set!.revoke(kid)
  t.equal((await ask('/auth/verify', `Bearer ${token}`)).body.code, 'INVALID_TOKEN')
  const bob = await app.register('bob')
  t.equal((await ask('/auth/verify', `Bearer ${bob.tokens.access_token}`)).status, 200, 'the next key signs')
  t.equal((await ask('/auth/verify', `Bearer ${token}`)).body.code, 'INVALID_TOKEN')
})

t.test('10,000 tokens are remembered; the oldest has to go', async (t) => {
  const { app, ask, claims, make } = await start(t)
  const tokens = Array.from({ length: 10_001 }, (_, jti) => make({}, { ...claims, jti: `${jti}` }))
  const [first, second] = tokens
  const { verify } = accessTokensOf(app.server)
  for (const token of tokens.slice(0, 10_000)) await verify(token)
  const paid = countSignatures(t, app)
  const passes = async (token: string | undefined) =>
    t.equal((await ask('/auth/verify', `Bearer ${token}`)).status, 200)
  await passes(first)
  t.equal(paid.count, 0)
  await passes(tokens.at(-1))
  await passes(second)
  t.equal(paid.count, 1, 'one more, and the second one is remembered still')
  await passes(first)
  t.equal(paid.count, 2, 'the oldest is not')
})
