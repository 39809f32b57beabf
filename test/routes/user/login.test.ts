/** POST /user/login: by either name in any spelling, refused alike whatever is wrong, and hashes of other services. */
import bcrypt from 'bcrypt'
import t from 'tap'
import { hashPassword } from '../../../plugins/passwords/formats.ts'
import { passwordsOf } from '../../../plugins/passwords/index.ts'
import { onEachEngine } from '../../engines.ts'
import { type Answer, COST, claimsOf, codeOf, PASSWORD, startApp, type TestApp, watchCalls } from '../../helper.ts'

const login = (app: TestApp, body: unknown) => app.anon.post('/user/login', body)

onEachEngine(t, 'by e-mail or by username, in any spelling', async (t, engine) => {
  const app = await startApp(t, engine)
  const person = { username: 'Zoë Straße', email: 'Zoe@한국.kr', password: PASSWORD }
  const registered = await app.anon.post('/user/register', person)
  const names = [
    { email: 'Zoe@한국.kr' },
    { email: 'ZOE@XN--3E0B707E.KR' },
    { username: 'Zoë Straße' },
    { username: 'ZOE\u0308 STRASSE' },
    { username: 'ｚｏë strasse' },
  ]
  const ids = [claimsOf(registered.body.access_token).sid]
  for (const name of names) {
    await app.advance(1)
    const { status, headers, body } = await login(app, { ...name, password: PASSWORD })
    t.equal(status, 200, JSON.stringify(name))
    t.equal(headers['cache-control'], 'no-store')
    t.strictSame(Object.keys(body), Object.keys(registered.body), 'a token answer')
    t.strictSame(body.user, registered.body.user, 'nothing of the account has changed')
    t.match(body, { result: 'success', token_type: 'Bearer', expires_in: 900, refresh_expires_in: 2_592_000 })
    t.equal((await app.as({ status, headers, body, text: '' }).get('/user/me')).status, 200)
    ids.push(claimsOf(body.access_token).sid)
  }
  t.equal(new Set(ids).size, names.length + 1, 'a session each')
})

onEachEngine(t, 'faults of the body', async (t, engine) => {
  const app = await startApp(t, engine)
  const password = PASSWORD
  const cases: [body: unknown, ...faults: [field: string, rule: string][]][] = [
    [{ password }, ['/', 'oneOf']],
    [{ email: 'a@b.c', username: 'a', password }, ['/', 'oneOf']],
    [{}, ['/', 'oneOf'], ['/password', 'required']],
    [{ email: '', password }, ['/email', 'minLength']],
    [{ username: '', password }, ['/username', 'minLength']],
    [{ username: '한'.repeat(321), password }, ['/username', 'maxLength']],
    [{ email: 'a'.repeat(321), password }, ['/email', 'maxLength']],
    [{ username: 5, password }, ['/username', 'type']],
    [{ username: ['ann'], password }, ['/username', 'type']],
    [{ username: null, password }, ['/username', 'type']],
    [{ username: 'ann', password: '' }, ['/password', 'minLength']],
    [{ username: 'ann', password: 'x'.repeat(1025) }, ['/password', 'maxLength']],
    [{ username: 'ann', password: 12345678 }, ['/password', 'type']],
    [{ username: 'ann', password: 'x\0' }, ['/password', 'characters']],
    [{ username: 'a\0', password }, ['/username', 'characters']],
    [{ username: 'ann', password, remember: true }, ['/remember', 'additionalProperties']],
    [
      { username: '', password: '', role: 'admin' },
      ['/password', 'minLength'],
      ['/role', 'additionalProperties'],
      ['/username', 'minLength'],
    ],
  ]
  for (const [body, ...faults] of cases) {
    const answer = await login(app, body)
    t.equal(codeOf(answer), '400 VALIDATION_FAILED')
    const told = answer.body.details.map(({ field, rule }: { field: string; rule: string }) => [field, rule])
    t.strictSame(told.sort(), faults, JSON.stringify(body).slice(0, 80))
  }
  t.match(await login(app, { password }), { body: { details: [{ message: /exactly one/ }] } })
})

onEachEngine(t, 'whatever is wrong, the answer is the same and a hash was made', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  await app.register('gone')
  await app.sql('UPDATE users SET disabled_at = ? WHERE username = ?', [app.clock.time, 'gone'])
  const wrong = 'not the right password'
  const cases: [name: string, body: object][] = [
    ['an unknown e-mail', { email: 'nobody@example.com', password: PASSWORD }],
    ['an unknown username', { username: 'nobody', password: PASSWORD }],
    ['a disabled account', { username: 'gone', password: PASSWORD }],
    ['a disabled account by e-mail', { email: 'gone@example.com', password: PASSWORD }],
    ['a disabled account and a wrong password', { username: 'gone', password: wrong }],
    ['an e-mail as username', { username: 'ann@example.com', password: PASSWORD }],
    ['a username as e-mail', { email: 'ann', password: PASSWORD }],
    ['a blank name', { username: '\u3164', password: PASSWORD }],
    ['a space at the end', { username: 'ann ', password: PASSWORD }],
    ['a space before an e-mail', { email: ' ann@example.com', password: PASSWORD }],
    ['a zero-width space', { username: 'an\u200Bn', password: PASSWORD }],
    ['an accent', { username: 'änn', password: PASSWORD }],
    ['320 characters', { email: `${'a'.repeat(308)}@example.com`, password: PASSWORD }],
    ['320 characters of four bytes', { username: '😀'.repeat(320), password: PASSWORD }],
    ['80 characters of 2,640 bytes in canonical form', { username: '\uFDFA'.repeat(80), password: PASSWORD }],
    ['an address of a host by number', { email: 'ann@127.1', password: PASSWORD }],
    ['a password of 1,024', { username: 'ann', password: '한'.repeat(1024) }],
    ['a password in other case', { username: 'ann', password: PASSWORD.toUpperCase() }],
    ['a password and a space', { username: 'ann', password: `${PASSWORD} ` }],
  ]
  const shownOf = ({ status, headers, text }: Answer) => {
    const { 'x-request-id': _id, date: _date, ...others } = headers
    return { status, text, headers: others }
  }
  const calls = watchCalls(passwordsOf(app.server))
  const expected = shownOf(await login(app, { username: 'ann', password: wrong }))
  t.equal(expected.status, 401)
  t.match(expected.text, /"code":"INVALID_CREDENTIALS"/)
  t.match(expected.headers['www-authenticate'], /^Bearer$/, 'no token was sent')
  for (const [name, body] of cases) t.strictSame(shownOf(await login(app, body)), expected, name)
  t.strictSame(calls, Array(cases.length + 1).fill('verify'))
  t.equal(codeOf(await login(app, { username: 'ann', password: PASSWORD })), '200')
})

const CURRENT = new RegExp(`^\\$bcrypt-sha256\\$v=2,t=2b,r=${COST}\\$`)
const plain = bcrypt.hashSync(PASSWORD, 4)
const FOREIGN: [name: string, stored: string][] = [
  ['$2b$', plain],
  ['$2a$', plain.replace('$2b$', '$2a$')],
  ['$2y$', plain.replace('$2b$', '$2y$')],
  ['$2b$ at the cost in force', bcrypt.hashSync(PASSWORD, COST)],
  ['the current form at a lower cost', hashPassword(PASSWORD, COST - 1)],
  ['the current form at a higher cost', hashPassword(PASSWORD, COST + 1)],
]

onEachEngine(t, 'a hash of another form or cost logs in and is renewed', async (t, engine) => {
  const app = await startApp(t, engine)
  const { tokens } = await app.register('ann')
  const store = (hash: string) => app.sql('UPDATE users SET password_hash = ?', [hash])
  const stored = async () =>
    (await app.sql<{ password_hash: string }>('SELECT password_hash FROM users'))[0]!.password_hash
  for (const [name, hash] of FOREIGN) {
    await app.advance(60)
    await store(hash)
    t.equal(codeOf(await login(app, { username: 'ann', password: 'wrong' })), '401 INVALID_CREDENTIALS', name)
    t.equal(await stored(), hash, 'a wrong password leaves it')
    const answer = await login(app, { username: 'ann', password: PASSWORD })
    t.equal(codeOf(answer), '200', name)
    t.equal(answer.body.user.updated_at, tokens.user.updated_at, 'the account is as it was')
    const renewed = await stored()
    t.match(renewed, CURRENT)
    t.not(renewed, hash)
    t.equal(codeOf(await login(app, { username: 'ann', password: 'wrong' })), '401 INVALID_CREDENTIALS', name)
    t.equal(codeOf(await login(app, { username: 'ann', password: PASSWORD })), '200', 'and again')
    t.equal(await stored(), renewed, 'renewed once')
  }
  await app.advance(60)
  for (const hash of ['', '!', 'x', PASSWORD, '$2b$10$', plain.slice(0, -1), plain.replace('$04$', '$31$')]) {
    await store(hash)
    for (const password of [PASSWORD, 'x'])
      t.equal(
        codeOf(await login(app, { username: 'ann', password })),
        '401 INVALID_CREDENTIALS',
        `what is no hash: ${hash}`,
      )
    t.equal(await stored(), hash)
  }
})

onEachEngine(t, 'beyond MAX_SESSIONS the one longest unused ends, at once', async (t, engine) => {
  const app = await startApp(t, engine, { MAX_SESSIONS: '3' })
  const bob = await app.register('bob')
  const first = await app.register('ann')
  await app.advance(40)
  const second = await app.login('ann')
  await app.advance(40)
  const third = await app.login('ann')
  // The first is used again, so that the second is now the one longest unused.
  await app.anon.post('/user/refresh', { refresh_token: first.tokens.refresh_token })
  await app.advance(1)
  const fourth = await app.login('ann')
  const lives = async () => {
    const answers = [first, second, third, fourth].map((person) => person.get('/user/me'))
    return (await Promise.all(answers)).map(codeOf)
  }
  t.strictSame(await lives(), ['200', '401 INVALID_TOKEN', '200', '200'])
  const { refresh_token } = second.tokens
  t.equal(codeOf(await app.anon.post('/user/refresh', { refresh_token })), '401 INVALID_REFRESH_TOKEN')
  t.equal((await fourth.get('/user/sessions')).body.sessions.length, 3)

  // Another instance's clock may be ahead: what is new is kept all the same.
  await app.sql('UPDATE sessions SET last_used_at = last_used_at + 60000')
  const fifth = await app.login('ann')
  t.equal(codeOf(await fifth.get('/user/me')), '200')
  t.equal((await fifth.get('/user/sessions')).body.sessions.length, 3)
  t.equal(codeOf(await bob.get('/user/me')), '200', 'nobody else')
})
