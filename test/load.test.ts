/**
 * Two instances on one MariaDB under load. Behind nginx: five rotations of the signing key refuse no good token, as
 * judged by the libraries that people use, and a session that was ended on one instance is refused by the other within
 * 2 s. And SECRET changes by the four steps of docs/keys.md, and no request fails.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import type { TokenAnswer } from '../schemas/tokens.ts'
import { basicOf, headerOf, PASSWORD, SERVICE } from './helper.ts'
import { JUDGES } from './judges.ts'
import { createDatabase, freePort } from './mariadb.ts'
import { startNginx } from './nginx.ts'
import {
  type Answer,
  type Ask,
  bearer,
  client,
  listening,
  node,
  ROOT,
  register,
  type Service,
  settingsOf,
  until,
} from './process.ts'
import { skipWithout } from './programs.ts'

const server = process.env.TEST_MYSQL_URL
const skip = server ? skipWithout('nginx', 'python-jwt', 'python-cryptography') : 'no MariaDB server'

const ROTATIONS = 5
const JWKS_SECONDS = 2
/** What the contract gives an ending to reach every instance. */
const REACHES_MS = 2000
/** As many people at a time. */
const LOOPS = 4

/** Lives of people side by side, one after the other in each loop, until `work` is done. What goes wrong in one stops all. */
async function underLoad(live: (loop: number) => Promise<void>, work: () => Promise<void>): Promise<void> {
  let over = false
  const loops = Array.from({ length: LOOPS }, async (_, loop) => {
    while (!over) await live(loop)
  })
  const working = work().finally(() => {
    over = true
  })
  await Promise.all([working, ...loops])
}

/** The answer, where it has this status. */
function expect(answer: Answer, status: number, what: string): Answer['body'] {
  if (answer.status !== status) throw new Error(`${what}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}

const run = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  promisify(execFile)(process.execPath, args, { cwd: ROOT, env: { ...process.env, ...env } })

/** All that a person does, but for the end. Gives the last tokens. */
async function flow(ask: Ask, issued: (token: string) => Promise<void>): Promise<TokenAnswer> {
  const first = await register(ask)
  await issued(first.access_token)
  expect(await ask('GET /user/me', undefined, bearer(first)), 200, 'me')
  const { refresh_token } = first
  const second: TokenAnswer = expect(await ask('POST /user/refresh', { refresh_token }), 200, 'refresh')
  await issued(second.access_token)
  expect(await ask('GET /auth/verify', undefined, bearer(second)), 200, 'verify')
  expect(await ask('GET /user/sessions', undefined, bearer(second)), 200, 'sessions')
  const { username } = first.user
  const third: TokenAnswer = expect(await ask('POST /user/login', { username, password: PASSWORD }), 200, 'login')
  await issued(third.access_token)
  return third
}

t.test('the whole flow, and five rotations', { skip }, async (t) => {
  const port = await freePort()
  const ISSUER = `http://127.0.0.1:${port}`
  const env = {
    ...{ ...settingsOf(await createDatabase(server!)), ISSUER, TRUSTED_PROXIES: '127.0.0.1' },
    ...{ SERVICE_CLIENTS: `${SERVICE.id}:${SERVICE.secret}`, REVOCATION_MAX_STALENESS: '5' },
  }
  const start = () => listening(node(t, ['dist/test/short-cache.js', String(JWKS_SECONDS), 'serve'], env))
  const instances = [await start(), await start()] as const
  await startNginx(
    t,
    instances.map(({ port }) => port),
    { port },
  )
  const judges = await Promise.all(
    JUDGES.map(async ({ name, start }) => ({
      name,
      judge: await start(t, { issuer: ISSUER, audience: 'latchkey', client: SERVICE, maxAgeSeconds: JWKS_SECONDS }),
    })),
  )
  const ask = client(ISSUER)
  /** A token of each key, of a session that goes on. */
  const kept = new Map<string, string>()
  const refused: string[] = []
  const late: number[] = []
  let judged = 0

  async function judgeAll(token: string): Promise<void> {
    const verdicts = await Promise.all(judges.map(async ({ name, judge }) => ({ name, verdict: await judge(token) })))
    for (const { name, verdict } of verdicts)
      if (verdict !== 'accepted') refused.push(`${name}, ${headerOf(token).kid}: ${verdict}`)
    judged++
  }

  async function live(loop: number): Promise<void> {
    const person = await flow(ask, judgeAll)
    const kid = String(headerOf(person.access_token).kid)
    if (!kept.has(kid)) return void kept.set(kid, person.access_token)
    const [here, there] = loop % 2 ? instances : instances.toReversed()
    expect(await there!.ask('GET /user/me', undefined, bearer(person)), 200, 'me before the end, there')
    expect(await here!.ask('DELETE /user/logout', undefined, bearer(person)), 200, 'logout')
    const ended = Date.now()
    expect(await here!.ask('GET /user/me', undefined, bearer(person)), 401, 'me after the end, here')
    await until(async () => (await there!.ask('GET /user/me', undefined, bearer(person))).status === 401)
    late.push(Date.now() - ended)
    const form = { 'content-type': 'application/x-www-form-urlencoded', ...basicOf(SERVICE) }
    const body = expect(await ask('POST /oauth/introspect', `token=${person.access_token}`, form), 200, 'introspect')
    t.strictSame(body, { active: false })
  }

  await underLoad(live, async () => {
    for (let rotation = 0; rotation < ROTATIONS; rotation++) {
      await run(env, 'dist/test/short-cache.js', String(JWKS_SECONDS), 'rotate')
      await until(async () => kept.size > rotation + 1)
    }
  })
  t.equal(kept.size, ROTATIONS + 1, 'so many keys have signed')
  for (const token of kept.values()) await judgeAll(token)
  const [kid, token] = [...kept].at(-1)!
  const me = ({ ask }: Service) => ask('GET /user/me', undefined, { authorization: `Bearer ${token}` })
  for (const instance of instances) t.equal((await me(instance)).status, 200)
  await run(env, 'dist/cli.js', 'keys', 'revoke', kid)
  const revoked = Date.now()
  for (const instance of instances) await until(async () => (await me(instance)).status === 401)
  late.push(Date.now() - revoked)
  t.strictSame(refused, [], `${judged} tokens, each judged by ${judges.length} libraries`)
  t.ok(
    late.length > 0 && Math.max(...late) <= REACHES_MS,
    `${late.length} endings and a revoked key, the latest after ${Math.max(...late)} ms`,
  )
})

/** An instance that a gateway can take out: no request is under way when it stops. */
class Instance {
  service: Service
  #underWay = 0
  constructor(service: Service) {
    this.service = service
  }
  ask: Ask = (...call) => {
    this.#underWay++
    return this.service.ask(...call).finally(() => this.#underWay--)
  }
  async replace(start: () => Promise<Service>): Promise<void> {
    await until(async () => this.#underWay === 0)
    this.service.signal('SIGTERM')
    await this.service.ended
    this.service = await start()
  }
}

t.test('SECRET changes by its four steps, and no request fails', { skip }, async (t) => {
  const [old, next] = ['the old secret has more than thirty-two bytes', 'the new secret has more than thirty-two bytes']
  const settings = { ...settingsOf(await createDatabase(server!)), REFRESH_GRACE: '0' }
  const start = (SECRET: string) => listening(node(t, ['dist/server.js'], { ...settings, SECRET }))
  const instances = [new Instance(await start(old)), new Instance(await start(old))]
  let serving = instances
  let asked = 0
  const ask: Ask = (...call) => serving[asked++ % serving.length]!.ask(...call)

  /** The person of each loop, whose one session goes on through all the steps. */
  const people: TokenAnswer[] = await Promise.all(Array.from({ length: LOOPS }, () => register(ask)))
  const refreshes = people.map(() => 0)
  async function live(loop: number): Promise<void> {
    const { refresh_token } = people[loop]!
    const tokens: TokenAnswer = expect(await ask('POST /user/refresh', { refresh_token }), 200, 'refresh')
    people[loop] = tokens
    refreshes[loop]!++
    for (const call of ['GET /user/me', 'GET /user/sessions', 'GET /auth/verify'])
      expect(await ask(call, undefined, bearer(tokens)), 200, call)
  }
  /** As everybody has whose session did not expire within REFRESH_TOKEN_TTL. */
  const allHaveRefreshed = async () => {
    const before = [...refreshes]
    await until(async () => refreshes.every((count, loop) => count > before[loop]! + 1))
  }
  const restartAll = async (SECRET: string) => {
    for (const instance of instances) {
      serving = instances.filter((other) => other !== instance)
      await instance.replace(() => start(SECRET))
      serving = instances
    }
    await allHaveRefreshed()
  }

  await underLoad(live, async () => {
    await restartAll(`${old},${next}`)
    await restartAll(`${next},${old}`)
    const reseal = await run({ ...settings, SECRET: `${next},${old}` }, 'dist/cli.js', 'keys', 'reseal')
    t.match(reseal.stdout, /^2 of 2 keys were sealed anew/)
    await restartAll(next)
  })
  t.ok(
    refreshes.every((count) => count > 0),
    `${refreshes} refreshes, and none failed`,
  )
  await t.rejects(
    run({ ...settings, SECRET: old }, 'dist/cli.js', 'keys', 'list'),
    /does not open under SECRET/,
    'the old one opens nothing any more',
  )
})
