/** POST /oauth/revoke: the same ending as a log-out, for every instance, and 200 for whatever token. */
import t from 'tap'
import { createEngine, onEachEngine } from '../../engines.ts'
import { type Answer, claimsOf, codeOf, openApp, type Person, startApp, type TestApp } from '../../helper.ts'
import { ownMariadb } from '../../mariadb.ts'
import { skipWithout } from '../../programs.ts'

const revoke = (app: TestApp, token: string, more = {}) => app.service.form('/oauth/revoke', { token, ...more })
const refresh = (app: TestApp, refresh_token: string) => app.anon.post('/user/refresh', { refresh_token })
const isActive = async (app: TestApp, token: string) =>
  (await app.service.form('/oauth/introspect', { token })).body.active
const sidOf = ({ tokens }: Person) => claimsOf(tokens.access_token).sid
const ended = async (app: TestApp): Promise<string[]> =>
  (await app.service.get('/.well-known/revocations')).body.sessions.map(({ sid }: { sid: string }) => sid)

function isDone(t: Parameters<typeof startApp>[0], { status, text, headers }: Answer, name: string): void {
  t.strictSame([status, text, headers['content-length']], [200, '', '0'], name)
  t.equal(headers['cache-control'], 'no-store')
}

/** Whether this session is over, as everybody sees it. */
async function holdEnded(
  t: Parameters<typeof startApp>[0],
  app: TestApp,
  person: Person,
  newest: string,
): Promise<void> {
  const { access_token } = person.tokens
  t.equal(codeOf(await person.get('/user/me')), '401 INVALID_TOKEN')
  t.equal(codeOf(await refresh(app, newest)), '401 INVALID_REFRESH_TOKEN')
  t.strictSame([await isActive(app, access_token), await isActive(app, newest)], [false, false])
  t.ok((await ended(app)).includes(sidOf(person)), 'those who verify by themselves are told')
}

onEachEngine(t, 'a good token ends its session, and no other', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  const cases: [name: string, token: (person: Person, newest: string) => string, more?: object][] = [
    ['an access token', ({ tokens }) => tokens.access_token],
    ['with a hint', ({ tokens }) => tokens.access_token, { token_type_hint: 'access_token' }],
    ['with a wrong hint', ({ tokens }) => tokens.access_token, { token_type_hint: 'refresh_token' }],
    ['a refresh token', (_, newest) => newest, { token_type_hint: 'nonsense' }],
    ['an older one', ({ tokens }) => tokens.refresh_token],
  ]
  for (const [name, tokenOf, more] of cases) {
    const [person, other] = [await app.login('ann'), await app.login('ann')]
    let newest = person.tokens.refresh_token
    for (const _ of [1, 2]) {
      await app.advance(60)
      newest = (await refresh(app, newest)).body.refresh_token
    }
    isDone(t, await revoke(app, tokenOf(person, newest), more), name)
    await holdEnded(t, app, person, newest)
    t.equal(codeOf(await other.get('/user/sessions')), '200', 'another session of the person')
    isDone(t, await revoke(app, tokenOf(person, newest), more), 'and again')
  }
})

onEachEngine(t, 'it is the ending of a log-out', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  const [one, other] = [await app.login('ann'), await app.login('ann')]
  await one.delete('/user/logout')
  await revoke(app, other.tokens.access_token)
  const rows = (person: Person) =>
    app.sql('SELECT ended_at, until, generation FROM sessions WHERE id = ?', [sidOf(person)])
  t.strictSame(await rows(other), await rows(one))
  const { body } = await app.service.get('/.well-known/revocations')
  t.match(body.sessions, { length: 2 })
  t.equal(body.sessions[0].until, body.sessions[1].until)
})

onEachEngine(t, 'what is no good token ends nothing, and is a success', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const { access_token, refresh_token } = ann.tokens
  const [head, payload] = access_token.split('.')
  for (const token of ['x', '한국', `${access_token}x`, `${head}.${payload}.`, `${refresh_token}x`, 'x'.repeat(30_000)])
    isDone(t, await revoke(app, token), token.slice(0, 20))
  await app.sql('UPDATE users SET disabled_at = 1')
  for (const token of [access_token, refresh_token]) isDone(t, await revoke(app, token), 'disabled')
  await app.sql('UPDATE users SET disabled_at = NULL')
  app.clock.time = claimsOf(access_token).exp * 1000
  await app.advance(0)
  isDone(t, await revoke(app, access_token), 'expired')
  t.strictSame(await ended(app), [])
  t.equal(await isActive(app, refresh_token), true, 'the session goes on')
  const missing = await app.service.form('/oauth/revoke', 'x=y')
  t.match(missing, { status: 400, body: { code: 'VALIDATION_FAILED', error: 'invalid_request' } })
})

const skip = process.env.TEST_MYSQL_URL ? false : 'no MariaDB server'
t.test('what one instance ended the others refuse and tell', { skip }, async (t) => {
  const databaseUrl = await createEngine(t, 'mariadb').databaseUrl()
  const here = await openApp(t, { DATABASE_URL: databaseUrl })
  const there = await openApp(t, { DATABASE_URL: databaseUrl })
  there.clock.time = here.clock.time
  const ann = await here.register('ann')
  const { access_token, refresh_token } = ann.tokens
  t.strictSame([await isActive(there, access_token), await ended(there)], [true, []])
  isDone(t, await revoke(here, access_token), 'here')
  t.strictSame([await isActive(there, access_token), await isActive(there, refresh_token)], [false, false], 'at once')
  await there.advance(1)
  t.strictSame(await ended(there), [sidOf(ann)])
  t.equal(codeOf(await there.as(ann.answer).get('/user/me')), '401 INVALID_TOKEN')
})

t.test('while the database is away, nothing pretends to be ended', { skip: skipWithout('mariadb') }, async (t) => {
  const mariadb = await ownMariadb(t)
  const app = await openApp(t, { DATABASE_URL: await mariadb.databaseUrl(), DB_MAX_WAIT_MS: '300' })
  const ann = await app.register('ann')
  const tokens = [ann.tokens.access_token, ann.tokens.refresh_token]
  mariadb.pause()
  for (const url of ['/oauth/revoke', '/oauth/introspect']) {
    for (const token of tokens) {
      const answer = await app.service.form(url, { token })
      t.match(answer, { status: 503, body: { code: 'UNAVAILABLE', error: 'temporarily_unavailable' } }, url)
    }
  }
  t.equal(codeOf(await revoke(app, 'x')), '200', 'what is no token needs no database')
  t.equal(codeOf(await app.service.get('/.well-known/revocations')), '200', 'nor does the list')
  mariadb.resume()
  for (const token of tokens) t.equal(await isActive(app, token), true)
  isDone(t, await revoke(app, tokens[0]!), 'and now')
  t.equal(await isActive(app, tokens[1]!), false)
})
