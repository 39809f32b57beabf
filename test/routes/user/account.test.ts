/** What a person does to the own account: GET and PATCH /user/me, PUT /user/password, POST /user/delete. */
import t from 'tap'
import { passwordsOf } from '../../../plugins/passwords/index.ts'
import { onEachEngine } from '../../engines.ts'
import { claimsOf, codeOf, PASSWORD, type Person, startApp, type TestApp, watchCalls } from '../../helper.ts'

const NEW = 'another correct horse'
const login = (app: TestApp, username: string, password: string) => app.anon.post('/user/login', { username, password })
const refresh = (app: TestApp, { tokens }: Person) =>
  app.anon.post('/user/refresh', { refresh_token: tokens.refresh_token })
const change = (person: Person, current_password: unknown, new_password: unknown) =>
  person.put('/user/password', { current_password, new_password })

/** What is asked of a session, and whether a token alone is enough for it. */
const ASKED: [method: 'GET' | 'PATCH' | 'PUT' | 'POST' | 'DELETE', url: string, body?: object][] = [
  ['GET', '/user/me'],
  ['PATCH', '/user/me', { username: 'another' }],
  ['PUT', '/user/password', { current_password: PASSWORD, new_password: NEW }],
  ['POST', '/user/delete', { password: PASSWORD }],
  ['GET', '/user/sessions'],
  ['DELETE', '/user/sessions/x'],
  ['DELETE', '/user/logout'],
  ['POST', '/user/logout'],
]

onEachEngine(t, 'without a usable token nothing is done, whatever the body', async (t, engine) => {
  const app = await startApp(t, engine)
  const [ann, disabled, gone] = await Promise.all(['ann', 'disabled', 'gone'].map((name) => app.register(name)))
  await app.sql('UPDATE users SET disabled_at = 1 WHERE username = ?', ['disabled'])
  await app.sql('DELETE FROM users WHERE username = ?', ['gone'])
  const calls = watchCalls(passwordsOf(app.server))
  for (const [method, url, body] of ASKED) {
    const where = `${method} ${url}`
    const nobody = await app.anon.ask(method, url, body)
    t.equal(codeOf(nobody), '401 UNAUTHENTICATED', where)
    t.equal(nobody.headers['www-authenticate'], 'Bearer', 'no error where no token was sent')
    for (const person of [disabled!, gone!]) {
      const answer = await person.ask(method, url, body)
      t.equal(codeOf(answer), '401 INVALID_TOKEN', where)
      t.equal(answer.headers['www-authenticate'], 'Bearer error="invalid_token"')
    }
    if (body === undefined) continue
    t.equal(
      codeOf(await app.anon.ask(method, url, 'no JSON')),
      '401 UNAUTHENTICATED',
      `${where}: before the body is read`,
    )
    t.match(
      (await ann!.ask(method, url, {})).body,
      { code: 'VALIDATION_FAILED', details: [{ rule: 'required' }] },
      where,
    )
    const more = await ann!.ask(method, url, { ...body, role: 'admin' })
    t.match(
      more.body,
      { code: 'VALIDATION_FAILED', details: [{ field: '/role', rule: 'additionalProperties' }] },
      where,
    )
  }
  t.strictSame(calls, [], 'no password was asked about')
  t.strictSame((await ann!.get('/user/me')).body, ann!.tokens.user)
})

onEachEngine(t, 'PATCH /user/me', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  await app.register('bob')
  const rename = (username: unknown) => ann.patch('/user/me', { username })
  let before = ann.tokens.user
  for (const username of ['Ann', 'ANN', 'Annette 한글', 'ann']) {
    await app.advance(1)
    const { status, body } = await rename(username)
    t.equal(status, 200)
    const now = new Date(app.clock.time).toISOString()
    t.strictSame(body, { ...before, username, updated_at: now }, 'updated_at changes, created_at does not')
    t.strictSame((await ann.get('/user/me')).body, body)
    before = body
  }
  await app.advance(1)
  for (const username of ['bob', 'BOB', 'ｂｏｂ'])
    t.equal(codeOf(await rename(username)), '409 USERNAME_TAKEN', username)
  for (const username of ['', 'ann ', 'a@b', '\u3164', 5, null]) {
    const { body } = await rename(username)
    t.match(body, { code: 'VALIDATION_FAILED', details: [{ field: '/username' }] })
  }
  t.strictSame((await ann.get('/user/me')).body, before, 'a refusal changes nothing')

  await rename('Carol')
  t.equal(codeOf(await login(app, 'carol', PASSWORD)), '200')
  t.equal(codeOf(await login(app, 'ann', PASSWORD)), '401 INVALID_CREDENTIALS')
  await app.register('ann2')
  const other = { username: 'ann', email: 'other@example.com', password: PASSWORD }
  t.equal(codeOf(await app.anon.post('/user/register', other)), '201', 'the old one is free')
  t.equal(codeOf(await ann.get('/user/sessions')), '200', 'no session ends')
})

onEachEngine(t, 'PUT /user/password ends every older session and opens a new one', async (t, engine) => {
  const app = await startApp(t, engine)
  const bob = await app.register('bob')
  const ann = await app.register('ann')
  const other = await app.login('ann')
  await app.advance(60)
  const answer = await change(ann, PASSWORD, NEW)
  t.equal(answer.status, 200)
  t.equal(answer.headers['cache-control'], 'no-store')
  t.strictSame(Object.keys(answer.body), Object.keys(ann.tokens), 'a token answer')
  t.match(answer.body, { result: 'success', token_type: 'Bearer', expires_in: 900, refresh_expires_in: 2_592_000 })
  const now = new Date(app.clock.time).toISOString()
  t.strictSame(answer.body.user, { ...ann.tokens.user, updated_at: now })

  for (const person of [ann, other]) {
    for (const url of ['/user/me', '/user/sessions']) t.equal(codeOf(await person.get(url)), '401 INVALID_TOKEN')
    t.equal(codeOf(await refresh(app, person)), '401 INVALID_REFRESH_TOKEN')
  }
  const anew = app.as(answer)
  t.strictSame((await anew.get('/user/me')).body, answer.body.user)
  t.match((await anew.get('/user/sessions')).body.sessions, [{ current: true, created_at: now, last_used_at: now }])
  t.not(claimsOf(anew.tokens.access_token).sid, claimsOf(ann.tokens.access_token).sid)
  t.equal(codeOf(await refresh(app, anew)), '200')
  t.equal(codeOf(await login(app, 'ann', PASSWORD)), '401 INVALID_CREDENTIALS')
  t.equal(codeOf(await login(app, 'ann', NEW)), '200')
  t.equal(codeOf(await bob.get('/user/me')), '200', 'nobody else')
  t.equal(codeOf(await login(app, 'bob', PASSWORD)), '200', 'nobody else')
})

onEachEngine(t, 'PUT /user/password: what is refused, and what is not', async (t, engine) => {
  const app = await startApp(t, engine)
  let ann = await app.register('ann-of-the-hill')
  const refused: [current: unknown, wanted: unknown, code: string, fault?: object][] = [
    ['wrong', NEW, '403 WRONG_PASSWORD'],
    [PASSWORD.toUpperCase(), NEW, '403 WRONG_PASSWORD'],
    ['x'.repeat(1024), NEW, '403 WRONG_PASSWORD'],
    [PASSWORD, 'password1', '400 PASSWORD_TOO_COMMON'],
    [PASSWORD, 'PassWord1', '400 PASSWORD_TOO_COMMON'],
    [PASSWORD, 'Ann-Of-The-Hill', '400 PASSWORD_TOO_COMMON'],
    [PASSWORD, 'ANN-of-the-hill@example.com', '400 PASSWORD_TOO_COMMON'],
    [PASSWORD, '1234567', '400 VALIDATION_FAILED', { field: '/new_password', rule: 'minLength' }],
    [PASSWORD, '😀'.repeat(257), '400 VALIDATION_FAILED', { field: '/new_password', rule: 'maxLength' }],
    [PASSWORD, `${NEW}\0`, '400 VALIDATION_FAILED', { field: '/new_password', rule: 'characters' }],
    ['', NEW, '400 VALIDATION_FAILED', { field: '/current_password', rule: 'minLength' }],
    ['x'.repeat(1025), NEW, '400 VALIDATION_FAILED', { field: '/current_password', rule: 'maxLength' }],
  ]
  for (const [current, wanted, code, fault] of refused) {
    const answer = await change(ann, current, wanted)
    t.equal(codeOf(answer), code)
    if (fault) t.match(answer.body.details, [fault])
  }
  t.strictSame((await ann.get('/user/me')).body, ann.tokens.user, 'nothing has changed')
  t.equal((await ann.get('/user/sessions')).body.sessions.length, 1)

  // The present one again; one beyond 72 bytes; the same in another normal form.
  const accepted = [
    [PASSWORD, PASSWORD],
    [PASSWORD, '한글 é'.repeat(20)],
    ['한글 é'.repeat(20).normalize('NFD'), NEW],
  ]
  for (const [current, wanted] of accepted) {
    const answer = await change(ann, current, wanted)
    t.equal(codeOf(answer), '200')
    ann = app.as(answer)
    t.equal(codeOf(await login(app, 'ann-of-the-hill', wanted!)), '200')
  }
})

onEachEngine(t, 'POST /user/delete', async (t, engine) => {
  const app = await startApp(t, engine)
  const bob = await app.register('bob')
  const ann = await app.register('ann')
  const other = await app.login('ann')
  for (const password of ['wrong', PASSWORD.toUpperCase(), `${PASSWORD} `])
    t.equal(codeOf(await ann.post('/user/delete', { password })), '403 WRONG_PASSWORD')
  t.equal(codeOf(await other.get('/user/me')), '200', 'nothing has changed')

  const deleted = await ann.post('/user/delete', { password: PASSWORD })
  t.equal(deleted.status, 204)
  t.equal(deleted.text, '')
  for (const person of [ann, other]) {
    for (const [method, url, body] of ASKED)
      t.equal(codeOf(await person.ask(method, url, body)), '401 INVALID_TOKEN', `${method} ${url}`)
    t.equal(codeOf(await refresh(app, person)), '401 INVALID_REFRESH_TOKEN')
  }
  t.equal(codeOf(await login(app, 'ann', PASSWORD)), '401 INVALID_CREDENTIALS')
  t.equal(
    (await app.sql('SELECT id FROM sessions WHERE ended_at IS NOT NULL')).length,
    2,
    'their endings are remembered',
  )

  const again = await app.register('ann')
  t.not(again.tokens.user.id, ann.tokens.user.id, 'the names are free, the id is not')
  t.equal((await again.get('/user/sessions')).body.sessions.length, 1)
  t.equal(codeOf(await ann.get('/user/me')), '401 INVALID_TOKEN', 'the old token is not of the new account')
  t.equal(codeOf(await bob.get('/user/me')), '200', 'nobody else')
})
