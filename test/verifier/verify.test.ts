/** latchkey/verifier: what it says of a token, whatever Latchkey and the clock do; its options, its start and its end. */
import { createHmac, createPublicKey } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createVerifier, VerifierError, type VerifierOptions } from '../../verifier/index.ts'
import { node } from '../process.ts'
import { AUDIENCE, FEED, ISSUER, JWKS, json, makeKey, seal, startStandIn, unsigned, verdict } from './stand-in.ts'

const SECRET = 'the shared secret of this test: 32 bytes or more'

t.test('a good token gives its claims', async (t) => {
  const latchkey = await startStandIn(t)
  latchkey.keys.push(makeKey('RS256'))
  const verifier = latchkey.verifier()
  t.strictSame(await verifier.verify(latchkey.token()), latchkey.claims())
  t.strictSame(await verifier.verify(latchkey.token({ x: 1 }, {}, latchkey.keys[1])), latchkey.claims({ x: 1 }))
  t.strictSame(latchkey.asked.sort(), [JWKS, FEED], 'and two tokens cost no more questions')
})

t.test('what is wrong with a token is INVALID_TOKEN', async (t) => {
  const latchkey = await startStandIn(t)
  latchkey.keys.push(makeKey('RS256'))
  const [es, rs] = latchkey.keys as [ReturnType<typeof makeKey>, ReturnType<typeof makeKey>]
  const { token, claims } = latchkey
  const verifier = latchkey.verifier()
  const header = { alg: 'ES256', typ: 'at+jwt', kid: es.kid }
  const good = token()
  const [head = '', payload = '', signature = ''] = good.split('.')
  const hs = unsigned({ ...header, alg: 'HS256' }, claims())
  const pem = createPublicKey(es.privateKey).export({ format: 'pem', type: 'spki' })
  const stranger = makeKey()
  const raw = (text: string) => Buffer.from(text).toString('base64url')
  const time = Math.floor(latchkey.clock.time / 1000)
  const cases: [name: string, token: unknown][] = [
    ['nothing', ''],
    ['undefined', undefined],
    ['null', null],
    ['an array', [good]],
    ['an object', { toString: () => good }],
    ['a word', 'x'],
    ['cut', good.slice(0, -1)],
    ['longer', `${good}A`],
    ['with a space', `${good} `],
    ['with a line break', `${good}\n`],
    ['padded', `${good}==`],
    ['two parts', `${head}.${payload}`],
    ['four parts', `${good}.x`],
    ['unsigned', `${head}.${payload}.`],
    ['alg none', `${unsigned({ ...header, alg: 'none' }, claims())}.${signature}`],
    ['HS256 by the public key', `${hs}.${createHmac('sha256', pem).update(hs).digest('base64url')}`],
    ['another payload', `${head}.${raw(JSON.stringify(claims({ sub: 'bob' })))}.${signature}`],
    ['a stranger’s key', token({}, { kid: es.kid }, stranger)],
    ['the id of another key', token({}, { kid: rs.kid })],
    ['the algorithm of another key', token({}, { alg: 'RS256' })],
    ['RS256 said to be ES256', token({}, { alg: 'ES256' }, rs)],
    ['PS256', token({}, { alg: 'PS256' }, rs)],
    ['no kid', token({}, { kid: undefined })],
    ['a list for a kid', token({}, { kid: [es.kid] })],
    ['__proto__ for a kid', token({}, { kid: '__proto__' })],
    ['typ JWT', token({}, { typ: 'JWT' })],
    ['no typ', token({}, { typ: undefined })],
    ['typ in capitals', token({}, { typ: 'AT+JWT' })],
    ['crit', token({}, { crit: ['exp'] })],
    ['crit null', token({}, { crit: null })],
    ['b64', token({}, { b64: false, crit: ['b64'] })],
    ['a header that is a list', seal(`${raw('[]')}.${payload}`, es)],
    ['a header that is null', seal(`${raw('null')}.${payload}`, es)],
    ['a header that is no JSON', seal(`${raw('{')}.${payload}`, es)],
    ['a payload that is a list', seal(`${head}.${raw(JSON.stringify([claims()]))}`, es)],
    ['a payload that is a string', seal(`${head}.${raw('"x"')}`, es)],
    ['a claim twice', seal(`${head}.${raw(JSON.stringify(claims()).replace('{', '{"sub":"bob",'))}`, es)],
    ['kid twice', seal(`${raw(JSON.stringify(header).replace('{', '{"kid":"x",'))}.${payload}`, es)],
    ['its own key along', token({}, { jwk: stranger.jwk }, stranger)],
    ['another issuer', token({ iss: `${ISSUER}/` })],
    ['another audience', token({ aud: 'other' })],
    ['a list of audiences', token({ aud: [AUDIENCE] })],
    ['another client', token({ client_id: 'other' })],
    ['from the future', token({ iat: time + 6 })],
    ['not yet', token({ nbf: time + 6 })],
    ['nbf a text', token({ nbf: '0' })],
    ['exp a fraction', token({ exp: time + 900.5 })],
    ['a role that is no text', token({ roles: ['admin', 1] })],
  ]
  for (const name of Object.keys(claims())) cases.push([`no ${name}`, token({ [name]: undefined })])
  for (const name of ['sub', 'sid', 'jti']) cases.push([`an empty ${name}`, token({ [name]: '' })])
  for (const [name, one] of cases) t.equal(await verdict(verifier, one as string), 'INVALID_TOKEN', name)
  for (const changed of [{ iat: time + 5 }, { nbf: time + 5 }, { roles: [] }])
    t.equal(await verdict(verifier, token(changed)), 'accepted', JSON.stringify(changed))
  t.strictSame(latchkey.asked.sort(), [JWKS, FEED], 'none of them made it ask')
})

t.test('exp comes last, and an ended session before it', async (t) => {
  const latchkey = await startStandIn(t)
  const { token, clock } = latchkey
  const iat = latchkey.claims().iat
  latchkey.ended.push({ sid: 'ended', until: iat + 2000 })
  const verifier = latchkey.verifier()
  const past = { exp: iat }
  const cases: [name: string, token: string, code: string][] = [
    ['over', token(past), 'TOKEN_EXPIRED'],
    ['over, and ended', token({ ...past, sid: 'ended' }), 'INVALID_TOKEN'],
    ['ended', token({ sid: 'ended' }), 'INVALID_TOKEN'],
    ['over, and of another audience', token({ ...past, aud: 'other' }), 'INVALID_TOKEN'],
    ['over, and its key is gone', token(past, { kid: 'x' }), 'TOKEN_EXPIRED'],
    ['its key is gone', token({}, { kid: 'x' }), 'INVALID_TOKEN'],
    ['over, its key is gone, and of another audience', token({ ...past, aud: 'other' }, { kid: 'x' }), 'INVALID_TOKEN'],
    ['over, and of no plausible key', token(past, { kid: '../x' }), 'INVALID_TOKEN'],
    ['over, and of no algorithm', token(past, { kid: 'x', alg: 'none' }), 'INVALID_TOKEN'],
    ['over, and of another algorithm', token(past, { alg: 'RS256' }), 'INVALID_TOKEN'],
    // Whoever made it up is not told which sessions have ended.
    ['over, its key is gone, and ended', token({ ...past, sid: 'ended' }, { kid: 'x' }), 'TOKEN_EXPIRED'],
    ['over, and forged', `${token(past).slice(0, -10)}AAAAAAAAAA`, 'INVALID_TOKEN'],
  ]
  for (const [name, one, code] of cases) t.equal(await verdict(verifier, one), code, name)
  const good = token()
  clock.time = (iat + 900) * 1000 - 1
  const patient = latchkey.verifier()
  t.equal(await verdict(patient, good), 'accepted', 'a millisecond before exp')
  clock.time++
  t.equal(await verdict(patient, good), 'TOKEN_EXPIRED')
})

t.test('HS256: by the secret alone', async (t) => {
  const latchkey = await startStandIn(t)
  const verifier = latchkey.verifier({ secret: SECRET })
  const make = (header: object, secret = SECRET, hash = 'sha256') => {
    const text = unsigned({ alg: 'HS256', typ: 'at+jwt', ...header }, latchkey.claims())
    return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`
  }
  const cases: [name: string, token: string, verdict: string][] = [
    ['right', make({}), 'accepted'],
    ['another secret', make({}, `${SECRET}!`), 'INVALID_TOKEN'],
    ['a kid', make({ kid: latchkey.keys[0]!.kid }), 'INVALID_TOKEN'],
    ['HS512', make({ alg: 'HS512' }, SECRET, 'sha512'), 'INVALID_TOKEN'],
    ['ES256', latchkey.token(), 'INVALID_TOKEN'],
  ]
  for (const [name, token, expected] of cases) t.equal(await verdict(verifier, token), expected, name)
  latchkey.ended.push({ sid: 'session-1', until: latchkey.claims().exp })
  const other = latchkey.verifier({ secret: SECRET })
  await other.ready()
  t.equal(await verdict(other, make({})), 'INVALID_TOKEN', 'the feed counts all the same')
  latchkey.answers[FEED] = json({}, {}, 500)
  await t.rejects(latchkey.verifier({ secret: SECRET }).ready(), { cause: { message: /the answer was 500/ } })
  t.equal(latchkey.count(JWKS), 0)
})

t.test('a header', async (t) => {
  const latchkey = await startStandIn(t)
  const { verifyHeader } = latchkey.verifier()
  const token = latchkey.token()
  for (const header of [`Bearer ${token}`, `bearer   ${token}`])
    t.strictSame(await verifyHeader(header), latchkey.claims(), header.slice(0, 10))
  const bare = { code: 'UNAUTHENTICATED', statusCode: 401, headers: { 'www-authenticate': 'Bearer' } }
  for (const header of [undefined, '', token, 'Bearer', 'Bearer ', `Basic ${token}`, `xBearer ${token}`])
    await t.rejects(verifyHeader(header), bare, String(header).slice(0, 10))
  const invalid = { 'www-authenticate': 'Bearer error="invalid_token"' }
  for (const header of [`Bearer ${token} x`, `Bearer x, Bearer ${token}`, `Bearer Bearer ${token}`])
    await t.rejects(verifyHeader(header), { code: 'INVALID_TOKEN', headers: invalid }, header.slice(0, 10))
  const over = `Bearer ${latchkey.token({ exp: 0 })}`
  await t.rejects(verifyHeader(over), { code: 'TOKEN_EXPIRED', statusCode: 401, headers: invalid })
})

t.test('an option that is none', async (t) => {
  const right = { issuer: ISSUER, audience: AUDIENCE, sessions: false } as const
  const cases: [changed: object, message: RegExp][] = [
    [{ issuer: undefined }, /`issuer`/],
    [{ issuer: '' }, /`issuer`/],
    [{ audience: undefined }, /`audience`/],
    [{ audience: [AUDIENCE] }, /`audience`/],
    [{ secret: '' }, /32 bytes/],
    [{ secret: 'x'.repeat(31) }, /32 bytes/],
    [{ secret: SECRET, jwksUri: 'http://127.0.0.1:1/' }, /not both/],
    ...[null, true, '', 'private', 0, [], {}].map((sessions): [object, RegExp] => [{ sessions }, /`sessions`/]),
    ...[{ clientId: 'orders' }, { clientSecret: 'x' }, { clientId: '', clientSecret: 'x' }].map(
      (sessions): [object, RegExp] => [{ sessions }, /`clientSecret`/],
    ),
    ...[
      { clientId: 'orders', clientSecret: '' },
      { clientId: 5, clientSecret: 'x' },
    ].map((sessions): [object, RegExp] => [{ sessions }, /`clientSecret`/]),
    ...[null, '', 'Refuse', true].map((staleSessions): [object, RegExp] => [{ staleSessions }, /`staleSessions`/]),
  ]
  const seconds = ['maxStaleness', 'pollSeconds', 'jwksMaxAge', 'jwksMaxStaleness', 'timeoutSeconds']
  for (const name of seconds) {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 0, -1, 86_400.5, '2', null])
      cases.push([{ [name]: value }, new RegExp(`\`${name}\`.*86400`)])
    for (const value of [86_400, 0.5, undefined]) createVerifier({ ...right, secret: SECRET, [name]: value }).close()
  }
  for (const [changed, message] of cases)
    t.throws(() => createVerifier({ ...right, ...changed } as VerifierOptions), { name: 'TypeError', message })
})

t.test('where Latchkey is asked', async (t) => {
  const cases: [options: Partial<VerifierOptions>, ...urls: string[]][] = [
    [{}, 'https://gw.example/auth/.well-known/jwks.json', 'https://gw.example/auth/.well-known/revocations'],
    [{ url: 'http://lk:1/' }, 'http://lk:1/.well-known/jwks.json', 'http://lk:1/.well-known/revocations'],
    [{ jwksUri: 'http://cdn/keys' }, 'http://cdn/keys', 'https://gw.example/auth/.well-known/revocations'],
    [{ sessions: false }, 'https://gw.example/auth/.well-known/jwks.json'],
    [{ secret: SECRET, sessions: false }],
  ]
  for (const [options, ...urls] of cases) {
    const asked: string[] = []
    const fetch = async (url: string) => {
      asked.push(url)
      return Response.json({ keys: [makeKey().jwk], as_of: 1, sessions: [] })
    }
    const verifier = createVerifier({ issuer: 'https://gw.example/auth', audience: 'x', fetch, ...options })
    await verifier.ready()
    verifier.close()
    t.strictSame(asked, urls, JSON.stringify(options))
  }
})

t.test('ready: when all was read, and why not', async (t) => {
  const latchkey = await startStandIn(t)
  latchkey.answers[FEED] = json({}, {}, 401)
  const errors: string[] = []
  const onError = ({ message }: Error) => errors.push(message)
  const verifier = latchkey.verifier({ onError })
  const message = `GET ${latchkey.origin}${FEED} failed: the answer was 401`
  await t.rejects(verifier.ready(), { name: 'VerifierError', code: 'UNAVAILABLE', cause: { message } })
  await t.rejects(verifier.ready(), VerifierError)
  t.equal(await verdict(verifier, latchkey.token()), 'UNAVAILABLE')
  t.equal(await verdict(verifier, 'x'), 'INVALID_TOKEN', 'that much can be said')
  t.strictSame(errors, [message], 'said once')
  await latchkey.verifier({ staleSessions: 'tolerate' }).ready()
  await latchkey.verifier({ sessions: false }).ready()
  delete latchkey.answers[FEED]
  await verifier.ready()
  t.equal(await verdict(verifier, latchkey.token()), 'accepted')

  latchkey.answers[JWKS] = json({ keys: [] })
  const keyless = latchkey.verifier()
  await t.rejects(keyless.ready(), { code: 'UNAVAILABLE', cause: { message: /`secret`/ } })
  t.equal(await verdict(keyless, latchkey.token()), 'UNAVAILABLE')
})

t.test('it goes on reading, and a token that comes first waits for the first answer', async (t) => {
  const latchkey = await startStandIn(t)
  const verifier = latchkey.verifier({ pollSeconds: 0.002 })
  t.equal(await verdict(verifier, latchkey.token()), 'accepted')
  latchkey.ended.push({ sid: 'session-1', until: latchkey.claims().exp })
  while ((await verdict(verifier, latchkey.token())) === 'accepted') await pause(1)
  t.equal(await verdict(verifier, latchkey.token()), 'INVALID_TOKEN')
  t.equal(latchkey.count(JWKS), 1, 'the keys as seldom as their list allows')
  latchkey.clock.time += 300_000
  while (latchkey.count(JWKS) === 1) await pause(1)
  verifier.close()
  await pause(10)
  const { length } = latchkey.asked
  for (let turn = 0; turn < 20; turn++) await pause(2)
  t.equal(latchkey.asked.length, length, 'not after its close')
})

t.test('keys that do not come do not hold up the feed', async (t) => {
  const latchkey = await startStandIn(t)
  const verifier = latchkey.verifier({ pollSeconds: 0.002, timeoutSeconds: 600 })
  await verifier.ready()
  const asked = new Promise<void>((resolve) => {
    latchkey.answers[JWKS] = () => resolve()
  })
  latchkey.clock.time += 300_000
  await asked
  const before = latchkey.count(FEED)
  while (latchkey.count(FEED) < before + 3) await pause(1)
  latchkey.ended.push({ sid: 'session-1', until: latchkey.claims().exp })
  while ((await verdict(verifier, latchkey.token())) === 'accepted') await pause(1)
  t.equal(await verdict(verifier, latchkey.token()), 'INVALID_TOKEN')
})

t.test('an onError that throws ends nothing', async (t) => {
  const latchkey = await startStandIn(t)
  latchkey.answers[FEED] = json({}, {}, 500)
  const oddities = [
    () => {
      throw new Error('at once')
    },
    () => Promise.reject(new Error('later')),
  ]
  for (const onError of oddities) {
    const verifier = latchkey.verifier({ onError, pollSeconds: 0.001 })
    await t.rejects(verifier.ready(), { code: 'UNAVAILABLE', cause: { message: /the answer was 500/ } })
    const before = latchkey.count(FEED)
    while (latchkey.count(FEED) < before + 3) await pause(1)
    verifier.close()
  }
})

t.test('a close ends what is on its way, and that is no failure', async (t) => {
  const latchkey = await startStandIn(t)
  const errors: Error[] = []
  const ended = new Promise<void>((resolve) => {
    latchkey.answers[FEED] = ({ socket }) => {
      socket.once('close', resolve)
      verifier.close()
    }
  })
  const verifier = latchkey.verifier({ onError: (error) => errors.push(error) })
  await ended
  await t.rejects(verifier.verify(latchkey.token()), { code: 'UNAVAILABLE' })
  t.strictSame(errors, [])
  await latchkey.verifier({ pollSeconds: 0.001, fetch: async () => Promise.reject(new Error('away')) }).close()
})

t.test('a process does not go on for its sake', async (t) => {
  const latchkey = await startStandIn(t)
  const text = `
    import { createVerifier } from 'latchkey/verifier'
    await createVerifier({ issuer: '${latchkey.origin}', audience: 'x', pollSeconds: 1000 }).ready()
    console.log('ready')`
  const process = node(t, ['--input-type=module', '-e', text])
  t.equal(await process.ended, 0)
  t.equal(process.stdout(), 'ready\n', process.stderr())
})
