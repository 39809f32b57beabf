/** The process as people run it: start, faults, signals, kill -9, two instances side by side, a database that comes and goes, and what the log never holds. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import t, { type Test } from 'tap'
import type { TokenAnswer } from '../schemas/tokens.ts'
import { endOfLife } from '../server.ts'
import { VERSION } from '../version.ts'
import { createEngine, onEachEngine } from './engines.ts'
import { PASSWORD, randomName } from './helper.ts'
import { findServer, type Mariadb, startMariadb } from './mariadb.ts'
import { type Ask, bearer, listening, node, type Service, serve, settingsOf, slowPost, start, wire } from './process.ts'

const skip = findServer() ? false : 'no MariaDB server'

const sqlite = (t: Test) => createEngine(t, 'sqlite').databaseUrl()

async function ownMariadb(t: Test): Promise<{ mariadb: Mariadb; databaseUrl: () => Promise<string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-mariadb-'))
  const mariadb = await startMariadb(folder)
  t.teardown(async () => {
    await mariadb.stop()
    await rm(folder, { recursive: true, force: true })
  })
  const databaseUrl = async () => {
    const name = `test_${randomName()}`
    const connection = await mysql.createConnection(mariadb.url)
    await connection.query(`CREATE DATABASE ${name}`)
    await connection.end()
    return `${mariadb.url}/${name}`
  }
  return { mariadb, databaseUrl }
}

async function register(ask: Ask, username = randomName()): Promise<TokenAnswer> {
  const answer = await ask('POST /user/register', { username, email: `${username}@example.com`, password: PASSWORD })
  if (answer.status !== 201) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** Asks until the answer is the wanted one. What never comes ends with the file's own timeout. */
async function until(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) await pause(20)
}

const HEALTH = 'GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n'

const refuses = async (port: number) => {
  const error = await fetch(`http://127.0.0.1:${port}/`).catch((error) => error)
  return error?.cause?.code === 'ECONNREFUSED'
}

/** A port on which nobody answers. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

// The default patience is 30 s: it runs out while the other tests run.
let impatient: ReturnType<typeof node> | undefined
t.test('one that waits for a database that never comes is started', async () => {
  impatient = node(t, ['dist/server.js'], settingsOf(`mysql://latchkey:canary@127.0.0.1:${await deadPort()}/latchkey`))
  t.match(await impatient.line(/waiting/), { level: 40 })
})

t.test('the start says in one line where it is, which database it has and where to go on', async (t) => {
  const url = await sqlite(t)
  const service = await serve(t, url)
  const line = await service.line(/listens/)
  t.match(service.origin, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/)
  t.match(line, { level: 30, database: `SQLite ${url.slice('sqlite:'.length)}`, docs: `${service.origin}/docs` })
  t.equal(line.msg, `Latchkey listens on ${service.origin}, on ${line.database}; try it at ${line.docs}`)
  t.equal((await service.ask('GET /docs/json')).status, 200)
  t.equal((await service.ask('GET /health/ready')).status, 200)
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
  t.equal(service.stdout().match(/listens on/g)?.length, 1)
  t.equal(service.stdout().match(/security fixes/g)?.length, endOfLife(process.versions.node) ? 1 : undefined)
  t.equal(service.stderr(), '')
})

t.test('a line of Node.js past its end is named', async (t) => {
  for (const version of ['22.23.4', '24.0.0', '26.12.1', '27.0.0']) t.equal(endOfLife(version), undefined, version)
  for (const version of ['18.20.8', '20.20.2', '21.0.0', '23.1.0', '25.2.1'])
    t.match(endOfLife(version), `Node.js ${version} is`)
})

t.test('faults of settings stop the start, all in one message and without the secrets', async (t) => {
  const env = {
    ...settingsOf('mysql://ann:canary-password@localhost'),
    PORT: '70000',
    BCRYPT_COST: '9',
    SECRET: 'canary-short',
    LOG_LEVEL: 'loud',
    TRUSTED_PROXIES: '10.0.0.0/99',
    ISSUER: 'auth.example.com',
  }
  const scripts = [['dist/server.js'], ['dist/cli.js', 'serve'], ['dist/cli.js', 'migrate']]
  for (const refused of scripts.map((script) => node(t, script, env))) {
    t.equal(await refused.ended, 1)
    t.equal(refused.stdout(), '')
    const lines = refused.stderr().trimEnd().split('\n')
    for (const name of ['DATABASE_URL', 'PORT', 'BCRYPT_COST', 'SECRET', 'LOG_LEVEL', 'TRUSTED_PROXIES', 'ISSUER'])
      t.equal(lines.filter((line) => line.startsWith(`  - ${name} must be `)).length, 1, name)
    t.equal(lines.length, 8)
    t.notMatch(refused.stderr(), /canary/)
  }
})

t.test('what is missing on MySQL is told too', async (t) => {
  const refused = node(t, ['dist/server.js'], { DATABASE_URL: 'mysql://a:b@localhost/c', SECRET: '', ISSUER: '' })
  t.equal(await refused.ended, 1)
  t.match(refused.stderr(), /SECRET is missing.*ISSUER is missing/s)
})

t.test('a port that is taken stops the start with one sentence', async (t) => {
  const first = await serve(t, await sqlite(t))
  const second = node(t, ['dist/server.js'], { ...settingsOf(await sqlite(t)), PORT: String(first.port) })
  t.equal(await second.ended, 1)
  t.match(second.stderr(), new RegExp(`^[^\\n]*127\\.0\\.0\\.1:${first.port}[^\\n]*\\n$`))
  t.notMatch(second.stdout(), /listens/)
})

t.test('a file that another process serves stops the start; a command runs beside it', async (t) => {
  const url = await sqlite(t)
  await serve(t, url)
  const second = node(t, ['dist/server.js'], settingsOf(url))
  t.equal(await second.ended, 1)
  t.match(second.stderr(), /^Another Latchkey serves .*\n$/)
  const command = node(t, ['dist/cli.js', 'migrate'], settingsOf(url))
  t.equal(await command.ended, 0)
  t.match(command.stdout(), /SQLite .* is up to date\.\n$/)
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} lets what is under way be answered and refuses what is new`, async (t) => {
    const service = await serve(t, await sqlite(t))
    const { user } = await register(service.ask)
    const login = await slowPost(t, service.port, '/user/login', { username: user.username, password: PASSWORD })
    const [used, unused] = [await wire(t, service.port), await wire(t, service.port)]
    used.write(HEALTH)
    await used.arrives(/"status"/)
    service.signal(signal)
    await service.line(new RegExp(`${signal}: stopping`))
    t.match(await used.closed, /200 OK/, 'a connection with nothing under way is closed')
    unused.write(HEALTH)
    const refused = await unused.closed
    t.match(refused, /^HTTP\/1\.1 503 .*"code":"UNAVAILABLE"/s)
    t.match(refused, /\r\nretry-after: \d+\r\n/i)
    t.match(refused, /\r\nx-request-id: [\w-]+\r\n/i)
    login.finish()
    t.match(await login.closed, /^HTTP\/1\.1 100 .*HTTP\/1\.1 200 OK.*\r\nconnection: close\r\n.*"access_token":"/is)
    t.equal(await service.ended, 0)
    t.equal(service.stdout().match(/stopping/g)?.length, 1)
    t.equal(service.stderr(), '')
  })
}

t.test('a login whose hash is being made when the signal comes is answered', async (t) => {
  const service = await serve(t, await sqlite(t), { HASH_CONCURRENCY: '1' })
  const { user } = await register(service.ask)
  const body = { username: user.username, password: PASSWORD }
  const logins = Array.from({ length: 5 }, () => service.ask('POST /user/login', body))
  await Promise.race(logins)
  service.signal('SIGTERM')
  for (const { status } of await Promise.all(logins)) t.equal(status, 200)
  t.equal(await service.ended, 0)
})

t.test('a signal that comes twice is one, and a later one ends at once', async (t) => {
  const service = await serve(t, await sqlite(t))
  const hanging = await slowPost(t, service.port, '/user/login', { username: 'ann', password: PASSWORD })
  const other = await slowPost(t, service.port, '/user/login', { username: 'ann', password: PASSWORD })
  service.signal('SIGTERM')
  const stopping = Date.now()
  await service.line(/stopping/)
  service.signal('SIGINT')
  other.finish()
  // Still there for it, unless this machine is so slow that the second signal came late.
  if (Date.now() - stopping < 900) await other.arrives(/INVALID_CREDENTIALS/)
  await pause(1100)
  service.signal('SIGTERM')
  t.equal(await service.ended, 1)
  t.notMatch(await hanging.closed, /HTTP\/1\.1 [2345]/)
  t.equal(service.stdout().match(/stopping/g)?.length, 1)
})

t.test('npm start stops by one SIGTERM to its group and leaves nothing on its port', async (t) => {
  const running = start(t, ['npm', 'start'], settingsOf(await sqlite(t)), { group: true })
  const service = await listening(running)
  service.signal('SIGTERM')
  // Its output ends when the last process that holds it has ended.
  await service.ended
  t.equal(service.stdout().match(/SIGTERM: stopping/g)?.length, 1)
  t.ok(await refuses(service.port))
})

t.test('npm start stops by a SIGTERM to npm and to node, as some supervisors send it', async (t) => {
  const service = await listening(start(t, ['npm', 'start'], settingsOf(await sqlite(t)), { group: true }))
  const slow = await slowPost(t, service.port, '/user/login', { username: 'ann', password: PASSWORD })
  service.signal('SIGINT')
  await service.line(/SIGINT: stopping/)
  service.signal('SIGINT')
  slow.finish()
  t.match(await slow.closed, /INVALID_CREDENTIALS/)
  await service.ended
  t.ok(await refuses(service.port))
})

t.test('the command line', async (t) => {
  const run = async (...args: string[]) => {
    const running = node(t, ['dist/cli.js', ...args], settingsOf('sqlite:/nonexistent/for/this/test.db'))
    return { code: await running.ended, stdout: running.stdout(), stderr: running.stderr() }
  }
  const [help, none, short, version] = (await Promise.all([run('--help'), run(), run('-h'), run('--version')])) as [
    Awaited<ReturnType<typeof run>>,
    ...Awaited<ReturnType<typeof run>>[],
  ]
  t.match(help, { code: 0, stderr: '' })
  for (const word of ['serve', 'migrate', '--help', '--version']) t.match(help.stdout, word)
  t.strictSame(none, help)
  t.strictSame(short, help)
  t.strictSame(version, { code: 0, stdout: `${VERSION}\n`, stderr: '' })
  t.match(VERSION, /^\d+\.\d+\.\d+$/)
  const commands = ['serve', 'migrate'].map(async (command) => {
    const [told, extra] = await Promise.all([run(command, '--help'), run(command, 'now', '--port')])
    t.match(told, { code: 0, stderr: '' })
    t.match(told.stdout, `Usage: latchkey ${command}`)
    t.match(extra, { code: 2, stdout: '' })
    t.match(extra.stderr, `latchkey: ${command} now --port is not understood`)
  })
  const unknowns = ['start', 'constructor', '__proto__', '--verbose'].map(async (unknown) => {
    const { code, stdout, stderr } = await run(unknown)
    t.match({ code, stdout }, { code: 2, stdout: '' }, unknown)
    t.ok(stderr.startsWith(`latchkey: ${unknown} is not understood\n`) && stderr.endsWith(help.stdout), unknown)
  })
  await Promise.all([...commands, ...unknowns])
})

onEachEngine(t, 'serve and migrate by the command line', async (t, engine) => {
  const url = await engine.databaseUrl()
  for (const time of ['first', 'second']) {
    const migrate = node(t, ['dist/cli.js', 'migrate'], settingsOf(url))
    t.equal(await migrate.ended, 0, time)
    t.match(migrate.stdout(), /^(?:SQLite|MySQL) .* is up to date\.\n$/)
    t.equal(migrate.stderr(), '')
  }
  const service = await listening(node(t, ['dist/cli.js', 'serve'], settingsOf(url)))
  t.match(await service.ask('GET /user/me', undefined, bearer(await register(service.ask))), { status: 200 })
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
})

/** What clients were told. */
interface Acknowledged {
  people: string[]
  /** The refresh token that each person was given last. */
  living: Map<string, string>
  /** Sessions that were logged out. */
  ended: TokenAnswer[]
}

/** Clients that register, log in, refresh and log out, until `stopped`, and note what they were told. */
function crowd(t: Test, ask: Ask, facts: Acknowledged, heads = 4) {
  const control = { stopped: false, deeds: 0 }
  /** The answer's body; undefined where nothing was acknowledged. */
  async function told(call: string, body?: unknown, headers?: Record<string, string>) {
    const answer = await ask(call, body, headers).catch(() => undefined)
    if (answer && answer.status < 300) {
      control.deeds++
      return answer.body
    }
    // Gone, or gone behind it. That is said as 503, never as a fault of the client's.
    if (answer && answer.status !== 503) t.fail(`${call} → ${answer.status}`, { body: answer.body })
    await pause(20)
    return undefined
  }
  async function one(): Promise<void> {
    const username = randomName()
    const first = await told('POST /user/register', { username, email: `${username}@example.com`, password: PASSWORD })
    if (!first) return
    facts.people.push(username)
    const second = await told('POST /user/login', { username, password: PASSWORD })
    if (await told('DELETE /user/logout', undefined, bearer(first))) facts.ended.push(first)
    if (!second) return
    facts.living.set(username, second.refresh_token)
    for (const _ of [1, 2, 3]) {
      const next = await told('POST /user/refresh', { refresh_token: facts.living.get(username) })
      if (next) facts.living.set(username, next.refresh_token)
    }
  }
  const work = async () => {
    while (!control.stopped) await one()
  }
  const done = Promise.all(Array.from({ length: heads }, work))
  return {
    deeds: (number: number) => until(async () => control.deeds >= number),
    more: (number: number) => {
      const wanted = control.deeds + number
      return until(async () => control.deeds >= wanted)
    },
    async stop() {
      control.stopped = true
      await done
    },
  }
}

/** Holds the service against all that clients were told. */
async function holdAgainst(t: Test, { people, living, ended }: Acknowledged, ask: Ask): Promise<void> {
  for (const dead of ended)
    t.match(await ask('GET /user/me', undefined, bearer(dead)), { status: 401, body: { code: 'INVALID_TOKEN' } })
  for (const dead of ended)
    t.match(await ask('POST /user/refresh', { refresh_token: dead.refresh_token }), {
      status: 401,
      body: { code: 'INVALID_REFRESH_TOKEN' },
    })
  for (const [username, refresh_token] of living) {
    const answer = await ask('POST /user/refresh', { refresh_token })
    t.match(answer, { status: 200, body: { user: { username } } })
    t.match(await ask('GET /user/me', undefined, bearer(answer.body)), { status: 200, body: { username } })
  }
  const logins = people.map((username) => ask('POST /user/login', { username, password: PASSWORD }))
  for (const answer of await Promise.all(logins)) t.equal(answer.status, 200)
  t.ok(people.length > 2 && living.size > 2 && ended.length > 2, 'there was something to lose')
}

const nothingYet = (): Acknowledged => ({ people: [], living: new Map(), ended: [] })

onEachEngine(t, 'kill -9 loses nothing that was acknowledged', async (t, engine) => {
  const url = await engine.databaseUrl()
  const facts = nothingYet()
  for (const round of [1, 2]) {
    const service = await serve(t, url)
    const clients = crowd(t, service.ask, facts)
    await clients.deeds(30)
    service.signal('SIGKILL')
    t.equal(await service.ended, 'SIGKILL', `round ${round}`)
    await clients.stop()
  }
  const again = await serve(t, url)
  await holdAgainst(t, facts, again.ask)
})

t.test('a MariaDB that comes and goes', { skip }, async (t) => {
  const { mariadb, databaseUrl } = await ownMariadb(t)

  await t.test('a database that is away at the start is waited for', async (t) => {
    const url = await databaseUrl()
    await mariadb.stop()
    const starting = node(t, ['dist/server.js'], settingsOf(url))
    const { msg } = await starting.line(/waiting/)
    t.match(msg, `The database at 127.0.0.1:${mariadb.port} does not answer yet (ECONNREFUSED); waiting up to 30 s.`)
    await mariadb.restart()
    const service = await listening(starting)
    t.match(service.stdout().match(/waiting/g), ['waiting'])
    await register(service.ask)
    service.signal('SIGTERM')
    t.equal(await service.ended, 0)
  })

  await t.test('a stop while it waits for the database ends it', async (t) => {
    const url = await databaseUrl()
    await mariadb.stop()
    const starting = node(t, ['dist/server.js'], settingsOf(url))
    await starting.line(/waiting/)
    starting.signal('SIGTERM')
    t.match(String(await starting.ended), /^(0|1|SIGTERM)$/)
    await mariadb.restart()
  })

  await t.test('a refused user and a database that is not there stop the start at once', async (t) => {
    const url = new URL(await databaseUrl())
    const cases = [
      [{ password: 'canary-wrong' }, 'ER_ACCESS_DENIED_ERROR'],
      [{ pathname: '/nowhere' }, 'ER_BAD_DB_ERROR'],
    ] as const
    for (const [own, code] of cases) {
      const refused = node(t, ['dist/server.js'], settingsOf(String(Object.assign(new URL(url), own))))
      t.equal(await refused.ended, 1)
      const database = 'pathname' in own ? 'nowhere' : url.pathname.slice(1)
      const where = `The database at 127.0.0.1:${mariadb.port}`
      t.equal(refused.stderr(), `${where} refuses this user or has no database ${database} (${code}).\n`)
      t.notMatch(refused.stdout(), /waiting/)
    }
  })

  await t.test('kill -9 of the database loses nothing that was acknowledged', async (t) => {
    const service = await serve(t, await databaseUrl(), { DB_MAX_WAIT_MS: '1000' })
    const facts = nothingYet()
    const clients = crowd(t, service.ask, facts)
    await clients.deeds(30)
    await mariadb.kill()
    t.match(await service.ask('GET /health/ready'), { status: 503 })
    t.match(await service.ask('GET /health/live'), { status: 200 })
    await mariadb.restart()
    await clients.more(20)
    await clients.stop()
    await holdAgainst(t, facts, service.ask)
  })

  await t.test('where the list of ended sessions is too old no token is accepted', async (t) => {
    const service = await serve(t, await databaseUrl(), { REVOCATION_MAX_STALENESS: '5', DB_MAX_WAIT_MS: '300' })
    const [living, ended] = [await register(service.ask), await register(service.ask)]
    await service.ask('DELETE /user/logout', undefined, bearer(ended))
    // It takes no question to the database to refuse this one.
    const refused = () => service.ask('GET /user/me', undefined, bearer(ended))
    t.match(await refused(), { status: 401, body: { code: 'INVALID_TOKEN' } })
    mariadb.pause()
    t.match(await refused(), { status: 401 }, 'the list is young')
    await until(async () => (await refused()).status === 503)
    const answer = await refused()
    t.match(answer.body, { code: 'UNAVAILABLE' })
    t.match(answer.headers.get('retry-after'), /^\d+$/)
    t.match(await service.ask('GET /user/sessions', undefined, bearer(living)), { status: 503 })
    mariadb.resume()
    await until(async () => (await refused()).status === 401)
    t.match(await service.ask('GET /user/me', undefined, bearer(living)), { status: 200 })
    t.equal(service.stdout().match(/reading the list of ended sessions failed/g)?.length, 1, 'said once')
  })
})

onEachEngine(t, 'instances on one database', async (t, engine) => {
  if (engine.name === 'sqlite') return
  const url = await engine.databaseUrl()
  const [one, two] = (await Promise.all([serve(t, url), serve(t, url)])) as [Service, Service]

  await t.test('what one made the other knows', async (t) => {
    const ann = await register(one.ask)
    t.match(await two.ask('GET /user/me', undefined, bearer(ann)), { status: 200, body: ann.user })
    const keys = await Promise.all([one, two].map(({ ask }) => ask('GET /.well-known/jwks.json')))
    t.strictSame(keys[0]!.body, keys[1]!.body)
    const { username } = ann.user
    t.match(await two.ask('POST /user/login', { username, password: PASSWORD }), { status: 200 })
    t.match(await two.ask('POST /user/register', { username, email: 'a@b.example', password: PASSWORD }), {
      status: 409,
    })
    let { refresh_token } = ann
    for (const { ask } of [one, two, one, two]) {
      const answer = await ask('POST /user/refresh', { refresh_token })
      t.match(answer, { status: 200, body: { user: ann.user } })
      t.match(await two.ask('GET /user/me', undefined, bearer(answer.body)), { status: 200 })
      refresh_token = answer.body.refresh_token
    }
  })

  await t.test('refreshes of one token on both give one and the same next token', async (t) => {
    for (const round of [1, 2, 3]) {
      const { refresh_token } = await register(one.ask)
      const asked = [one, two, one, two, one, two].map(({ ask }) => ask('POST /user/refresh', { refresh_token }))
      const answers = await Promise.all(asked)
      for (const { status } of answers) t.equal(status, 200, `round ${round}`)
      const next = new Set(answers.map(({ body }) => body.refresh_token))
      t.equal(next.size, 1, `round ${round}`)
      t.notOk(next.has(refresh_token))
    }
  })

  await t.test('registrations of one name on both give it once', async (t) => {
    const body = { username: randomName(), email: `${randomName()}@example.com`, password: PASSWORD }
    const answers = await Promise.all([one, two, one, two].map(({ ask }) => ask('POST /user/register', body)))
    t.strictSame(answers.map(({ status }) => status).sort(), [201, 409, 409, 409])
  })

  await t.test('a session that one ends the other refuses soon', async (t) => {
    const ann = await register(one.ask)
    const me = () => two.ask('GET /user/me', undefined, bearer(ann))
    t.match(await me(), { status: 200 })
    await one.ask('POST /user/logout', { refresh_token: ann.refresh_token })
    t.match(await one.ask('GET /user/me', undefined, bearer(ann)), { status: 401 }, 'the one that ended it at once')
    t.match(await two.ask('GET /user/sessions', undefined, bearer(ann)), { status: 401 }, 'what asks for the row too')
    const ended = Date.now()
    await until(async () => (await me()).status === 401)
    t.match(await me(), { body: { code: 'INVALID_TOKEN' } })
    t.ok(Date.now() - ended < 10_000, 'within 2 s, and some for a busy machine')
  })

  await t.test('kill -9 of one leaves the other at work', async (t) => {
    const ann = await register(one.ask)
    one.signal('SIGKILL')
    await one.ended
    t.match(await two.ask('POST /user/refresh', { refresh_token: ann.refresh_token }), { status: 200 })
  })
})

/** Everything that a log must not hold; each is somewhere in what the service was sent or knows. */
async function talk(t: Test, { ask, port }: Service, whisper: (text: string) => string): Promise<void> {
  const name = (kind: string) => whisper(`${kind}${randomName()}`)
  const email = () => `${name('mail')}@${name('host')}.example`
  const agent = { 'user-agent': name('agent') }
  const tokens = ({ body }: { body: TokenAnswer }) => {
    whisper(body.access_token)
    whisper(body.refresh_token)
    return body
  }
  const expect = async (status: number, call: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await ask(call, body, { ...agent, ...headers })
    t.equal(answer.status, status, call)
    return answer
  }
  const password = name('password')
  const ann = { username: name('name'), email: email(), password }
  const first = tokens(await expect(201, 'POST /user/register', ann))
  await expect(409, 'POST /user/register', ann)
  await expect(400, 'POST /user/register', { ...ann, [name('member')]: name('value') })
  await expect(400, 'POST /user/register', { ...ann, email: name('no-mail'), username: `${name('bad')}@` })
  const rivals = { username: name('name'), email: email(), password: name('password') }
  await Promise.all([1, 2, 3, 4].map(() => ask('POST /user/register', rivals, agent)))
  await expect(401, 'POST /user/login', { email: ann.email, password: name('password') })
  await expect(401, 'POST /user/login', { email: email(), password })
  await expect(400, 'POST /user/login', `{"email":"${email()}","password":"${name('password')}",}`)
  await expect(400, 'POST /user/login', `{"email":"${email()}","email":"${email()}","password":"x"}`)
  await expect(415, 'POST /user/login', name('text'), { 'content-type': `text/${name('type')}` })
  await expect(413, 'POST /user/login', { email: email(), password: name('password').repeat(4000) })
  const second = tokens(await expect(200, 'POST /user/login', { email: ann.email, password }))
  tokens(await expect(200, 'POST /user/refresh', { refresh_token: first.refresh_token }))
  await expect(401, 'POST /user/refresh', { refresh_token: `lkr_${name('token')}` })
  await expect(200, `GET /user/me?${name('query')}=${name('value')}`, undefined, bearer(first))
  await expect(401, `GET /user/me?access_token=${name('query')}`, undefined, {
    authorization: `Bearer ${name('token')}`,
  })
  await expect(401, 'GET /user/me', undefined, { authorization: `Basic ${name('basic')}`, cookie: name('cookie') })
  await expect(404, `GET /${name('path')}?${name('query')}`)
  await expect(405, `PUT /user/login?${name('query')}`, { password: name('password') })
  await expect(404, `DELETE /user/sessions/${name('id')}?${name('query')}`, undefined, bearer(first))
  await expect(400, `DELETE /user/logout?scope=${name('query')}`, undefined, bearer(first))
  await expect(400, `GET /%zz${name('path')}?${name('query')}`)
  await expect(200, 'PATCH /user/me', { username: name('name') }, bearer(first))
  const change = { current_password: password, new_password: name('password') }
  await expect(403, 'PUT /user/password', { ...change, current_password: name('password') }, bearer(first))
  const third = tokens(await expect(200, 'PUT /user/password', change, bearer(first)))
  await expect(401, 'POST /user/refresh', { refresh_token: second.refresh_token })
  await expect(200, 'POST /user/logout', { refresh_token: second.refresh_token })
  await expect(204, 'POST /user/delete', { password: change.new_password }, bearer(third))
  await expect(401, 'GET /user/me', undefined, bearer(third))
  const raw = await wire(t, port)
  raw.write(`GET /${name('path')}?${name('query')} HTTP/9.9\r\n${name('header')}\x01: ${name('value')}\r\n\r\n`)
  await raw.closed
}

function holdSilence(t: Test, service: Service, whispers: Set<string>): void {
  const printed = service.stdout() + service.stderr()
  for (const text of whispers) if (printed.includes(text)) t.fail(`the log holds ${text}`)
  t.ok(whispers.size > 40 && printed.includes('"refused"'), 'it was told much and logged something')
}

onEachEngine(t, 'the log holds nothing that was sent', async (t, engine) => {
  const whispers = new Set<string>()
  const whisper = (text: string) => {
    whispers.add(text)
    return text
  }
  const SECRET = whisper(`canary-secret-${randomName().repeat(4)}`)
  const service = await serve(t, await engine.databaseUrl(), { SECRET, LOG_LEVEL: 'trace' })
  await talk(t, service, whisper)
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
  holdSilence(t, service, whispers)
})

t.test('the log holds nothing that was sent, nor the password of a database that fails', { skip }, async (t) => {
  const { mariadb, databaseUrl } = await ownMariadb(t)
  const whispers = new Set<string>(['canary-of-mysql'])
  const whisper = (text: string) => {
    whispers.add(text)
    return text
  }
  const url = new URL(await databaseUrl())
  const root = await mysql.createConnection(mariadb.url)
  await root.query("CREATE USER canary@'%' IDENTIFIED BY 'canary-of-mysql'")
  await root.query("GRANT ALL ON *.* TO canary@'%'")
  Object.assign(url, { username: 'canary', password: 'canary-of-mysql' })
  const service = await serve(t, String(url), { LOG_LEVEL: 'trace', DB_MAX_WAIT_MS: '500' })
  await talk(t, service, whisper)
  const name = (kind: string) => whisper(`${kind}${randomName()}`)
  const everything = async (status: number) => {
    const ann = { username: name('name'), email: `${name('mail')}@example.com`, password: name('password') }
    t.match(await service.ask('POST /user/register', ann), { status })
    t.match(await service.ask('POST /user/login', { email: ann.email, password: ann.password }), { status })
  }
  mariadb.pause()
  await everything(503)
  mariadb.resume()
  await root.end()
  await mariadb.kill()
  await everything(503)
  await mariadb.restart()
  // A table that somebody has broken: the one thing that is a 500.
  const breaker = await mysql.createConnection({ uri: String(url) })
  await breaker.query('ALTER TABLE users MODIFY username VARCHAR(2) NOT NULL')
  await breaker.end()
  const ann = { username: name('name'), email: `${name('mail')}@example.com`, password: name('password') }
  await until(async () => (await service.ask('POST /user/register', ann)).status === 500)
  t.match(await service.line(/refused a statement: errno \d+/), { code: 'INTERNAL', level: 50 })
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
  holdSilence(t, service, whispers)
})

t.test('the patience for a database that never comes ends', async (t) => {
  t.equal(await impatient!.ended, 1)
  t.match(impatient!.stderr(), /^The database at 127\.0\.0\.1:\d+ did not answer within 30 s \(ECONNREFUSED\)\.\n$/)
  t.notMatch(impatient!.stdout(), /listens|canary/)
  t.notMatch(impatient!.stderr(), /canary/)
})
