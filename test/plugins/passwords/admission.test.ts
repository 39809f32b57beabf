/** Who is let to the hashes, over HTTP: refused before anything is done, a share for each network, and no place is lost. */
import { once } from 'node:events'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { dbOf } from '../../../plugins/db/index.ts'
import { lifeOf } from '../../../plugins/headers.ts'
import type { Checked } from '../../../plugins/passwords/formats.ts'
import { passwordsOf } from '../../../plugins/passwords/index.ts'
import { createEngine, onEachEngine } from '../../engines.ts'
import { codeOf, PASSWORD, stall, startApp, type TestApp, watchCalls } from '../../helper.ts'
import { listen, openWire } from '../../raw.ts'

const OVERLOADED = '503 OVERLOADED'
const WRONG = '401 INVALID_CREDENTIALS'
const LOGIN = { username: 'nobody', password: PASSWORD }

const start = (t: Test, settings = {}) =>
  startApp(t, createEngine(t, 'sqlite'), { HASH_CONCURRENCY: '1', HASH_MAX_WAIT_MS: '1', ...settings })

/** Holds up the one thread, with more hashes ahead than HASH_MAX_WAIT_MS=1 allows. Gives what lets them go. */
function holdUp(app: TestApp): () => Promise<unknown> {
  const { hash } = passwordsOf(app.server)
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  const held = hash(PASSWORD, () => opened)
  return () => {
    open()
    return held
  }
}

/** What the next login does at the hash. */
function nextVerification(app: TestApp): Promise<Promise<Checked>[]> {
  const passwords = passwordsOf(app.server)
  const { verify } = passwords
  return new Promise((resolve) => {
    passwords.verify = (...args) => {
      passwords.verify = verify
      const verdict = verify(...args)
      // In a list, since a promise would be waited for.
      resolve([verdict])
      return verdict
    }
  })
}

const headOf = (length: number, path = '/user/login') =>
  ['POST', path, 'HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length:', `${length}\r\n\r\n`].join(
    ' ',
  )

t.test('refused before the body is read, and before the database is asked', async (t) => {
  const app = await start(t)
  const port = await listen(app.server)
  const release = holdUp(app)
  const calls = watchCalls(dbOf(app.server).users)
  const wire = await openWire(port)
  wire.send(headOf(1000))
  const answer = (await wire.next())!
  t.match(answer, { status: 503, body: { code: 'OVERLOADED' }, headers: { 'retry-after': '1' } })
  wire.socket.destroy()
  t.equal(codeOf(await app.anon.post('/user/login', 'no JSON')), OVERLOADED)
  t.equal(codeOf(await app.anon.post('/user/login', LOGIN)), OVERLOADED)
  t.strictSame(calls, [])
  await release()
  t.equal(codeOf(await app.anon.post('/user/login', LOGIN)), WRONG)
})

onEachEngine(t, 'a registration is refused after all else was judged', async (t, engine) => {
  const app = await startApp(t, engine, { HASH_CONCURRENCY: '1', HASH_MAX_WAIT_MS: '1' })
  await app.register('ann')
  const release = holdUp(app)
  const bob = { username: 'bob', email: 'bob@example.com', password: PASSWORD }
  const cases: [members: object, code: string][] = [
    [{ role: 'admin' }, '400 VALIDATION_FAILED'],
    [{ password: 'password1' }, '400 PASSWORD_TOO_COMMON'],
    [{ email: 'ann@example.com' }, '409 EMAIL_TAKEN'],
    [{ username: 'ann' }, '409 USERNAME_TAKEN'],
    [{}, OVERLOADED],
  ]
  const register = async (members: object) => codeOf(await app.anon.post('/user/register', { ...bob, ...members }))
  for (const [members, code] of cases) t.equal(await register(members), code)
  await release()
  t.equal(await register({}), '201')
})

onEachEngine(t, 'who has no usable token is told so, and who has one is refused', async (t, engine) => {
  const app = await startApp(t, engine, { HASH_CONCURRENCY: '1', HASH_MAX_WAIT_MS: '1' })
  const ann = await app.register('ann')
  const release = holdUp(app)
  const asked = [
    ['PUT', '/user/password'],
    ['POST', '/user/delete'],
  ] as const
  for (const [method, url] of asked) {
    t.equal(codeOf(await app.anon.ask(method, url, 'no JSON')), '401 UNAUTHENTICATED')
    t.equal(codeOf(await ann.ask(method, url, 'no JSON')), OVERLOADED)
  }
  t.equal((await ann.get('/user/me')).status, 200, 'nothing else is held up')
  await release()
  const change = { current_password: PASSWORD, new_password: 'another good phrase' }
  const changed = app.as(await ann.put('/user/password', change))
  t.equal((await changed.post('/user/delete', { password: change.new_password })).status, 204)
})

/** Nobody waits for too long here, however slow the machine is. */
function stopTimers(t: Test): void {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
}

/** How many of so many logins at once are refused, from this address as a trusted proxy tells it; and all their answers. */
async function storm(app: TestApp, count: number, address = '192.0.2.9') {
  const from = { 'x-forwarded-for': address }
  const names = Array.from({ length: count }, (_, index) => `nobody${index}`)
  const answers = names.map((username) => app.anon.post('/user/login', { ...LOGIN, username }, from))
  let refused = 0
  for (const answer of answers) void answer.then(({ status }) => status === 503 && refused++)
  // Whoever is refused is so within these turns of the event loop: nothing is waited for.
  for (let turns = 0; turns < 20; turns++) await setImmediate()
  return { refused, answers }
}

t.test('of many in one moment no more are admitted than can wait', async (t) => {
  // A hash at cost 5 is guessed at 1.7 ms: at 10 ms one network has 6 of them.
  const app = await start(t, { HASH_MAX_WAIT_MS: '10' })
  stopTimers(t)
  // The first is stalled before it comes to the queue, and so are those behind it: nothing is hashed.
  const release = stallEach(app)
  const { refused, answers } = await storm(app, 64)
  t.equal(refused, 58)
  release()
  await Promise.all(answers)
})

t.test('a refusal is held as long as the brake says, and nothing else is', async (t) => {
  const app = await start(t, { HASH_MAX_WAIT_MS: '10' })
  passwordsOf(app.server).hold = () => 100
  stopTimers(t)
  const release = stallEach(app)
  const { refused, answers } = await storm(app, 8)
  t.equal(refused, 0)
  mock.timers.tick(99)
  release()
  t.equal(codeOf(await answers[0]!), WRONG)
  let held = 2
  for (const answer of answers.slice(6)) void answer.then(() => held--)
  for (let turns = 0; turns < 20; turns++) await setImmediate()
  t.equal(held, 2)
  mock.timers.tick(1)
  t.strictSame((await Promise.all(answers)).map(codeOf), [...Array(6).fill(WRONG), OVERLOADED, OVERLOADED])
})

t.test('what is held while a stop begins is the last on its connection', async (t) => {
  const app = await start(t, { HASH_MAX_WAIT_MS: '10' })
  passwordsOf(app.server).hold = () => 100
  stopTimers(t)
  const release = stallEach(app)
  const { answers } = await storm(app, 8)
  lifeOf(app.server).stopping = true
  mock.timers.tick(100)
  t.equal((await answers[7]!).headers.connection, 'close')
  release()
  await Promise.all(answers)
})

/** Stalls every lookup of a name. */
function stallEach(app: TestApp): () => void {
  const { users } = dbOf(app.server)
  const { byName } = users
  let release = () => {}
  const opened = new Promise<void>((resolve) => {
    release = resolve
  })
  users.byName = async (...args) => {
    await opened
    return byName(...args)
  }
  return release
}

t.test('what ends without a hash gives its place back', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  const port = await listen(app.server)
  for (let rounds = 1; rounds <= 5; rounds++) {
    t.equal(codeOf(await app.anon.post('/user/login', {})), '400 VALIDATION_FAILED')
    t.equal(codeOf(await ann.put('/user/password', {})), '400 VALIDATION_FAILED')
    const wall = stall(dbOf(app.server).users, 'byName', 'before')
    const lookup = app.anon.post('/user/login', LOGIN)
    await wall.arrival
    t.equal(codeOf(await app.anon.post('/user/login', LOGIN)), OVERLOADED, 'it counts before it comes to the queue')
    wall.release()
    t.equal(codeOf(await lookup), WRONG)
    const wire = await openWire(port)
    wire.send(`${headOf(100)}{`)
    await until(async () => codeOf(await app.anon.post('/user/login', {})) === OVERLOADED)
    wire.socket.destroy()
    await until(async () => codeOf(await app.anon.post('/user/login', {})) === '400 VALIDATION_FAILED')
  }
})

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await setImmediate()
}

t.test('an answer that waits behind another on its connection gives its place back too', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  const port = await listen(app.server)
  const wall = stall(dbOf(app.server), 'ping', 'before')
  const wire = await openWire(port)
  const body = JSON.stringify({ current_password: 'not this one', new_password: 'another good phrase' })
  const verification = nextVerification(app)
  const head = headOf(body.length, '/user/password').replace('POST', 'PUT')
  wire.send('GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n')
  wire.send(head.replace('\r\n', `\r\nAuthorization: Bearer ${ann.tokens.access_token}\r\n`) + body)
  await wall.arrival
  const [verdict] = await verification
  await verdict
  wire.socket.destroy()
  await until(async () => codeOf(await app.anon.post('/user/login', {})) === '400 VALIDATION_FAILED')
  wall.release()
})

t.test('a client that has gone takes its waiting job with it', async (t) => {
  const app = await start(t, { HASH_MAX_WAIT_MS: '60000' })
  const port = await listen(app.server)
  const release = holdUp(app)
  const body = JSON.stringify(LOGIN)
  const verification = nextVerification(app)
  const wire = await openWire(port)
  wire.send(headOf(body.length) + body)
  const [verdict] = await verification
  const second = nextVerification(app)
  const other = app.anon.post('/user/login', LOGIN)
  const [lasting] = await second
  wire.socket.destroy()
  await t.rejects(
    verdict!,
    { code: 'BAD_REQUEST' },
    'while the thread is held up; and it is logged as no fault of ours',
  )
  await release()
  t.strictSame(await lasting, { ok: false }, 'who waits behind it is served')
  t.equal(codeOf(await other), WRONG)
})

t.test('a client that goes during the lookup is not hashed for; one whose hash runs is finished', async (t) => {
  const app = await start(t, { HASH_MAX_WAIT_MS: '60000' })
  const ann = await app.register('ann')
  const port = await listen(app.server)
  const body = JSON.stringify({ username: 'ann', password: PASSWORD })
  const leaveAt = async (wall: ReturnType<typeof stall>) => {
    const verification = nextVerification(app)
    const requests = once(app.server.server, 'request')
    const wire = await openWire(port)
    wire.send(headOf(body.length) + body)
    const [, response] = await requests
    await wall.arrival
    wire.socket.destroy()
    await once(response, 'close')
    wall.release()
    return (await verification)[0]!
  }
  await t.rejects(leaveAt(stall(dbOf(app.server).users, 'byName', 'before')), { code: 'BAD_REQUEST' })
  const sessions = async () => (await ann.get('/user/sessions')).body.sessions.length
  t.equal(await sessions(), 1)
  const wall = stall(dbOf(app.server).users, 'login', 'before')
  t.strictSame(await leaveAt(wall), { ok: true })
  await until(async () => (await sessions()) === 2)
})

t.test('one network leaves room for others', async (t) => {
  // At 40 ms one network has 21 places while one hash is made for another, and then there is room for two.
  const app = await start(t, { HASH_MAX_WAIT_MS: '40', TRUSTED_PROXIES: '127.0.0.1' })
  stopTimers(t)
  const release = holdUp(app)
  const first = await storm(app, 40, '2001:db8::1')
  t.equal(first.refused, 19)
  t.equal((await storm(app, 5, '2001:db8::2')).refused, 5, 'the same network')
  t.equal((await storm(app, 1, '192.0.2.1')).refused, 0, 'another one comes in')
  t.equal((await storm(app, 1, '192.0.2.2')).refused, 0, 'and one more')
  await release()
  await Promise.all(first.answers)
})
