/** Two requests at the same time: one is stalled at the worst moment, and what it would do is judged anew by what the other one did. */
import { setTimeout as pause } from 'node:timers/promises'
import bcrypt from 'bcrypt'
import t from 'tap'
import { dbOf } from '../plugins/db/index.ts'
import { passwordsOf } from '../plugins/passwords/index.ts'
import { connect, onEachEngine } from './engines.ts'
import { COST, codeOf, PASSWORD, type Person, stall, startApp, type TestApp, tally } from './helper.ts'

const NEW = 'another correct horse'
const ANN = { username: 'ann', password: PASSWORD }

const login = (app: TestApp, password: string) => app.anon.post('/user/login', { username: 'ann', password })
const refresh = (app: TestApp, refresh_token: string) => app.anon.post('/user/refresh', { refresh_token })
const changePassword = (person: Person, new_password = NEW) =>
  person.put('/user/password', { current_password: PASSWORD, new_password })

async function count(app: TestApp, table: string): Promise<number> {
  const [row] = await app.sql<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`)
  return Number(row!.n)
}

/** All sessions that live, of whomever. */
const living = (app: TestApp) => count(app, 'sessions WHERE ended_at IS NULL')

const disable = (app: TestApp, { tokens }: Person) =>
  app.sql('UPDATE users SET disabled_at = ? WHERE id = ?', [app.clock.time, tokens.user.id])
const storeForeign = (app: TestApp) =>
  app.sql('UPDATE users SET password_hash = ? WHERE username = ?', [bcrypt.hashSync(PASSWORD, 4), 'ann'])

/** What makes a verified password or a refresh token worthless, and how many sessions live after it. */
const DEEDS: [name: string, deed: (app: TestApp, person: Person) => Promise<unknown>, living: number][] = [
  ['a password change', (_app, person) => changePassword(person), 1],
  ['disabling', disable, 1],
  ['deletion', (_app, person) => person.post('/user/delete', { password: PASSWORD }), 0],
]

for (const [name, deed, left] of DEEDS) {
  onEachEngine(t, `a login and a refresh, against ${name}`, async (t, engine) => {
    const app = await startApp(t, engine)
    const walls = {
      'a login before its session': () => stall(dbOf(app.server).users, 'login', 'before'),
      'a login after its hash': () => stall(passwordsOf(app.server), 'verify', 'after'),
      'a refresh before its rotation': () => stall(dbOf(app.server).sessions, 'rotate', 'before'),
    }
    for (const [index, [what, build]] of Object.entries(walls).entries()) {
      const ann = await app.register(`ann${index}`)
      const wall = build()
      const late = what.includes('login')
        ? app.anon.post('/user/login', { username: `ann${index}`, password: PASSWORD })
        : refresh(app, ann.tokens.refresh_token)
      await wall.arrival
      await deed(app, ann)
      wall.release()
      t.equal(codeOf(await late), `401 INVALID_${what.includes('login') ? 'CREDENTIALS' : 'REFRESH_TOKEN'}`, what)
      t.equal(await living(app), left * (index + 1), 'no session was opened')
    }
    const [row] = await app.sql<{ n: number }>('SELECT SUM(generation) AS n FROM sessions')
    t.equal(Number(row!.n), 0, 'nothing was rotated')
  })
}

onEachEngine(t, 'a login against a password change that is not committed yet', async (t, engine) => {
  // SQLite lets nobody write meanwhile: there the order is that of the tests above.
  if (engine.name === 'sqlite') return
  const app = await startApp(t, engine)
  await app.register('ann')
  const changed = await passwordsOf(app.server).hash(NEW)
  const change = await connect(app.config.DATABASE_URL)
  await change.sql('START TRANSACTION')
  await change.sql('UPDATE users SET password_hash = ? WHERE username = ?', [changed, 'ann'])
  const late = login(app, PASSWORD)
  const waiting = `SELECT t.trx_id FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p
      ON p.ID = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.DB = DATABASE()`
  // The server renews this view only for who has not asked for a tenth of a second.
  while ((await change.sql(waiting)).length === 0) await pause(150)
  await change.sql('COMMIT')
  t.equal(codeOf(await late), '401 INVALID_CREDENTIALS')
  t.equal(await living(app), 1, "that of ann's registration")
  t.equal(codeOf(await login(app, NEW)), '200')
  await change.close()
})

onEachEngine(t, 'a hash that a login renews never comes back over a new password', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  await storeForeign(app)
  const wall = stall(passwordsOf(app.server), 'verify', 'after')
  const late = login(app, PASSWORD)
  await wall.arrival
  t.equal(codeOf(await changePassword(ann)), '200')
  wall.release()
  t.equal(codeOf(await late), '401 INVALID_CREDENTIALS')
  t.equal(codeOf(await login(app, PASSWORD)), '401 INVALID_CREDENTIALS')
  t.equal(codeOf(await login(app, NEW)), '200')
})

onEachEngine(
  t,
  'a password change against a login that renews the hash is judged anew and succeeds',
  async (t, engine) => {
    const app = await startApp(t, engine)
    const ann = await app.register('ann')
    await storeForeign(app)
    const wall = stall(dbOf(app.server).users, 'changePassword', 'before')
    const late = changePassword(ann)
    await wall.arrival
    const other = await app.login('ann')
    wall.release()
    t.equal(codeOf(await late), '200')
    t.equal(codeOf(await other.get('/user/me')), '401 INVALID_TOKEN', 'the login came first, so its session ended')
    t.equal(await living(app), 1)
    t.equal(codeOf(await login(app, NEW)), '200')
  },
)

onEachEngine(t, 'logins at the same time with a foreign hash all succeed, and it is renewed', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  await storeForeign(app)
  const answers = await Promise.all([1, 2, 3, 4].map(() => login(app, PASSWORD)))
  t.strictSame(tally(answers), { 200: 4 })
  const [row] = await app.sql<{ password_hash: string }>('SELECT password_hash FROM users')
  t.match(row!.password_hash, `$bcrypt-sha256$v=2,t=2b,r=${COST}$`)
  t.equal(await living(app), 5)
})

onEachEngine(t, 'registrations at the same time of one e-mail make one account', async (t, engine) => {
  const person = (index: number) => ({ username: `ann${index}`, email: 'ann@example.com', password: PASSWORD })
  for (const patience of ['60000', '200']) {
    const app = await startApp(t, engine, { HASH_MAX_WAIT_MS: patience })
    const bodies = Array.from({ length: 100 }, (_, index) => person(index))
    const answers = await Promise.all(bodies.map((body) => app.anon.post('/user/register', body)))
    const { 201: made, '409 EMAIL_TAKEN': taken = 0, '503 OVERLOADED': overloaded = 0, ...others } = tally(answers)
    t.equal(made, 1)
    t.strictSame(others, {})
    t.equal(taken + overloaded, 99)
    if (patience === '60000') t.equal(overloaded, 0)
    t.equal(await count(app, 'users'), 1)
    t.equal(await count(app, 'sessions'), 1)
  }
})

onEachEngine(t, 'registrations at the same time of one username, and of both', async (t, engine) => {
  const app = await startApp(t, engine)
  const named = (username: string, email: string) => ({ username, email, password: PASSWORD })
  const one = ['ann', 'ANN', 'Ann', 'ａｎｎ'].map((name, index) => named(name, `ann${index}@example.com`))
  const first = await Promise.all(one.map((body) => app.anon.post('/user/register', body)))
  t.strictSame(tally(first), { 201: 1, '409 USERNAME_TAKEN': 3 })

  const both = ['bob@example.com', 'BOB@example.com', 'bob@EXAMPLE.com'].map((email) => named('bob', email))
  const second = await Promise.all(both.map((body) => app.anon.post('/user/register', body)))
  t.strictSame(tally(second), { 201: 1, '409 EMAIL_TAKEN': 2 })
  t.equal(await count(app, 'users'), 2)
})

onEachEngine(t, 'a registration that finds its name free and is overtaken', async (t, engine) => {
  const app = await startApp(t, engine)
  const wall = stall(dbOf(app.server).users, 'register', 'before')
  const late = app.anon.post('/user/register', { ...ANN, email: 'late@example.com' })
  await wall.arrival
  await app.register('ann')
  wall.release()
  t.equal(codeOf(await late), '409 USERNAME_TAKEN', 'the index decides')
  t.equal(await count(app, 'sessions'), 1, 'and nothing of it is left')
})

onEachEngine(t, 'password changes at the same time: one wins', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const other = await app.login('ann')
  const passwords = [1, 2, 3, 4].map((index) => `the new password ${index}`)
  const answers = await Promise.all(
    passwords.map((password, index) => changePassword(index % 2 ? ann : other, password)),
  )
  t.strictSame(tally(answers), { 200: 1, '401 INVALID_TOKEN': 3 })
  t.equal(await living(app), 1)
  const winner = answers.findIndex(({ status }) => status === 200)
  t.equal(codeOf(await app.as(answers[winner]!).get('/user/me')), '200')
  t.equal(codeOf(await login(app, passwords[winner]!)), '200')
  t.equal(codeOf(await login(app, PASSWORD)), '401 INVALID_CREDENTIALS')
})

onEachEngine(t, 'a log-out that comes first stops a password change and a deletion', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  for (const deed of ['changePassword', 'remove'] as const) {
    const ann = await app.login('ann')
    const wall = stall(dbOf(app.server).users, deed, 'before')
    const late = deed === 'remove' ? ann.post('/user/delete', { password: PASSWORD }) : changePassword(ann)
    await wall.arrival
    t.equal(codeOf(await ann.delete('/user/logout')), '200')
    wall.release()
    t.equal(codeOf(await late), '401 INVALID_TOKEN', deed)
    t.equal(codeOf(await login(app, PASSWORD)), '200', 'the old password holds')
  }
  t.equal(await living(app), 3, 'the registration, and the two logins with the old password')
})

onEachEngine(t, 'a deletion against a password change', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const wall = stall(dbOf(app.server).users, 'remove', 'before')
  const late = ann.post('/user/delete', { password: PASSWORD })
  await wall.arrival
  const changed = await changePassword(ann)
  wall.release()
  t.equal(codeOf(await late), '401 INVALID_TOKEN')
  t.equal(codeOf(await app.as(changed).get('/user/me')), '200', 'the account is there')
})

onEachEngine(t, 'logins at the same time leave no more than MAX_SESSIONS', async (t, engine) => {
  const app = await startApp(t, engine, { MAX_SESSIONS: '2' })
  await app.register('ann')
  t.strictSame(tally(await Promise.all([1, 2, 3, 4, 5].map(() => login(app, PASSWORD)))), { 200: 5 })
  t.equal(await living(app), 2)
})

onEachEngine(t, 'an account that changes each time is given up, not judged for ever', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  const { users } = dbOf(app.server)
  let tries = 0
  users.login = async () => {
    tries++
    return undefined
  }
  t.equal(codeOf(await login(app, PASSWORD)), '503 UNAVAILABLE')
  t.equal(tries, 3)
})
