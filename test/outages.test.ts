/** What is lost when things die: nothing that was acknowledged. The process, the database, and the time in between. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { TokenAnswer } from '../schemas/tokens.ts'
import { onEachEngine } from './engines.ts'
import { PASSWORD, randomName } from './helper.ts'
import { ownMariadb } from './mariadb.ts'
import { type Ask, bearer, listening, node, register, serve, settingsOf, until } from './process.ts'
import { skipWithout } from './programs.ts'

const skip = skipWithout('mariadb')

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
  const service = await serve(t, url)
  const clients = crowd(t, service.ask, facts)
  await clients.deeds(30)
  service.signal('SIGKILL')
  t.equal(await service.ended, 'SIGKILL')
  await clients.stop()
  const again = await serve(t, url)
  await holdAgainst(t, facts, again.ask)
})

t.test('a MariaDB that comes and goes', { skip }, async (t) => {
  const mariadb = await ownMariadb(t)

  await t.test('a database that is away at the start is waited for', async (t) => {
    const url = await mariadb.databaseUrl()
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
    const url = await mariadb.databaseUrl()
    await mariadb.stop()
    const starting = node(t, ['dist/server.js'], settingsOf(url))
    await starting.line(/waiting/)
    starting.signal('SIGTERM')
    t.match(String(await starting.ended), /^(0|1|SIGTERM)$/)
    await mariadb.restart()
  })

  await t.test('a refused user and a database that is not there stop the start at once', async (t) => {
    const url = new URL(await mariadb.databaseUrl())
    const cases = [
      [
        { password: 'canary-wrong' },
        '(ER_ACCESS_DENIED_ERROR); if it demands TLS, add ssl-mode=verify_identity to DATABASE_URL',
      ],
      [{ pathname: '/nowhere' }, '(ER_BAD_DB_ERROR)'],
    ] as const
    for (const [own, why] of cases) {
      const refused = node(t, ['dist/server.js'], settingsOf(String(Object.assign(new URL(url), own))))
      t.equal(await refused.ended, 1)
      const database = 'pathname' in own ? 'nowhere' : url.pathname.slice(1)
      const where = `The database at 127.0.0.1:${mariadb.port}`
      t.equal(refused.stderr(), `${where} refuses this user or has no database ${database} ${why}.\n`)
      t.notMatch(refused.stdout(), /waiting/)
    }
  })

  await t.test('kill -9 of the database loses nothing that was acknowledged', async (t) => {
    const service = await serve(t, await mariadb.databaseUrl(), { DB_MAX_WAIT_MS: '1000' })
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

  await t.test('more requests than connections wait for one no longer than they may', async (t) => {
    const service = await serve(t, await mariadb.databaseUrl(), { DB_POOL_SIZE: '1', DB_MAX_WAIT_MS: '300' })
    const ann = await register(service.ask)
    mariadb.pause()
    // The first holds the one connection. With more than a hundred that wait, the rest is turned away at once.
    const asked = Array.from({ length: 130 }, () => service.ask('GET /user/sessions', undefined, bearer(ann)))
    const answers = await Promise.all(asked)
    t.strictSame(new Set(answers.map(({ status, body }) => `${status} ${body.code}`)), new Set(['503 UNAVAILABLE']))
    t.ok(answers.every(({ headers }) => headers.has('retry-after')))
    mariadb.resume()
    await until(async () => (await service.ask('GET /user/sessions', undefined, bearer(ann))).status === 200)
  })

  await t.test('where the list of ended sessions is too old no token is accepted', async (t) => {
    const service = await serve(t, await mariadb.databaseUrl(), {
      REVOCATION_MAX_STALENESS: '5',
      DB_MAX_WAIT_MS: '300',
    })
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
    t.equal(
      service.stdout().match(/reading the signing keys and the list of ended sessions failed/g)?.length,
      1,
      'said once',
    )
  })
})

t.test('the patience for a database that never comes ends', async (t) => {
  t.equal(await impatient!.ended, 1)
  t.match(impatient!.stderr(), /^The database at 127\.0\.0\.1:\d+ did not answer within 30 s \(ECONNREFUSED\)\.\n$/)
  t.notMatch(impatient!.stdout(), /listens|canary/)
  t.notMatch(impatient!.stderr(), /canary/)
})
