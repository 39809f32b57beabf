/** latchkey/verifier's keys: how long a list is used, rotation, a revoked key, unknown ones, and answers that are none. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { createPublicKeys } from '../../verifier/keys.ts'
import { JWKS, json, makeKey, type StandIn, seal, startStandIn, unsigned, verdict } from './stand-in.ts'

/** Keys that are read when the test says so, and a verifier that is asked by the same list. */
async function start(t: Test) {
  const latchkey = await startStandIn(t)
  const { clock } = latchkey
  const errors: string[] = []
  const keys = createPublicKeys({
    asker: { fetch, timeoutMs: 60_000, closing: new AbortController().signal },
    url: latchkey.origin + JWKS,
    now: () => clock.time,
    maxAge: 300,
    staleAfterMs: 3_600_000,
    onError: ({ message }) => errors.push(message),
  })
  await keys.refresh()
  const headerOf = ({ alg, kid } = latchkey.keys[0]!) => ({ alg, kid })
  /** Whether the key is known, or the code of the error. */
  const find = async (header: object = headerOf(), isOver = false) => {
    try {
      return (await keys.find(header as Record<string, unknown>, isOver)) !== undefined
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  return { latchkey, clock, keys, errors, find, headerOf, count: () => latchkey.count(JWKS) }
}

t.test('a list is used as long as its Cache-Control says, and at most for jwksMaxAge', async (t) => {
  const { latchkey, clock, keys, count } = await start(t)
  const cases: [headers: Record<string, string>, seconds: number][] = [
    [{ 'cache-control': 'public, max-age=300' }, 300],
    [{ 'cache-control': 'max-age=7' }, 7],
    [{ 'cache-control': 'MAX-AGE=7, s-maxage=200' }, 7],
    [{ 'cache-control': 's-maxage=200' }, 300],
    [{ 'cache-control': 'public, max-age=86400' }, 300],
    [{ 'cache-control': 'max-age=100', age: '90' }, 10],
    [{ 'cache-control': 'max-age=100', age: 'x' }, 100],
    [{ 'cache-control': 'max-age=100', age: '900' }, 0],
    [{ 'cache-control': 'no-store' }, 0],
    [{ 'cache-control': 'no-cache, max-age=100' }, 0],
    [{ 'cache-control': 'public' }, 300],
    [{}, 300],
  ]
  for (const [headers, seconds] of cases) {
    const name = JSON.stringify(headers)
    latchkey.answers[JWKS] = json({ keys: [latchkey.keys[0]!.jwk] }, headers)
    clock.time += 1_000_000
    await keys.refresh()
    const before = count()
    clock.time += seconds * 1000 - 1
    if (seconds > 0) await keys.refresh()
    t.equal(count(), before, `${name}: not before`)
    clock.time++
    await keys.refresh()
    t.equal(count(), before + 1, `${name}: then`)
  }
})

t.test('rotation: the new key is known before it signs, and the old one until it goes', async (t) => {
  const { latchkey, clock, keys, find, headerOf, count } = await start(t)
  const [old] = latchkey.keys
  latchkey.keys.push(makeKey())
  clock.time += 300_000
  await keys.refresh()
  t.equal(count(), 2)
  for (const key of latchkey.keys) t.equal(await find(headerOf(key)), true)
  t.equal(count(), 2, 'no token had to ask')
  latchkey.keys.shift()
  t.equal(await find(headerOf(old)), true, 'a key that was revoked is known by an old list')
  clock.time += 300_000
  await keys.refresh()
  t.equal(await find(headerOf(old)), false, 'and refused after the next read')
  t.equal(await find(headerOf(old), true), 'TOKEN_EXPIRED', 'as its tokens are when it went in its time')
  t.equal(await find(), true)
})

t.test('a key that is not known yet: its first token asks', async (t) => {
  const latchkey = await startStandIn(t)
  const verifier = latchkey.verifier()
  t.equal(await verdict(verifier, latchkey.token()), 'accepted')
  const next = makeKey('RS256')
  latchkey.keys.push(next)
  const token = () => latchkey.token({}, {}, next)
  t.equal(await verdict(verifier, token()), 'INVALID_TOKEN', 'not within 10 s of the last read')
  t.equal(latchkey.count(JWKS), 1)
  latchkey.clock.time += 10_000
  const verdicts = await Promise.all(Array.from({ length: 20 }, () => verdict(verifier, token())))
  t.strictSame(new Set(verdicts), new Set(['accepted']))
  t.equal(latchkey.count(JWKS), 2, 'once for all that came together')
})

t.test('a clock that is put back: the list is read anew, and unknown keys are asked for', async (t) => {
  const { latchkey, clock, keys, find, headerOf, count } = await start(t)
  clock.time -= 1
  t.equal(await find(), 'UNAVAILABLE', 'how old the list is cannot be told')
  await keys.refresh()
  t.equal(count(), 2)
  t.equal(await find(), true)
  latchkey.keys.push(makeKey())
  const next = headerOf(latchkey.keys[1])
  clock.time -= 9_999
  t.equal(await find(next), 'UNAVAILABLE')
  t.equal(count(), 2)
  clock.time -= 1
  t.equal(await find(next), true)
  t.equal(count(), 3)
})

t.test('a flood of unknown keys asks once in 10 s, and what is no plausible token never', async (t) => {
  const latchkey = await startStandIn(t)
  const verifier = latchkey.verifier()
  await verifier.ready()
  const stranger = makeKey()
  const forged = (kid: unknown, claims = {}, header = {}) => latchkey.token(claims, { kid, ...header }, stranger)
  const flood = async () => {
    const tokens = Array.from({ length: 100 }, (_, index) => forged(`${stranger.kid}-${index}`))
    const verdicts = await Promise.all(tokens.map((token) => verdict(verifier, token)))
    t.strictSame(new Set(verdicts), new Set(['INVALID_TOKEN']))
  }
  latchkey.clock.time += 9_999
  await flood()
  t.equal(latchkey.count(JWKS), 1)
  latchkey.clock.time += 1
  for (let turn = 0; turn < 3; turn++) await flood()
  t.equal(latchkey.count(JWKS), 2)
  latchkey.clock.time += 20_000
  const implausible = [
    ...[undefined, null, '', 1, ['x'], {}, 'x'.repeat(129), '../keys', 'http://127.0.0.1/', 'a b', '\0'].map((kid) =>
      forged(kid),
    ),
    ...['none', 'HS256', 'ES384', 'es256', '__proto__', 'constructor', null, ['ES256']].map((alg) =>
      forged('x', {}, { alg }),
    ),
    forged('x', { aud: 'other' }),
    forged('x', { iss: 'other' }),
    forged('x', { sid: undefined }),
    forged('x', {}, { typ: 'JWT' }),
    `${unsigned({ alg: 'ES256', typ: 'at+jwt', kid: 'x' }, latchkey.claims())}.`,
  ]
  for (const token of implausible) t.equal(await verdict(verifier, token), 'INVALID_TOKEN')
  t.equal(await verdict(verifier, forged('x', { exp: 0 })), 'TOKEN_EXPIRED')
  t.equal(latchkey.count(JWKS), 2)
  t.equal(await verdict(verifier, latchkey.token()), 'accepted', 'and a right one passes all the while')
})

t.test('an answer that is none leaves the old list, until it is too old', async (t) => {
  const { latchkey, clock, keys, errors, find } = await start(t)
  const elsewhere = createServer((_, response) => void response.end(JSON.stringify({ keys: [makeKey().jwk] })))
  await new Promise<void>((resolve) => void elsewhere.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void elsewhere.close())
  elsewhere.on('request', () => t.fail('a redirect was followed'))
  const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`
  const bodies = [null, 5, 'x', [], {}, { keys: null }, { keys: {} }, { keys: [] }, { keys: 'x' }]
  const cases: [name: string, answer: StandIn['answers'][string]][] = [
    ...bodies.map((body): [string, StandIn['answers'][string]] => [JSON.stringify(body), json(body)]),
    ['500', json({ keys: [] }, {}, 500)],
    ['404', json({ keys: [makeKey().jwk] }, {}, 404)],
    ['a redirect', json({}, { location }, 302)],
    ['no JSON', (_, response) => void response.end('<html>')],
    ['half of it', ({ socket }, response) => void response.writeHead(200).write('{"keys":[', () => socket.destroy())],
    ['a connection that breaks', ({ socket }) => void socket.destroy()],
  ]
  for (const [name, answer] of cases) {
    latchkey.answers[JWKS] = answer
    clock.time += 300_000 / cases.length
    const before = latchkey.count(JWKS)
    clock.time += 300_000
    await keys.refresh()
    t.equal(latchkey.count(JWKS), before + 1, name)
    t.equal(await find(), true, `${name}: the old list`)
    t.ok(keys.failure(), name)
    delete latchkey.answers[JWKS]
    await keys.refresh()
    t.equal(keys.failure(), undefined, `${name}: asked again at once, without waiting for the max-age`)
  }
  t.equal(errors.length, cases.length, 'each is told')

  latchkey.answers[JWKS] = json({}, {}, 503)
  clock.time += 3_600_000
  for (const _ of [1, 2, 3]) await keys.refresh()
  t.equal(errors.length, cases.length + 1, 'the first of a row')
  t.equal(await find(), true, 'an hour after the last read')
  t.equal(await find({ alg: 'ES256', kid: 'new' }), 'UNAVAILABLE', 'it may be a new one')
  t.equal(await find({ alg: 'ES256', kid: 'new' }, true), 'UNAVAILABLE')
  t.equal(await find({ alg: 'none', kid: 'new' }), false)
  clock.time++
  t.equal(await find(), 'UNAVAILABLE')
  delete latchkey.answers[JWKS]
  await keys.refresh()
  t.equal(await find(), true)
  t.equal(await find({ alg: 'ES256', kid: 'new' }), false)
})

t.test('an answer that does not come, or does not end, is waited for so long', async (t) => {
  const latchkey = await startStandIn(t)
  for (const begin of ['', '{']) {
    latchkey.answers[JWKS] = (_, response) => void (begin && response.writeHead(200).write(begin))
    const verifier = latchkey.verifier({ timeoutSeconds: 0.05, sessions: false })
    await t.rejects(verifier.ready(), { code: 'UNAVAILABLE', cause: { message: /no answer within 50 ms/ } })
  }
})

t.test('of a list only what checks ES256 or RS256 is used', async (t) => {
  const { latchkey, clock, keys, find } = await start(t)
  const [good] = latchkey.keys as [ReturnType<typeof makeKey>]
  const rsa = makeKey('RS256')
  const named = (kid: string, changed: object, key = good) => ({ ...key.jwk, kid, ...changed })
  const odd = [
    named('no alg', { alg: undefined }),
    named('none', { alg: 'none' }),
    named('__proto__', { alg: '__proto__' }),
    named('ES384', { alg: 'ES384' }),
    named('HS256', { alg: 'HS256' }),
    named('oct', { kty: 'oct', k: 'AAAA' }),
    named('RSA for ES256', { alg: 'ES256' }, rsa),
    named('EC for RS256', { alg: 'RS256' }),
    named('enc', { use: 'enc' }),
    named('no x', { x: undefined }),
    named('off the curve', { x: 'AAAA' }),
    named('another curve', { crv: 'P-384' }),
    { ...good.jwk, kid: undefined },
    { ...good.jwk, kid: 5 },
    {},
    null,
    'x',
    5,
    [],
  ]
  const used = [named('with-private', good.privateKey.export({ format: 'jwk' })), named('no-use', { use: undefined })]
  latchkey.answers[JWKS] = json({ keys: [...odd, ...used, rsa.jwk, good.jwk] })
  clock.time += 300_000
  await keys.refresh()
  t.equal(keys.failure(), undefined)
  for (const { kid, alg } of [good, rsa]) t.equal(await find({ alg, kid }), true)
  for (const jwk of used) t.equal(await find({ alg: 'ES256', kid: jwk.kid }), true, String(jwk.kid))
  for (const one of odd) {
    const { kid, alg } = (one ?? {}) as { kid?: unknown; alg?: unknown }
    for (const asked of [alg, 'ES256', 'RS256']) t.equal(await find({ alg: asked, kid }), false, `${kid} ${asked}`)
  }
  t.equal(await find({ alg: 'RS256', kid: good.kid }), false, 'one key, one algorithm')
})

t.test('a key that is too weak signs nothing', async (t) => {
  const latchkey = await startStandIn(t)
  const weak = makeKey('RS256', 1024)
  latchkey.keys.push(weak)
  const verifier = latchkey.verifier()
  const text = unsigned({ alg: 'RS256', typ: 'at+jwt', kid: weak.kid }, latchkey.claims())
  t.equal(await verdict(verifier, seal(text, weak)), 'INVALID_TOKEN')
  t.equal(await verdict(verifier, latchkey.token()), 'accepted')
})
