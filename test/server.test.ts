/** The process as people run it: start, faults, signals, the command line, and two instances side by side. */
import { exec as execute } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { endOfLife } from '../server.ts'
import { VERSION } from '../version.ts'
import { createEngine } from './engines.ts'
import { PASSWORD, randomName } from './helper.ts'
import {
  bearer,
  listening,
  node,
  ROOT,
  register,
  type Service,
  serve,
  settingsOf,
  slowPost,
  start,
  until,
  wire,
} from './process.ts'
import { skipWithout } from './programs.ts'

const exec = promisify(execute)

const sqlite = (t: Test) => createEngine(t, 'sqlite').databaseUrl()

const HEALTH = 'GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n'

const refuses = async (port: number) => {
  const error = await fetch(`http://127.0.0.1:${port}/`).catch((error) => error)
  return error?.cause?.code === 'ECONNREFUSED'
}

t.test('the start says in one line where it is, which database it has and where to go on', async (t) => {
  const url = await sqlite(t)
  const service = await serve(t, url)
  const line = await service.line(/listens/)
  t.match(service.origin, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/)
  t.match(line, { level: 30, database: `SQLite ${url.slice('sqlite:'.length)}`, docs: `${service.origin}/docs` })
  t.equal(line.msg, `Latchkey ${VERSION} listens on ${service.origin}, on ${line.database}`)
  const inDays = (Date.parse(line.next_key_rotation) - Date.now()) / 86_400_000
  t.ok(inDays > 89.9 && inDays <= 90, `the next key signs in ${inDays} days`)
  t.equal((await service.ask('GET /docs/json')).status, 200)
  t.equal((await service.ask('GET /health/ready')).status, 200)
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
  t.equal(service.stdout().match(/listen/g)?.length, 1)
  t.equal(service.stdout().match(/security fixes/g)?.length, endOfLife(process.versions.node) ? 1 : undefined)
  t.equal(service.stderr(), '')
})

t.test('the start names no next key where none comes by itself', async (t) => {
  const secret = { JWT_ALG: 'HS256', JWT_SECRET: 'a shared secret of this test: thirty-two bytes or more' }
  for (const settings of [{ KEY_ROTATION_DAYS: '0' }, secret]) {
    const service = await serve(t, await sqlite(t), settings)
    t.notMatch(await service.line(/listens/), { next_key_rotation: String })
  }
})

t.test(
  'on a terminal the start is for people to read',
  { skip: existsSync('/usr/bin/script') ? skipWithout('curl') : 'no script' },
  async (t) => {
    const env = { ...settingsOf(await sqlite(t)), TERM: 'xterm' }
    const service = start(t, ['/usr/bin/script', '-qec', 'exec node dist/server.js', '/dev/null'], env, { group: true })
    const address = /http:\S+/.exec(await service.line(/Address/))![0]
    t.match(await service.line(/Latchkey/), `${VERSION}, on SQLite `)
    t.match(await service.line(/Docs/), `${address}/docs`)
    t.match(await service.line(/Keys/), /the next one signs from \d{4}-\S+Z on/)
    // The last line is there to be copied.
    const command = /curl .*/.exec(await service.line(/Try it/))![0]
    t.match(await exec(command, { cwd: ROOT }), { stdout: /"access_token":"/ })
    service.signal('SIGTERM')
    await service.ended
    t.notMatch(service.stdout(), /[Ll]istening|"level"/)
  },
)

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
  t.match(second.stderr(), new RegExp(`^[^\\n]*127\\.0\\.0\\.1:${first.port}[^\\n]*choose another port[^\\n]*\\n$`))
  t.notMatch(second.stdout(), /listens/)
})

t.test('an address that is not of this machine stops it too', async (t) => {
  // RFC 5737: nobody's.
  const refused = node(t, ['dist/server.js'], { ...settingsOf(await sqlite(t)), HOST: '192.0.2.1' })
  t.equal(await refused.ended, 1)
  t.match(
    refused.stderr(),
    /^Latchkey cannot listen on 192\.0\.2\.1:0 \(EADDRNOTAVAIL\)\. HOST is no address of [^\n]*\n$/,
  )
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
    const [unused, begun, used] = [
      await wire(t, service.port),
      await wire(t, service.port),
      await wire(t, service.port),
    ]
    const half = HEALTH.indexOf('Host')
    begun.write(HEALTH.slice(0, half))
    used.write(HEALTH)
    await used.arrives(/"status"/)
    service.signal(signal)
    await service.line(new RegExp(`${signal}: stopping`))
    t.match(await used.closed, /200 OK/, 'a connection with nothing under way is closed')
    unused.write(HEALTH)
    t.match(await unused.closed, /^(HTTP\/1\.1 503 |$)/, 'from Node.js 26 on one that sent nothing yet is closed too')
    begun.write(HEALTH.slice(half))
    const refused = await begun.closed
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

t.test('for SHUTDOWN_DELAY seconds it goes on serving, but is not ready and keeps no connection', async (t) => {
  const service = await serve(t, await sqlite(t), { SHUTDOWN_DELAY: '2' })
  const ann = await register(service.ask)
  const idle = await wire(t, service.port)
  idle.write(HEALTH)
  await idle.arrives(/"status"/)
  const gateway = await wire(t, service.port)
  const verify = `GET /auth/verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${ann.access_token}\r\n\r\n`
  gateway.write(verify)
  await gateway.arrives(/200 OK.*keep-alive/is)
  t.equal((await service.ask('GET /health/ready')).status, 200)
  service.signal('SIGTERM')
  await service.line(/SIGTERM: stopping/)
  const ready = await service.ask('GET /health/ready')
  t.match(ready, { status: 503, body: { code: 'UNAVAILABLE' } })
  t.match(await service.ask('GET /health/live'), { status: 200 }, 'nobody is to kill it')
  const me = await service.ask('GET /user/me', undefined, bearer(ann))
  t.match(me, { status: 200, body: ann.user })
  t.match(await service.ask('POST /user/login', { username: ann.user.username, password: PASSWORD }), { status: 200 })
  idle.write(HEALTH)
  t.match(
    await idle.closed,
    /200 OK.*200 OK.*\r\nconnection: close\r\n/is,
    'a kept connection ends with its next answer',
  )
  const unreadable = await wire(t, service.port)
  unreadable.write('GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await unreadable.closed, /400 Bad Request.*\r\nconnection: close\r\n/is)
  gateway.write(verify)
  t.match(await gateway.closed, /200 OK.*200 OK.*\r\nconnection: close\r\n/is, "so does a gateway's")
  t.equal(await service.ended, 0)
  t.ok(await refuses(service.port))
})

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
  const [help, none, version] = await Promise.all([run('--help'), run(), run('--version')])
  t.match(help, { code: 0, stderr: '' })
  for (const word of ['serve', 'migrate', 'keys', '--help', '--version']) t.match(help.stdout, word)
  t.strictSame(none, help)
  t.strictSame(version, { code: 0, stdout: `${VERSION}\n`, stderr: '' })
  t.match(VERSION, /^\d+\.\d+\.\d+$/)
  const commands = ['serve', 'migrate'].map(async (command) => {
    const [told, extra] = await Promise.all([run(command, '--help'), run(command, 'now', '--port')])
    t.match(told, { code: 0, stderr: '' })
    t.match(told.stdout, `Usage: latchkey ${command}`)
    t.match(extra, { code: 2, stdout: '' })
    t.match(extra.stderr, "unknown option '--port'")
    t.match(await run(command, 'now'), { code: 2, stdout: '', stderr: /too many arguments for/ })
    t.match(told.stdout, new RegExp(`Examples:\n.*latchkey ${command}`))
  })
  const unknowns = [['migrat', 'migrate'], ['sreve', 'serve'], ['__proto__']].map(async ([unknown = '', near]) => {
    const { code, stdout, stderr } = await run(unknown)
    t.match({ code, stdout }, { code: 2, stdout: '' }, unknown)
    t.match(stderr, `unknown command '${unknown}'`)
    t.match(stderr, near ? `Did you mean ${near}?` : /^[^?]*$/)
  })
  await Promise.all([...commands, ...unknowns])
})

t.test('latchkey serve is the same service', async (t) => {
  const service = await listening(node(t, ['dist/cli.js', 'serve'], settingsOf(await sqlite(t))))
  t.match(await service.ask('GET /user/me', undefined, bearer(await register(service.ask))), { status: 200 })
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
})

t.test('instances on one database', { skip: process.env.TEST_MYSQL_URL ? false : 'no MariaDB server' }, async (t) => {
  const url = await createEngine(t, 'mariadb').databaseUrl()
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
