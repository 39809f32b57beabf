/** GET /.well-known/revocations: what services that verify by themselves poll. */
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { dbOf } from '../../plugins/db/index.ts'
import { Failure } from '../../schemas/errors.ts'
import { createEngine, onEachEngine } from '../engines.ts'
import { basicOf, claimsOf, codeOf, type Person, SERVICE, startApp, type TestApp, watchCalls } from '../helper.ts'

const URL = '/.well-known/revocations'
/** By which instances' clocks may differ, and how late a row may come: plugins/sessions/ended.ts. */
const OVERLAP = 30 + 2

interface Feed {
  as_of: number
  max_age: number
  sessions: { sid: string; until: number }[]
}

/** At a whole second, and with the wait that OVERLAP knows. */
async function start(t: Test, engine = createEngine(t, 'sqlite'), settings = {}): Promise<TestApp> {
  const app = await startApp(t, engine, { DB_MAX_WAIT_MS: '2000', ...settings })
  app.clock.time = Math.ceil(app.clock.time / 1000) * 1000
  await app.advance(0)
  return app
}

async function read(app: TestApp, query = ''): Promise<Feed> {
  const answer = await app.service.get(URL + query)
  if (answer.status !== 200) throw new Error(answer.text)
  return answer.body
}

const sidOf = ({ tokens }: Person) => claimsOf(tokens.access_token).sid
const sidsOf = ({ sessions }: Feed) => sessions.map(({ sid }) => sid)
const secondsOf = ({ clock }: TestApp) => clock.time / 1000

/** Sessions that ended at these seconds before now, as other instances write them. */
async function endElsewhere(app: TestApp, ended: [id: string, ago: number][], until = 1000): Promise<void> {
  const time = app.clock.time
  for (const [id, ago] of ended) {
    await app.sql(
      `INSERT INTO sessions (id, user_id, handle_hash, generation, created_at, last_used_at, expires_at, ended_at, until, ip, user_agent)
       VALUES (?, 'x', ?, 0, 0, 0, ?, ?, ?, '', '')`,
      [id, `hash of ${id}`, time, time - ago * 1000, time + until * 1000],
    )
  }
}

onEachEngine(t, 'who ends and until when, as of the last poll', async (t, engine) => {
  const app = await start(t, engine, { ACCESS_TOKEN_TTL: '600' })
  t.strictSame(await read(app), { as_of: secondsOf(app), max_age: 600, sessions: [] })
  const ann = await app.register('ann')
  const bob = await app.register('bob')
  app.clock.time += 1500
  const polled = secondsOf(app) - 1.5
  await bob.delete('/user/logout')
  const until = claimsOf(bob.tokens.access_token).exp + 300
  t.strictSame(await read(app), { as_of: polled, max_age: 600, sessions: [{ sid: sidOf(bob), until }] })
  await app.advance(0.7)
  t.equal((await read(app)).as_of, Math.floor(secondsOf(app)), 'whole seconds, never ahead of the poll')
  await ann.delete('/user/logout')
  t.strictSame(sidsOf(await read(app)), [sidOf(bob), sidOf(ann)], 'the oldest ending first')
})

onEachEngine(t, 'what others end comes by the poll: in the order of the endings, each once', async (t, engine) => {
  const app = await start(t, engine)
  await endElsewhere(app, [
    ['c', 5],
    ['a', 7],
  ])
  await app.advance(0)
  await endElsewhere(app, [
    ['d', 5],
    ['b', 6.999],
  ])
  t.strictSame(sidsOf(await read(app)), ['a', 'c'], 'not before it')
  for (const _ of [1, 2, 3]) await app.advance(1)
  t.strictSame(sidsOf(await read(app)), ['a', 'b', 'c', 'd'])
})

t.test('since: what ended after it, and the overlap before it', async (t) => {
  const app = await start(t)
  const now = secondsOf(app)
  await endElsewhere(app, [
    ['old', 500],
    ['edge', OVERLAP],
    ['in', OVERLAP - 0.001],
    ['new', 1],
  ])
  await app.server.close()
  const again = await startApp(t, createEngine(t, 'sqlite'), {
    DATABASE_URL: app.config.DATABASE_URL,
    DB_MAX_WAIT_MS: '2000',
  })
  again.clock.time = app.clock.time
  await again.advance(0)
  const cases: [since: string, ...sids: string[]][] = [
    [String(now), 'in', 'new'],
    [String(now - 1), 'edge', 'in', 'new'],
    [String(now + OVERLAP), 'in', 'new'],
    ['999999999999999', 'in', 'new'],
    [String(now - 1000), 'old', 'edge', 'in', 'new'],
    ['0', 'old', 'edge', 'in', 'new'],
    ['000', 'old', 'edge', 'in', 'new'],
  ]
  for (const [since, ...sids] of cases) t.strictSame(sidsOf(await read(again, `?since=${since}&x=1`)), sids, since)
  t.strictSame(sidsOf(await read(again)), ['old', 'edge', 'in', 'new'], 'all without it')
})

t.test('nothing is lost between two polls, whatever the clocks and however late the rows', async (t) => {
  const app = await start(t)
  let { as_of } = await read(app)
  const known = new Set<string>()
  const late = Array.from({ length: 8 }, (_, index): [string, number] => [`s${index}`, index * 4])
  for (const one of late) {
    await app.advance(0.3)
    await endElsewhere(app, [one])
    await app.advance(1.4)
    const feed = await read(app, `?since=${as_of}`)
    for (const sid of sidsOf(feed)) known.add(sid)
    as_of = feed.as_of
  }
  t.strictSame(
    [...known].sort(),
    late.map(([sid]) => sid),
  )
})

t.test('what could not be read back at first is told until its own time', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  // Issued while ACCESS_TOKEN_TTL was longer.
  const until = secondsOf(app) + 80_000
  await app.sql('UPDATE sessions SET until = ?', [until * 1000])
  const { sessions } = dbOf(app.server)
  const { endedOf } = sessions
  sessions.endedOf = async () => {
    throw new Failure('UNAVAILABLE')
  }
  t.equal(codeOf(await ann.delete('/user/logout')), '200')
  sessions.endedOf = endedOf
  t.match((await read(app)).sessions, [{ sid: sidOf(ann), until: secondsOf(app) + 1200 }])
  await app.advance(1)
  t.match((await read(app)).sessions, [{ sid: sidOf(ann), until }])
})

t.test('until is a whole second, and after it a session is told no more', async (t) => {
  const app = await start(t)
  await endElsewhere(app, [['a', 1]], 10.001)
  await app.advance(0)
  t.strictSame((await read(app)).sessions, [{ sid: 'a', until: secondsOf(app) + 11 }])
  await app.advance(10)
  t.strictSame(sidsOf(await read(app)), ['a'])
  await app.advance(0.001)
  t.strictSame(sidsOf(await read(app)), [])
})

t.test('a since that is none is refused', async (t) => {
  const app = await start(t)
  for (const since of ['', '-1', '+1', '1.5', '1e3', 'x', '0x1', ' 1', '1 ', '1\n', '１', '1'.repeat(16), 'null']) {
    const answer = await app.service.get(`${URL}?since=${encodeURIComponent(since)}`)
    t.match(answer, { status: 400, body: { code: 'VALIDATION_FAILED', error: 'Bad Request' } }, JSON.stringify(since))
    t.match(answer.body.details, [{ field: '?since' }])
  }
  for (const query of ['since=1&since=1', 'since=1&since=2', 'since']) {
    const { body } = await app.service.get(`${URL}?${query}`)
    t.match(body, { code: 'VALIDATION_FAILED', details: [{ field: '?since' }] }, query)
  }
})

t.test('for services, and for all with REVOCATIONS_PUBLIC=on', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  t.equal(codeOf(await app.anon.get(URL)), '401 UNAUTHENTICATED')
  t.equal(codeOf(await ann.get(URL)), '401 UNAUTHENTICATED', 'a person is no service')
  t.equal(codeOf(await app.anon.get(URL, basicOf({ ...SERVICE, secret: 'x' }))), '401 INVALID_CREDENTIALS')
  t.equal(
    codeOf(await app.anon.get(`${URL}?client_id=${SERVICE.id}&client_secret=${SERVICE.secret}`)),
    '401 UNAUTHENTICATED',
  )
  const closed = await app.service.get(URL)
  t.match(closed, { status: 200, headers: { 'cache-control': 'no-store' } })

  const open = await start(t, undefined, { REVOCATIONS_PUBLIC: 'on', SERVICE_CLIENTS: undefined })
  for (const headers of [{}, basicOf(SERVICE), { authorization: 'Bearer x' }]) {
    const answer = await open.anon.get(URL, headers)
    t.match(answer, { status: 200, headers: { 'cache-control': 'public, max-age=1' }, body: { sessions: [] } })
  }
  const refused = await open.anon.get(`${URL}?since=x`)
  t.match(refused, { status: 400, headers: { 'cache-control': 'no-store' } }, 'no error is kept')
  t.strictSame((await open.anon.get('/docs/json')).body.paths[URL].get.security, [])
  t.equal(codeOf(await open.service.form('/oauth/introspect', { token: 'x' })), '401 INVALID_CREDENTIALS')
})

t.test('a list that is too old is not told', async (t) => {
  const app = await start(t, undefined, { REVOCATIONS_PUBLIC: 'on' })
  app.clock.time += app.config.REVOCATION_MAX_STALENESS * 1000
  t.equal(codeOf(await app.anon.get(URL)), '200')
  app.clock.time += 1
  t.match(await app.anon.get(URL), {
    status: 503,
    body: { code: 'UNAVAILABLE' },
    headers: { 'cache-control': 'no-store' },
  })
  await app.advance(0)
  t.equal(codeOf(await app.anon.get(URL)), '200')
})

onEachEngine(t, 'it asks the database nothing', async (t, engine) => {
  const app = await start(t, engine)
  await (await app.register('ann')).delete('/user/logout')
  const { users, sessions, keys } = dbOf(app.server)
  const calls = watchCalls(users, sessions, keys)
  t.equal((await read(app, '?since=1')).sessions.length, 1)
  t.strictSame(calls, [])
})

t.test('compressed where the client takes that and it is worth it', async (t) => {
  const app = await start(t)
  const ask = (encoding: string | undefined, method: 'GET' | 'HEAD' = 'GET') =>
    app.server.inject({
      method,
      url: URL,
      headers: { ...basicOf(SERVICE), ...(encoding !== undefined && { 'accept-encoding': encoding }) },
    })
  const small = await ask('gzip')
  t.match(small.headers, { vary: 'accept-encoding' })
  t.equal(small.headers['content-encoding'], undefined, 'a small one stays as it is')
  await endElsewhere(
    app,
    Array.from({ length: 50 }, (_, index) => [`session-${index}`, index + 1]),
  )
  await app.advance(0)
  const plain = await ask(undefined)
  t.equal(plain.headers['content-encoding'], undefined)
  for (const encoding of ['gzip', 'gzip, deflate, br', 'br, gzip;q=0.1', '*', 'GZIP', 'x, gzip']) {
    const { headers, rawPayload } = await ask(encoding)
    t.match(headers, { 'content-encoding': 'gzip', 'content-type': 'application/json; charset=utf-8' }, encoding)
    t.equal(Number(headers['content-length']), rawPayload.length)
    t.equal(gunzipSync(rawPayload).toString(), plain.payload)
    const head = await ask(encoding, 'HEAD')
    t.equal(head.payload, '')
    for (const name of ['content-encoding', 'content-length', 'content-type', 'vary'])
      t.equal(head.headers[name], headers[name], `HEAD ${name}`)
  }
  for (const encoding of ['', 'identity', 'br', 'gzip;q=0', 'identity, gzip;q=0.5', 'identity;q=0', ';,=', '*;q=0']) {
    const { headers, payload } = await ask(encoding)
    t.equal(headers['content-encoding'], undefined, encoding)
    t.equal(payload, plain.payload)
    t.equal(headers.vary, 'accept-encoding')
  }
  const pages = await start(t, undefined, { CORS_ORIGINS: 'https://app.example.com' })
  t.equal((await pages.service.get(URL)).headers.vary, 'Origin, accept-encoding', 'beside what CORS depends on')
  const refused = await app.server.inject({ method: 'GET', url: URL, headers: { 'accept-encoding': 'gzip' } })
  t.match(refused.headers, { vary: 'accept-language' })
  const other = await app.server.inject({ method: 'GET', url: '/docs/json', headers: { 'accept-encoding': 'gzip' } })
  t.equal(other.headers['content-encoding'], undefined, 'no other answer')
})
