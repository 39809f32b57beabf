/** Signing keys that change while instances run: what each of them signs, takes and publishes, and when. */
import t, { type Test } from 'tap'
import { dbOf } from '../../../plugins/db/index.ts'
import { keysOf } from '../../../plugins/keys/index.ts'
import { createKeySet } from '../../../plugins/keys/key-set.ts'
import { seal } from '../../../plugins/keys/seal.ts'
import { sessionsOf } from '../../../plugins/sessions/index.ts'
import { fail } from '../../../schemas/errors.ts'
import { createEngine, type Engine, onEachEngine } from '../../engines.ts'
import { mintOf } from '../../forgeries.ts'
import { codeOf, headerOf, openApp, PASSWORD, stall, startApp, type TestApp, watchCalls } from '../../helper.ts'
import { until } from '../../process.ts'

const skip = process.env.TEST_MYSQL_URL ? false : 'no MariaDB server'

/** Seconds by the default settings: until a new key is in every list, and that a retired one stays beyond its tokens. */
const LEAD = 300 + 30 + 5
const KEEP = 30 + 60
const TTL = 900
const DAY = 86_400

const setOf = ({ server }: TestApp) => keysOf(server).set!
const kidOf = (token: string) => headerOf(token).kid
const published = async ({ anon }: TestApp): Promise<string[]> =>
  (await anon.get('/.well-known/jwks.json')).body.keys.map(({ kid }: { kid: string }) => kid)
/** The states of all keys, by id. */
const statesOf = (app: TestApp) =>
  Object.fromEntries(
    setOf(app)
      .list()
      .map(({ kid, state }) => [kid, state]),
  )

/** Two instances on one database, whose clocks move together. */
async function two(t: Test, engine: Engine, settings = {}) {
  const one = await startApp(t, engine, settings)
  const other = await openApp(t, { ...settings, DATABASE_URL: one.config.DATABASE_URL }, one.clock)
  const advance = async (seconds: number) => {
    await one.advance(seconds)
    await other.advance(0)
  }
  return { one, other, advance }
}

onEachEngine(t, 'a rotation: published, then signing, then published still, then gone', async (t, engine) => {
  const app = await startApp(t, engine)
  const [signing, next] = await published(app)
  const ann = await app.register('ann')
  t.equal(kidOf(ann.tokens.access_token), signing)
  const { make, claims } = mintOf(app, ann.tokens.access_token)
  const immortal = make({}, { exp: claims.exp + 365 * DAY })

  const { kid, signsAt, done } = await setOf(app).rotate()
  t.strictSame({ kid, done }, { kid: next, done: true })
  const lead = (signsAt - app.clock.time) / 1000
  t.equal(lead, LEAD, 'as long as anybody may have a list without it')
  const third = (await published(app)).find((one) => one !== signing && one !== next)
  t.ok(third, 'and another one waits')
  t.strictSame(await setOf(app).rotate(), { kid: next, signsAt, done: false }, 'one at a time')
  t.strictSame(statesOf(app), { [signing!]: 'signing', [next!]: 'appointed', [third!]: 'next' })

  await app.advance(lead - 0.001)
  t.equal(kidOf((await app.login('ann')).tokens.access_token), signing)
  const last = await app.login('ann')
  await app.advance(0.001)
  const bob = await app.register('bob')
  t.equal(kidOf(bob.tokens.access_token), next, 'by the clock alone')
  t.equal((await published(app))[0], next, 'the one that signs comes first')
  for (const person of [last, bob]) t.equal(codeOf(await person.get('/user/me')), '200')

  await app.advance(TTL + KEEP - 0.001)
  t.ok((await published(app)).includes(signing!), 'its last token may live')
  app.clock.time += 1
  t.notOk((await published(app)).includes(signing!), 'gone, also where the last poll is a while old')
  t.equal(codeOf(await ann.get('/user/me')), '401 TOKEN_EXPIRED', 'who comes late refreshes')
  t.equal(
    codeOf(await app.anon.get('/user/me', { authorization: `Bearer ${immortal}` })),
    '401 INVALID_TOKEN',
    'and none of its lives',
  )
  await setOf(app).tend()
  t.equal((await app.sql('SELECT kid FROM signing_keys')).length, 3)

  const again = await setOf(app).rotate()
  t.strictSame(again, { kid: third, signsAt: app.clock.time, done: true }, 'it has been published for long')
  t.equal(kidOf((await app.login('ann')).tokens.access_token), third)

  await app.advance(app.config.REFRESH_TOKEN_TTL)
  await setOf(app).tend()
  t.strictSame(Object.keys(statesOf(app)).includes(signing!), false)
  t.equal(codeOf(await ann.get('/user/me')), '401 INVALID_TOKEN', 'when nobody has a session of its any more')
})

onEachEngine(t, 'who could not read the keys for long reads them before it signs or shows one', async (t, engine) => {
  const app = await startApp(t, engine)
  const db = dbOf(app.server)
  await app.register('ann')
  const calls = watchCalls(db.keys)
  const use = async () => [
    codeOf(await app.anon.post('/user/login', { username: 'ann', password: PASSWORD })),
    codeOf(await app.anon.get('/.well-known/jwks.json')),
  ]
  app.clock.time += app.config.REVOCATION_MAX_STALENESS * 1000
  t.strictSame(await use(), ['200', '200'])
  t.strictSame(calls, [])
  app.clock.time += 1
  t.strictSame(await use(), ['200', '200'])
  t.strictSame(calls, ['all'], 'once')
  app.clock.time += app.config.REVOCATION_MAX_STALENESS * 1000 + 1
  db.keys.all = async () => fail('UNAVAILABLE')
  t.strictSame(await use(), ['503 UNAVAILABLE', '503 UNAVAILABLE'])
  t.equal(codeOf(await app.anon.get('/.well-known/openid-configuration')), '200', 'which depends on no key')
  const bob = { username: 'bob', email: 'bob@example.com', password: PASSWORD }
  const sessions = await app.sql('SELECT id FROM sessions')
  t.equal(codeOf(await app.anon.post('/user/register', bob)), '503 UNAVAILABLE')
  t.strictSame(await app.sql("SELECT id FROM users WHERE username = 'bob'"), [], 'and nothing was written')
  t.strictSame(await app.sql('SELECT id FROM sessions'), sessions)
})

onEachEngine(t, 'of reads side by side there is one, and a slow one brings nothing back', async (t, engine) => {
  const app = await startApp(t, engine)
  const db = dbOf(app.server)
  const [signing, next] = await published(app)
  const old = stall(db.keys, 'all', 'after')
  const slow = setOf(app).poll()
  await old.arrival
  await setOf(app).revoke(signing!)
  t.equal(setOf(app).current().kid, next)
  old.release()
  await slow
  t.equal(setOf(app).current().kid, next, 'what it had read is older')
  t.equal(setOf(app).find(signing, 'ES256'), undefined)

  app.clock.time += app.config.REVOCATION_MAX_STALENESS * 1000 + 1
  const calls = watchCalls(db.keys)
  await Promise.all([published(app), published(app), published(app)])
  t.strictSame(calls, ['all'])
})

onEachEngine(t, 'by schedule, and once', async (t, engine) => {
  const app = await startApp(t, engine, { KEY_ROTATION_DAYS: '7' })
  const [signing, next] = await published(app)
  const due = setOf(app).nextRotation()!
  t.equal(due, Number((await dbOf(app.server).keys.all()).find(({ kid }) => kid === signing)!.signsAt) + 7 * DAY * 1000)
  await app.advance((due - app.clock.time) / 1000 - 0.001)
  await setOf(app).tend()
  t.equal((await app.sql('SELECT kid FROM signing_keys')).length, 2, 'not yet')
  await app.advance(0.001)
  await Promise.all([setOf(app).tend(), setOf(app).tend(), setOf(app).tend()])
  t.equal(setOf(app).current().kid, next)
  t.equal((await app.sql('SELECT kid FROM signing_keys')).length, 3)
  t.equal(setOf(app).nextRotation(), app.clock.time + 7 * DAY * 1000)
  // Far from everything that is due but the timers themselves.
  app.clock.time += 7 * DAY * 1000
  await app.server.listen({ host: '127.0.0.1', port: 0 })
  await until(async () => setOf(app).current().kid !== next)
  t.pass('a service that listens does it by itself')
})

onEachEngine(t, 'by hand only', async (t, engine) => {
  const app = await startApp(t, engine, { KEY_ROTATION_DAYS: '0' })
  await app.advance(3650 * DAY)
  await setOf(app).tend()
  t.equal((await app.sql('SELECT kid FROM signing_keys')).length, 2)
  t.equal(setOf(app).nextRotation(), undefined)
})

t.test('of instances that rotate at once one does', { skip }, async (t) => {
  const { one, other, advance } = await two(t, createEngine(t, 'mariadb'), { KEY_ROTATION_DAYS: '1' })
  const answers = await Promise.all([one, other, one, other].map((app) => setOf(app).rotate()))
  t.equal(new Set(answers.map(({ kid }) => kid)).size, 1)
  t.equal(answers.filter(({ done }) => done).length, 1)
  await advance(LEAD + DAY)
  await Promise.all([one, other, one, other].map((app) => setOf(app).tend()))
  await advance(0)
  t.equal(setOf(one).current().kid, setOf(other).current().kid)
  t.equal((await one.sql('SELECT kid FROM signing_keys WHERE signs_at IS NULL')).length, 1)
})

t.test('a compromised key is refused by every instance after its next poll', { skip }, async (t) => {
  const { one, other } = await two(t, createEngine(t, 'mariadb'))
  const [signing, next] = await published(one)
  const ann = await one.register('ann')
  const elsewhere = other.as(ann.answer)
  for (const person of [ann, elsewhere]) t.equal(codeOf(await person.get('/user/me')), '200')

  t.equal(setOf(one).isPublished(signing), true)
  t.equal(await setOf(one).revoke(signing!), true)
  t.equal(setOf(one).isPublished(signing), false, 'also for a request that has just found it')
  t.equal(codeOf(await ann.get('/user/me')), '401 INVALID_TOKEN', 'here at once')
  t.notOk((await published(one)).includes(signing!))
  const { tokens } = await one.login('ann')
  t.equal(kidOf(tokens.access_token), next)
  await other.advance(0)
  for (const url of ['/user/me', '/user/sessions'])
    t.equal(codeOf(await elsewhere.get(url)), '401 INVALID_TOKEN', 'there after a poll')
  t.notOk((await published(other)).includes(signing!))
  t.equal(kidOf((await other.login('ann')).tokens.access_token), next)
  const { refresh_token } = ann.tokens
  t.equal(codeOf(await other.anon.post('/user/refresh', { refresh_token })), '200', 'the session goes on')

  t.equal(await setOf(other).revoke(signing!), false, 'it is gone')
})

onEachEngine(t, 'a key of any state can be revoked, and one signs and one waits ever after', async (t, engine) => {
  const app = await startApp(t, engine)
  let count = 0
  for (const wanted of ['next', 'signing', 'next', 'signing', 'signing', 'appointed']) {
    if (wanted === 'appointed') await setOf(app).rotate()
    const [kid] = Object.entries(statesOf(app)).find(([, state]) => state === wanted)!
    t.equal(await setOf(app).revoke(kid), true)
    const states = Object.values(statesOf(app))
    t.strictSame(states, wanted === 'appointed' ? ['next', 'appointed', 'signing'] : ['next', 'signing'], wanted)
    t.equal(codeOf(await (await app.register(`ann${count++}`)).get('/user/me')), '200', wanted)
  }
  const kidWith = (wanted: string) => Object.entries(statesOf(app)).find(([, state]) => state === wanted)![0]
  const [signing, appointed] = [kidWith('signing'), kidWith('appointed')]
  await setOf(app).revoke(signing)
  t.equal(setOf(app).current().kid, appointed, 'who was appointed takes over at once')
})

onEachEngine(t, 'a lowered ACCESS_TOKEN_TTL buries no key too early', async (t, engine) => {
  let app = await startApp(t, engine, { ACCESS_TOKEN_TTL: '5000' })
  const { DATABASE_URL } = app.config
  const [signing] = await published(app)
  const ann = await app.register('ann')
  await app.server.close()
  app = await openApp(t, { DATABASE_URL, ACCESS_TOKEN_TTL: '60' }, app.clock)
  await setOf(app).rotate()
  await app.advance(LEAD)
  await app.advance(5000 + KEEP - 0.001)
  await setOf(app).tend()
  t.ok((await published(app)).includes(signing!))
  t.equal(codeOf(await app.as(ann.answer).get('/user/me')), '401 TOKEN_EXPIRED', 'until it has expired')
  await app.advance(0.001)
  await setOf(app).tend()
  t.notOk((await published(app)).includes(signing!))
})

onEachEngine(t, 'a raised ACCESS_TOKEN_TTL is noted for the keys that will sign with it', async (t, engine) => {
  const first = await startApp(t, engine)
  await setOf(first).rotate()
  const ttls = async () =>
    (await first.sql<{ ttl: number }>('SELECT token_ttl AS ttl FROM signing_keys')).map(({ ttl }) => Number(ttl))
  t.strictSame(await ttls(), [900, 900, 900])
  await first.server.close()
  const second = await openApp(t, { DATABASE_URL: first.config.DATABASE_URL, ACCESS_TOKEN_TTL: '1000' }, first.clock)
  t.strictSame(await ttls(), [1000, 1000, 1000])
  await second.advance(LEAD)
  await setOf(second).rotate()
  await second.server.close()
  await openApp(t, { DATABASE_URL: first.config.DATABASE_URL, ACCESS_TOKEN_TTL: '2000' }, second.clock)
  t.strictSame((await ttls()).sort(), [1000, 1000, 2000, 2000], 'not for those that nobody signs with any more')
})

onEachEngine(t, 'a change that was overtaken changes nothing', async (t, engine) => {
  const app = await startApp(t, engine)
  const [signing, next] = await published(app)
  const wall = stall(dbOf(app.server).keys, 'change', 'before')
  const late = t.rejects(setOf(app).rotate(), { message: 'The signing keys were changed meanwhile. Try again.' })
  await wall.arrival
  await app.sql('DELETE FROM signing_keys WHERE kid = ?', [next!])
  wall.release()
  await late
  await app.advance(0)
  t.strictSame(statesOf(app), { [signing!]: 'signing' })
  await setOf(app).tend()
  t.strictSame(Object.values(statesOf(app)).sort(), ['next', 'signing'], 'what is missing is made')
})

onEachEngine(t, 'an unknown kid costs no query', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const [, payload, signature] = ann.tokens.access_token.split('.')
  const db = dbOf(app.server)
  const calls = watchCalls(db.keys, db.sessions, db.users)
  for (const kid of ['unknown', '', '__proto__', 7, null, { a: 1 }]) {
    const head = Buffer.from(JSON.stringify({ ...headerOf(ann.tokens.access_token), kid })).toString('base64url')
    for (const url of ['/user/me', '/user/sessions']) {
      const answer = await app.anon.get(url, { authorization: `Bearer ${head}.${payload}.${signature}` })
      t.equal(codeOf(answer), '401 INVALID_TOKEN')
    }
  }
  t.strictSame(calls, [])
})

onEachEngine(t, 'without the keys of others no list is fresh', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const { keys } = dbOf(app.server)
  const real = keys.all
  keys.all = () => Promise.reject(new Error('away'))
  await t.rejects(app.advance(app.config.REVOCATION_MAX_STALENESS), { message: 'away' })
  t.equal(codeOf(await ann.get('/user/me')), '200')
  await t.rejects(app.advance(0.001), { message: 'away' })
  t.equal(codeOf(await ann.get('/user/me')), '503 UNAVAILABLE', 'though the other list could be read')
  keys.all = real
  await app.advance(0)
  t.equal(codeOf(await ann.get('/user/me')), '200')
})

onEachEngine(t, 'a key that does not open is told once, and the others go on', async (t, engine) => {
  const app = await startApp(t, engine)
  const { keys, sessions } = dbOf(app.server)
  const told: object[] = []
  const sealing = keysOf(app.server).derive('signing-key-seal')
  const set = createKeySet({
    db: { keys, sessions } as never,
    sealing,
    rules: { lead: 1, keep: 1, remember: 1, stale: 1, rotation: 0 },
    log: { error: (about: object) => told.push(about) } as never,
    tokenTtl: 0,
    now: () => app.clock.time,
  })
  await set.load()
  const before = set.published()
  const pem = setOf(app).current().privatePem
  const insert = (kid: string, sealed: string) =>
    app.sql(
      `INSERT INTO signing_keys (kid, alg, public_jwk, private_sealed, created_at, signs_at, token_ttl) VALUES (?, 'ES256', '{}', ?, 1, 1, 900)`,
      [kid, sealed],
    )
  await insert('foreign', seal(pem, 'foreign', Buffer.alloc(32), Buffer.alloc(12)))
  await insert('renamed', seal(pem, 'renamed', sealing[0], Buffer.alloc(12)))
  for (const _ of [1, 2, 3]) await set.poll()
  t.strictSame(told, [{ kid: 'foreign' }, { kid: 'renamed' }], 'another SECRET, and a name that is not its thumbprint')
  t.strictSame(set.published(), before)
  t.equal(set.current().kid, before[0]!.kid)
  await t.rejects(set.load(), /does not open under SECRET/, 'at the start it stops the start')
  for (const change of [setOf(app).rotate, setOf(app).reseal, () => setOf(app).revoke(before[1]!.kid)])
    await t.rejects(async () => void (await change()), /does not open under SECRET/, 'who cannot open all changes none')

  await app.sql(`DELETE FROM signing_keys WHERE kid NOT IN ('foreign', 'renamed')`)
  await t.rejects(set.poll(), { message: 'The database has no signing key that opens under SECRET.' })
  t.equal(set.current().kid, before[0]!.kid, 'what is known goes on')
  await app.sql('DELETE FROM signing_keys')
  await setOf(app).tend()
  t.equal((await published(app)).length, 2, 'made anew')
  t.notOk((await published(app)).includes(before[0]!.kid))
  t.equal(codeOf(await (await app.register('ann')).get('/user/me')), '200')
  await sessionsOf(app.server).poll()
})

onEachEngine(t, 'what stands in the public column is never told', async (t, engine) => {
  const app = await startApp(t, engine)
  const { body } = await app.anon.get('/.well-known/jwks.json')
  await app.sql(`UPDATE signing_keys SET public_jwk = '{"kty":"oct","k":"AA"}', alg = 'HS256'`)
  await app.advance(0)
  t.strictSame((await app.anon.get('/.well-known/jwks.json')).body, body)
  await app.server.close()
  const again = await openApp(t, { DATABASE_URL: app.config.DATABASE_URL, KEY_ROTATION_DAYS: '0' })
  for (const { alg, kty } of (await again.anon.get('/.well-known/jwks.json')).body.keys)
    t.strictSame({ alg, kty }, { alg: 'ES256', kty: 'EC' })
})

t.test('keys that have gone are no longer kept in memory, and known ones are not opened again', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { privatePem } = setOf(app).current()
  await app.sql(`UPDATE signing_keys SET private_sealed = 'nonsense' WHERE signs_at IS NOT NULL`)
  await app.advance(0)
  t.equal(setOf(app).current().privatePem, privatePem)
})
