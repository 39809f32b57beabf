/** latchkey/verifier's list of ended sessions: what is asked, what is kept, and what a feed that cannot be read means. */
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { createEnded } from '../../verifier/ended.ts'
import { FEED, json, type StandIn, startStandIn, verdict } from './stand-in.ts'

/** A list that is read when the test says so. */
async function start(t: Test) {
  const latchkey = await startStandIn(t)
  const { clock } = latchkey
  const ended = createEnded({
    asker: { fetch, timeoutMs: 60_000, closing: new AbortController().signal },
    url: latchkey.origin + FEED,
    headers: {},
    now: () => clock.time,
    staleAfterMs: 30_000,
    onError: () => {},
  })
  const known = (...sids: string[]) => sids.filter((sid) => ended.has(sid))
  return { latchkey, clock, ended, known, seconds: () => Math.floor(clock.time / 1000) }
}

t.test('it asks from the last as_of on, and adds what it is told', async (t) => {
  const { latchkey, ended, known, seconds } = await start(t)
  const until = seconds() + 1000
  const tell = (as_of: number, ...sids: string[]) => {
    latchkey.answers[FEED] = json({ as_of, max_age: 900, sessions: sids.map((sid) => ({ sid, until })) })
    return ended.refresh()
  }
  await tell(1000, 'a', '__proto__')
  t.strictSame(known('a', 'b', '__proto__', 'constructor', 'toString'), ['a', '__proto__'])
  await tell(1002, 'b')
  await tell(1001)
  await tell(1003, 'a')
  t.strictSame(known('a', 'b'), ['a', 'b'])
  t.strictSame(latchkey.asked, [FEED, ...[1000, 1002, 1001].map((as_of) => `${FEED}?since=${as_of}`)])
})

t.test('a session is forgotten once its last token is dead', async (t) => {
  const { latchkey, ended, known, clock, seconds } = await start(t)
  const from = seconds()
  latchkey.ended.push({ sid: 'short', until: from + 60 }, { sid: 'long', until: from + 90 })
  latchkey.ended.push({ sid: 'told again', until: from + 60 }, { sid: 'told again', until: from + 30 })
  await ended.refresh()
  latchkey.ended.splice(0, 4, { sid: 'told again', until: from + 90 }, { sid: 'long', until: from + 1 })
  clock.time = from * 1000 + 59_999
  await ended.refresh()
  t.strictSame(known('short', 'long', 'told again'), ['short', 'long', 'told again'])
  clock.time += 1000
  await ended.refresh()
  t.strictSame(known('short', 'long', 'told again'), ['long', 'told again'], 'by the latest end that it was told')
  latchkey.ended.splice(0)
  clock.time += 60_000
  await ended.refresh()
  t.strictSame(known('short', 'long', 'told again'), [])
})

t.test('a clock that is put back makes nothing younger', async (t) => {
  const { latchkey, ended, known, clock, seconds } = await start(t)
  const until = seconds() + 60
  latchkey.ended.push({ sid: 'a', until })
  await ended.refresh()
  clock.time--
  t.notOk(ended.isFresh(), 'how old it is cannot be told')
  await ended.refresh()
  t.ok(ended.isFresh())

  latchkey.answers[FEED] = json({}, {}, 503)
  clock.time += 20_000
  await ended.refresh()
  clock.time -= 15_000
  t.ok(ended.isFresh())
  await ended.refresh()
  clock.time += 10_000
  t.ok(ended.isFresh(), '20 s at the look before, and 10 more')
  clock.time++
  t.notOk(ended.isFresh())

  delete latchkey.answers[FEED]
  clock.time += 120_000
  latchkey.ended.splice(0)
  await ended.refresh()
  t.strictSame(known('a'), [], 'forgotten')
  clock.time -= 120_000
  latchkey.ended.push({ sid: 'a', until })
  await ended.refresh()
  t.equal(latchkey.asked.at(-1), FEED, 'from the start')
  t.strictSame(known('a'), ['a'])
  await ended.refresh()
  t.equal(latchkey.asked.at(-1), `${FEED}?since=${seconds()}`)
})

t.test('who asks', async (t) => {
  const latchkey = await startStandIn(t)
  const heads: (string | undefined)[] = []
  latchkey.answers[FEED] = (request, response) => {
    heads.push(request.headers.authorization)
    json({ as_of: 1, max_age: 900, sessions: [] })(request, response)
  }
  await latchkey.verifier({ sessions: { clientId: 'orders', clientSecret: 'a:b%41' } }).ready()
  await latchkey.verifier({ sessions: 'public' }).ready()
  await latchkey.verifier().ready()
  t.strictSame(heads, [`Basic ${Buffer.from('orders:a:b%41').toString('base64')}`, undefined, undefined])
  latchkey.ended.push({ sid: 'session-1', until: latchkey.claims().exp })
  t.equal(await verdict(latchkey.verifier({ sessions: false }), latchkey.token()), 'accepted', 'not asked, not known')
  t.equal(heads.length, 3)
})

t.test('a compressed answer', async (t) => {
  const { latchkey, ended, known, seconds } = await start(t)
  latchkey.answers[FEED] = (request, response) => {
    t.match(request.headers['accept-encoding'], 'gzip')
    const text = JSON.stringify({ as_of: 1, max_age: 900, sessions: [{ sid: 'a', until: seconds() + 9 }] })
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text))
  }
  await ended.refresh()
  t.strictSame(known('a'), ['a'])
})

t.test('a feed that could not be read for maxStaleness: refused, or tolerated', async (t) => {
  const latchkey = await startStandIn(t)
  const { clock, token } = latchkey
  latchkey.ended.push({ sid: 'ended', until: latchkey.claims().exp })
  const refusing = latchkey.verifier({ maxStaleness: 20 })
  const usual = latchkey.verifier()
  const tolerant = latchkey.verifier({ staleSessions: 'tolerate' })
  for (const verifier of [refusing, usual, tolerant]) await verifier.ready()
  latchkey.answers[FEED] = json({ code: 'UNAVAILABLE' }, {}, 503)
  const judge = (one: string) => Promise.all([refusing, usual, tolerant].map((verifier) => verdict(verifier, one)))
  clock.time += 20_000
  t.strictSame(await judge(token()), ['accepted', 'accepted', 'accepted'])
  clock.time++
  t.strictSame(await judge(token()), ['UNAVAILABLE', 'accepted', 'accepted'])
  clock.time += 9_999
  t.strictSame(await judge(token()), ['UNAVAILABLE', 'accepted', 'accepted'])
  clock.time++
  t.strictSame(await judge(token()), ['UNAVAILABLE', 'UNAVAILABLE', 'accepted'])
  t.strictSame(
    await judge(token({ sid: 'ended' })),
    ['UNAVAILABLE', 'UNAVAILABLE', 'INVALID_TOKEN'],
    'what is known is not forgotten',
  )
  t.strictSame(await judge(token({ exp: 0 })), ['UNAVAILABLE', 'UNAVAILABLE', 'TOKEN_EXPIRED'])
  t.strictSame(await judge(`${token().slice(0, -9)}AAAAAAAAA`), Array(3).fill('INVALID_TOKEN'), 'forged is forged')
  await t.rejects(usual.verify(token()), { code: 'UNAVAILABLE', headers: { 'retry-after': '1' } })
  await t.rejects(usual.ready(), { code: 'UNAVAILABLE', cause: { message: /the answer was 503/ } })
  await t.rejects(usual.verify(token()), { cause: { message: /the answer was 503/ } })
  delete latchkey.answers[FEED]
  await usual.ready()
  t.equal(await verdict(usual, token()), 'accepted')
})

t.test('a feed that stands still gets old, and that is no failure', async (t) => {
  const { latchkey, ended, known, clock, seconds } = await start(t)
  const until = seconds() + 1000
  const tell = (as_of: number, ...sids: string[]) => {
    latchkey.answers[FEED] = json({ as_of, max_age: 900, sessions: sids.map((sid) => ({ sid, until })) })
    return ended.refresh()
  }
  await tell(1000)
  clock.time += 30_000
  await tell(1000, 'a')
  t.strictSame(known('a'), ['a'], 'what it tells counts all the same')
  t.ok(ended.isFresh())
  clock.time++
  t.notOk(ended.isFresh())
  await tell(1000)
  t.notOk(ended.isFresh())
  t.equal(ended.failure(), undefined)
  await tell(999)
  t.ok(ended.isFresh(), 'Latchkey’s clock may be put back')
  // Two of them in turn, as of two instances without a database.
  clock.time += 15_000
  await tell(1000)
  clock.time += 15_001
  await tell(999)
  t.notOk(ended.isFresh(), 'neither makes the other new')
  await tell(1001)
  t.ok(ended.isFresh())
})

t.test('to a verifier such a feed is stale', async (t) => {
  const latchkey = await startStandIn(t)
  const errors: Error[] = []
  const onError = (error: Error) => errors.push(error)
  const [refusing, tolerant] = [latchkey.verifier({ onError }), latchkey.verifier({ staleSessions: 'tolerate' })]
  for (const verifier of [refusing, tolerant]) await verifier.ready()
  const as_of = Math.floor(latchkey.clock.time / 1000)
  latchkey.answers[FEED] = json({ as_of, max_age: 900, sessions: [] })
  latchkey.clock.time += 30_001
  const stale = { code: 'UNAVAILABLE', cause: { message: /no newer list/ } }
  await t.rejects(refusing.ready(), stale)
  await t.rejects(refusing.verify(latchkey.token()), stale)
  await tolerant.ready()
  t.equal(await verdict(tolerant, latchkey.token()), 'accepted')
  latchkey.answers[FEED] = json({ as_of: as_of + 1, max_age: 900, sessions: [] })
  await refusing.ready()
  t.equal(await verdict(refusing, latchkey.token()), 'accepted')
  t.strictSame(errors, [])
})

t.test('before it was ever read: the same', async (t) => {
  const latchkey = await startStandIn(t)
  latchkey.answers[FEED] = json({}, {}, 503)
  t.equal(await verdict(latchkey.verifier(), latchkey.token()), 'UNAVAILABLE')
  t.equal(await verdict(latchkey.verifier({ staleSessions: 'tolerate' }), latchkey.token()), 'accepted')
})

t.test('an answer that is none is a failure as a whole', async (t) => {
  const { latchkey, ended, known, clock, seconds } = await start(t)
  const until = seconds() + 100_000
  latchkey.ended.push({ sid: 'kept', until })
  await ended.refresh()
  const right = { as_of: seconds(), max_age: 900, sessions: [{ sid: 'new', until }] }
  const bodies = [
    ...[null, 5, 'x', [], {}, [right]],
    ...[undefined, null, '5', 1.5, -1, 2 ** 53].map((as_of) => ({ ...right, as_of })),
    ...[undefined, null, {}, 'x'].map((sessions) => ({ ...right, sessions })),
    ...[
      null,
      5,
      'x',
      {},
      { sid: 5, until },
      { until },
      { sid: 'x' },
      { sid: 'x', until: '5' },
      { sid: 'x', until: 1.5 },
    ].map((one) => ({ ...right, sessions: [...right.sessions, one] })),
  ]
  const answers: [string, StandIn['answers'][string]][] = [
    ...bodies.map((body): [string, StandIn['answers'][string]] => [JSON.stringify(body), json(body)]),
    ['401', json(right, {}, 401)],
    ['204', (_, response) => void response.writeHead(204).end()],
    ['a redirect', json(right, { location: `${latchkey.origin}/elsewhere` }, 307)],
    ['no JSON', (_, response) => void response.end('x')],
  ]
  for (const [name, answer] of answers) {
    latchkey.answers[FEED] = answer
    await ended.refresh()
    t.ok(ended.failure(), name)
    t.strictSame(known('kept', 'new', 'x'), ['kept'], name)
  }
  t.equal(latchkey.count('/elsewhere'), 0)
  t.equal(new Set(latchkey.asked.slice(1)).size, 1, 'since stays what it was')
  clock.time += 30_001
  t.notOk(ended.isFresh())
  delete latchkey.answers[FEED]
  await ended.refresh()
  t.ok(ended.isFresh())
  t.equal(ended.failure(), undefined)
})
