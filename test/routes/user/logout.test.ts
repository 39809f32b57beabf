/** DELETE and POST /user/logout: which sessions end, by which token, and that an ended one is refused at once. */
import t from 'tap'
import { onEachEngine } from '../../engines.ts'
import { type Answer, codeOf, openApp, type Person, startApp, type TestApp } from '../../helper.ts'

const refresh = (app: TestApp, { tokens }: Person) =>
  app.anon.post('/user/refresh', { refresh_token: tokens.refresh_token })

type Logout = (app: TestApp, person: Person, query: string) => Promise<Answer>
const BY: [name: string, logout: Logout][] = [
  ['DELETE with the access token', (_app, person, query) => person.delete(`/user/logout${query}`)],
  ['POST with the access token', (_app, person, query) => person.post(`/user/logout${query}`)],
  [
    'POST with the refresh token',
    (app, { tokens }, query) => app.anon.post(`/user/logout${query}`, { refresh_token: tokens.refresh_token }),
  ],
]
/** What the query says, and whether the asking session and the other one of its person live on. */
const SCOPES: [query: string, asking: boolean, other: boolean][] = [
  ['', false, true],
  ['?scope=local', false, true],
  ['?scope=others', true, false],
  ['?scope=global', false, false],
  ['?state=known', false, true],
]

for (const [name, logout] of BY) {
  onEachEngine(t, name, async (t, engine) => {
    const app = await startApp(t, engine)
    await app.register('ann')
    const bob = await app.register('bob')
    for (const [query, ...lives] of SCOPES) {
      const persons = await Promise.all([app.login('ann'), app.login('ann')])
      const answer = await logout(app, persons[0], query)
      t.equal(answer.status, 200)
      t.strictSame(answer.body, { result: 'success' })
      for (const [index, alive] of lives.entries()) {
        const who = `${index === 0 ? 'the asking session' : 'the other session'} after ${query || 'no query'}`
        const person = persons[index]!
        t.equal(codeOf(await person.get('/user/me')), alive ? '200' : '401 INVALID_TOKEN', who)
        t.equal(codeOf(await person.get('/user/sessions')), alive ? '200' : '401 INVALID_TOKEN', who)
        t.equal(codeOf(await refresh(app, person)), alive ? '200' : '401 INVALID_REFRESH_TOKEN', who)
      }
    }
    t.equal(codeOf(await bob.get('/user/me')), '200', 'nobody else')
    t.equal(codeOf(await refresh(app, bob)), '200', 'nobody else')
  })
}

onEachEngine(t, 'faults of the query', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const cases: [query: string, rule: string][] = [
    ['?scope=all', 'enum'],
    ['?scope=LOCAL', 'enum'],
    ['?scope=', 'enum'],
    ['?scope', 'enum'],
    ['?scope=local&scope=global', 'type'],
    ['?scope=local&scope=local', 'type'],
  ]
  for (const [query, rule] of cases) {
    for (const method of ['POST', 'DELETE'] as const) {
      const { body } = await ann.ask(method, `/user/logout${query}`)
      t.equal(body.code, 'VALIDATION_FAILED', `${method} ${query}`)
      t.match(body.details, [{ field: '?scope', rule }])
    }
  }
  t.equal(codeOf(await ann.get('/user/me')), '200', 'nothing was ended')
})

onEachEngine(t, 'what is sent along with it', async (t, engine) => {
  const app = await startApp(t, engine)
  const { anon } = app
  const ann = await app.register('ann')
  const { refresh_token } = ann.tokens
  const json = { 'content-type': 'application/json' }
  const cases: [name: string, answer: Promise<Answer>, code: string][] = [
    ['both tokens', ann.post('/user/logout', { refresh_token }), '400 BAD_REQUEST'],
    ['neither', anon.post('/user/logout'), '401 UNAUTHENTICATED'],
    ['neither, and an empty body', anon.post('/user/logout', '', json), '401 UNAUTHENTICATED'],
    ['neither, and an empty object', anon.post('/user/logout', {}), '401 UNAUTHENTICATED'],
    ['no access token', anon.delete('/user/logout'), '401 UNAUTHENTICATED'],
    ['DELETE with a refresh token', anon.delete('/user/logout', { refresh_token }), '401 UNAUTHENTICATED'],
    ['DELETE with both', ann.delete('/user/logout', { refresh_token }), '400 BAD_REQUEST'],
    ['another body', ann.post('/user/logout', { scope: 'global' }), '400 BAD_REQUEST'],
    ['null', ann.post('/user/logout', 'null', json), '400 BAD_REQUEST'],
    ['a list', ann.post('/user/logout', '[]', json), '400 BAD_REQUEST'],
    ['another type', ann.post('/user/logout', 'a=b', { 'content-type': 'text/plain' }), '400 BAD_REQUEST'],
    ['null and no token', anon.post('/user/logout', 'null', json), '400 VALIDATION_FAILED'],
    ['an unknown member', anon.post('/user/logout', { refresh_token, all: true }), '400 VALIDATION_FAILED'],
    ['a refresh token of another type', anon.post('/user/logout', { refresh_token: 5 }), '400 VALIDATION_FAILED'],
    ['a refresh token as Bearer', anon.delete('/user/logout', undefined, bearer(refresh_token)), '401 INVALID_TOKEN'],
    ['Basic', anon.post('/user/logout', undefined, { authorization: 'Basic YTpi' }), '401 UNAUTHENTICATED'],
    [
      'an empty Authorization',
      anon.post('/user/logout', { refresh_token }, { authorization: '' }),
      '401 UNAUTHENTICATED',
    ],
  ]
  for (const [name, answer, code] of cases) t.equal(codeOf(await answer), code, name)
  t.equal(codeOf(await ann.get('/user/me')), '200', 'nothing was ended')

  const fine: [name: string, body: string | undefined, headers: Record<string, string>][] = [
    ['no body', undefined, {}],
    ['an empty body', '', json],
    ['an empty body of another type', '', { 'content-type': 'text/plain' }],
    ['an empty object', '{}', json],
    ['an empty object of another type', ' { } ', { 'content-type': 'text/plain' }],
  ]
  for (const method of ['DELETE', 'POST'] as const) {
    for (const [name, body, headers] of fine)
      t.equal(codeOf(await ann.ask(method, '/user/logout?scope=others', body, headers)), '200', `${method}: ${name}`)
  }
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

onEachEngine(t, 'a dead or unknown refresh token is a success, a dead access token is not', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const other = await app.login('ann')
  const logout = (refresh_token: string) => app.anon.post('/user/logout?scope=global', { refresh_token })
  await ann.delete('/user/logout')
  for (const token of [ann.tokens.refresh_token, 'lkr_unknown', `${ann.tokens.refresh_token}x`])
    t.strictSame((await logout(token)).body, { result: 'success' })
  t.equal(codeOf(await other.get('/user/me')), '200', 'and ends nothing')
  for (const method of ['DELETE', 'POST'] as const)
    t.equal(codeOf(await ann.ask(method, '/user/logout?scope=global')), '401 INVALID_TOKEN')
  t.equal(codeOf(await other.get('/user/me')), '200')
})

onEachEngine(t, 'an older refresh token of a session logs out too', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const newer = app.as(await refresh(app, ann))
  await app.advance(60)
  const { refresh_token } = ann.tokens
  t.equal(codeOf(await app.anon.post('/user/logout', { refresh_token })), '200')
  t.equal(codeOf(await newer.get('/user/me')), '401 INVALID_TOKEN')
  t.equal(codeOf(await refresh(app, newer)), '401 INVALID_REFRESH_TOKEN')
})

onEachEngine(t, 'TOKEN_EXPIRED after ACCESS_TOKEN_TTL; of an ended session it is INVALID_TOKEN', async (t, engine) => {
  const app = await startApp(t, engine, { ACCESS_TOKEN_TTL: '900' })
  app.clock.time = Math.floor(app.clock.time / 1000) * 1000
  const ann = await app.register('ann')
  const gone = await app.login('ann')
  await gone.delete('/user/logout')
  await app.advance(899.999)
  t.equal(codeOf(await ann.get('/user/me')), '200')
  await app.advance(0.001)
  for (const [method, url] of [
    ['GET', '/user/me'],
    ['GET', '/user/sessions'],
    ['DELETE', '/user/logout'],
    ['POST', '/user/logout'],
  ] as const) {
    const answer = await ann.ask(method, url)
    t.equal(codeOf(answer), '401 TOKEN_EXPIRED', `${method} ${url}`)
    t.match(answer.headers['www-authenticate'], /^Bearer .*error="invalid_token"/)
    t.equal(codeOf(await gone.ask(method, url)), '401 INVALID_TOKEN', 'ended and expired')
  }
})

onEachEngine(t, 'an ended session stays ended after a restart, from the first request on', async (t, engine) => {
  const databaseUrl = await engine.databaseUrl()
  const before = await openApp(t, { DATABASE_URL: databaseUrl })
  const ann = await before.register('ann')
  const other = await before.login('ann')
  await ann.delete('/user/logout')
  await before.server.close()

  const after = await openApp(t, { DATABASE_URL: databaseUrl })
  after.clock.time = before.clock.time
  t.equal(codeOf(await after.as(ann.answer).get('/user/me')), '401 INVALID_TOKEN')
  t.equal(codeOf(await after.as(other.answer).get('/user/me')), '200')
  t.equal(codeOf(await refresh(after, ann)), '401 INVALID_REFRESH_TOKEN')
})

onEachEngine(t, 'the list is too old where it was not read for REVOCATION_MAX_STALENESS', async (t, engine) => {
  const app = await startApp(t, engine, { REVOCATION_MAX_STALENESS: '30' })
  const ann = await app.register('ann')
  app.clock.time += 30_000
  t.equal(codeOf(await ann.get('/user/me')), '200')
  app.clock.time += 1
  const answer = await ann.get('/user/me')
  t.equal(codeOf(answer), '503 UNAVAILABLE')
  t.equal(codeOf(await app.anon.get('/user/me')), '401 UNAUTHENTICATED', 'without a token it does not matter')
  t.equal(codeOf(await refresh(app, ann)), '200')
  await app.advance(0)
  t.equal(codeOf(await ann.get('/user/me')), '200', 'and well again')
})
