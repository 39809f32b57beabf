/** POST /user/register: the answer, which names and passwords are taken, and in which order a registration is judged. */
import t from 'tap'
import { passwordsOf } from '../../../plugins/passwords/index.ts'
import { onEachEngine } from '../../engines.ts'
import {
  type Answer,
  claimsOf,
  codeOf,
  headerOf,
  PASSWORD,
  randomName,
  startApp,
  type TestApp,
  watchCalls,
} from '../../helper.ts'

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** A person whose other members are fine, and nobody else's. */
function someone(members: Record<string, unknown>) {
  const name = randomName()
  return { username: name, email: `${name}@example.com`, password: PASSWORD, ...members }
}

/** Some of the names below would break a line of the report. */
const shown = (name: string) => encodeURI(name).slice(0, 60)

const register = (app: TestApp, members: Record<string, unknown>) => app.anon.post('/user/register', someone(members))

/** The faults of an answer, in order: `/email format`. */
const faultsOf = ({ body }: Answer): string[] =>
  (body.details ?? []).map(({ field, rule }: { field: string; rule: string }) => `${field} ${rule}`).sort()

onEachEngine(t, 'the answer', async (t, engine) => {
  const app = await startApp(t, engine)
  const body = { username: 'Ann Ä', email: 'Ann.B@Example.COM', password: PASSWORD }
  const answer = await app.anon.post('/user/register', body)
  t.equal(answer.status, 201)
  t.equal(answer.headers['cache-control'], 'no-store')
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
  const { access_token, refresh_token, user, ...others } = answer.body
  t.strictSame(others, { result: 'success', token_type: 'Bearer', expires_in: 900, refresh_expires_in: 2_592_000 })
  t.match(refresh_token, /^lkr_[\w-]+$/)
  const time = new Date(app.clock.time).toISOString()
  const { id, ...person } = user
  t.match(id, UUID_V7)
  const names = { username: 'Ann Ä', email: 'Ann.B@Example.COM' }
  t.strictSame(person, { ...names, email_verified: false, roles: [], created_at: time, updated_at: time }, 'as typed')

  const { kid, ...header } = headerOf(access_token)
  t.strictSame(header, { alg: 'ES256', typ: 'at+jwt' })
  t.equal(kid, (await app.anon.get('/.well-known/jwks.json')).body.keys[0].kid)
  const { jti, sid, ...claims } = claimsOf(access_token)
  const iat = Math.floor(app.clock.time / 1000)
  t.strictSame(claims, {
    iss: 'https://auth.example.com',
    sub: id,
    aud: 'latchkey',
    exp: iat + 900,
    iat,
    client_id: 'latchkey',
    roles: [],
  })
  t.match(jti, UUID_V7)
  t.match(sid, UUID_V7)
  t.strictSame((await app.as(answer).get('/user/me')).body, user)
})

onEachEngine(t, 'faults of the body, all at once', async (t, engine) => {
  const app = await startApp(t, engine)
  const cases: [body: unknown, ...faults: string[]][] = [
    [{}, '/email required', '/password required', '/username required'],
    [
      { username: ' ', email: 'x', password: 'short', role: 'admin' },
      '/email format',
      '/password minLength',
      '/role additionalProperties',
      '/username format',
    ],
    [someone({ roles: ['admin'] }), '/roles additionalProperties'],
    [someone({ id: 'x', email_verified: true }), '/email_verified additionalProperties', '/id additionalProperties'],
    [someone({ username: 5 }), '/username type'],
    [someone({ email: ['a@b.c'] }), '/email type'],
    [someone({ password: 12345678 }), '/password type'],
    [someone({ password: null }), '/password type'],
    [someone({ password: 'with a NUL \0' }), '/password characters'],
    [someone({ 'a/b~c': 1 }), '/a~1b~0c additionalProperties'],
    ['[]', '/ type'],
    ['null', '/ type'],
    ['"ann"', '/ type'],
  ]
  for (const [body, ...faults] of cases) {
    const answer = await app.anon.post('/user/register', body, { 'content-type': 'application/json' })
    t.equal(codeOf(answer), '400 VALIDATION_FAILED')
    t.strictSame(faultsOf(answer), faults)
  }
  const surrogate = JSON.stringify(someone({})).replace(PASSWORD, '\\ud800 half a surrogate pair')
  const answer = await app.anon.post('/user/register', surrogate, { 'content-type': 'application/json' })
  t.strictSame(faultsOf(answer), ['/password characters'])
})

onEachEngine(
  t,
  'the order: the body, the common password, the e-mail, the username, and only then a hash',
  async (t, engine) => {
    const app = await startApp(t, engine)
    await app.register('ann')
    const calls = watchCalls(passwordsOf(app.server))
    const ann = { username: 'ann', email: 'ann@example.com' }
    const cases: [members: Record<string, unknown>, code: string][] = [
      [{ ...ann, password: 'password1', role: 'admin' }, '400 VALIDATION_FAILED'],
      [{ ...ann, password: 'password1' }, '400 PASSWORD_TOO_COMMON'],
      [ann, '409 EMAIL_TAKEN'],
      [{ ...ann, username: 'another' }, '409 EMAIL_TAKEN'],
      [{ ...ann, email: 'another@example.com' }, '409 USERNAME_TAKEN'],
    ]
    for (const [members, code] of cases) t.equal(codeOf(await register(app, members)), code)
    t.notOk(calls.includes('hash'), 'none of them costs a hash')
    t.equal(codeOf(await register(app, {})), '201')
    t.equal(calls.filter((name) => name === 'hash').length, 1, 'this one does')
  },
)

onEachEngine(t, 'what is taken while a registration waits for its hash costs none', async (t, engine) => {
  const app = await startApp(t, engine, { HASH_CONCURRENCY: '1' })
  await app.register('bob')
  const passwords = passwordsOf(app.server)
  const { hash } = passwords
  let leave = () => {}
  const stay = new Promise<void>((resolve) => {
    leave = resolve
  })
  const busy = hash(PASSWORD, () => stay)
  let outcome: Promise<string> | undefined
  const waits = new Promise<void>((resolve) => {
    passwords.hash = (...args) => {
      outcome = hash(...args)
      resolve()
      return outcome
    }
  })
  const late = register(app, { email: 'ann@example.com' })
  await waits
  await app.sql("UPDATE users SET email = 'ann@example.com', email_canonical = 'ann@example.com'")
  leave()
  await busy
  await t.rejects(outcome!, { code: 'EMAIL_TAKEN' }, 'not hashed')
  t.equal(codeOf(await late), '409 EMAIL_TAKEN')
})

const SAME_USERNAMES: [first: string, ...others: string[]][] = [
  ['straße', 'STRASSE', 'strasse', 'STRAẞE'],
  ['Ann', 'ANN', 'ａｎｎ', '𝐚𝐧𝐧', 'ⓐⓝⓝ'],
  ['σίσυφος', 'ΣΊΣΥΦΟΣ', 'σίσυφοσ'],
  ['Zoë', 'zoe\u0308', 'ZOË'],
  ['ﬁn', 'FIN'],
  ['한글 이름', '한글 이름'.normalize('NFD')],
  ['1', '１', '①'],
]
const OTHER_USERNAMES = [
  'änn',
  'strase',
  'zoe',
  'an n',
  'a-nn',
  '01',
  '1e0',
  '😀',
  'a'.repeat(80),
  '😀'.repeat(80),
  '한글이름',
  '<script>',
  "'; --",
  '한 글',
]
const REFUSED_USERNAMES = [
  'ann ',
  ' ann',
  'a  nn',
  'a\u00A0 nn',
  '\u3000ann',
  'ad\u200Bmin',
  'a\u202Enn',
  'a\u00ADnn',
  '\uFEFFann',
  '\u3164',
  '\u115F',
  '\u1160',
  '\uFFA0',
  'a@b',
  'a＠b',
  'a\nb',
  'a\u007Fb',
  'a\u2028b',
  'a\u2029b',
  '\uE000',
  '\u0378',
  ' ',
  'a'.repeat(81),
  '\uFDFA'.repeat(80),
  '¨',
  '',
]
const SAME_EMAILS: [first: string, ...others: string[]][] = [
  ['Ann@Example.com', 'ann@example.com', 'ANN@EXAMPLE.COM', 'ann@ｅｘａｍｐｌｅ.com'],
  ['ann@한국.kr', 'ann@xn--3e0b707e.kr', `ann@${'한국'.normalize('NFD')}.KR`],
  ['ann@bücher.example', 'ANN@BÜCHER.example', 'ann@xn--bcher-kva.example'],
]
const OTHER_EMAILS = [
  'ann@straße.example',
  'ann@strasse.example',
  'a.nn@example.com',
  'ann+b@example.com',
  "o'nn@example.com",
  'ann@localhost',
  `${'a'.repeat(250)}@b.c`,
]
const REFUSED_EMAILS = [
  'ann@victim.com/한국',
  'ann@vic\ntim.com',
  'ann@127.1',
  'ann@127.0.0.1',
  'ann@0x7f',
  'ann@[127.0.0.1]',
  'ann@ex%61mple.com',
  'ann@example.com ',
  ' ann@example.com',
  'ａnn@example.com',
  'änn@example.com',
  'an\u200Bn@example.com',
  'ann@exa\u200Bmple.com',
  'ann@exam\u00ADple.com',
  'ann@example。com',
  'ann@example..com',
  'ann@.com',
  'ann@example.com.',
  'ann@',
  '@example.com',
  'ann',
  'a@b@c.d',
  'an n@example.com',
  '"ann"@example.com',
  'ann@user:pw',
  'ann@example.com:80',
  'ann@example.com?x',
  'ann@example.com#x',
  'ann@exam_ple.com',
  `${'a'.repeat(251)}@b.c`,
  'a'.repeat(321),
  '',
]

onEachEngine(t, 'usernames: the same, different, and refused', async (t, engine) => {
  const app = await startApp(t, engine)
  for (const [first, ...others] of SAME_USERNAMES) {
    t.equal(codeOf(await register(app, { username: first })), '201', first)
    for (const username of others)
      t.equal(codeOf(await register(app, { username })), '409 USERNAME_TAKEN', `${first} = ${username}`)
  }
  const different = await Promise.all(OTHER_USERNAMES.map((username) => register(app, { username })))
  for (const [index, answer] of different.entries()) {
    t.equal(codeOf(answer), '201', OTHER_USERNAMES[index]!)
    t.equal(answer.body.user.username, OTHER_USERNAMES[index], 'shown as typed')
  }
  for (const username of REFUSED_USERNAMES) {
    const answer = await register(app, { username })
    t.equal(codeOf(answer), '400 VALIDATION_FAILED', shown(username))
    t.ok(faultsOf(answer).every((fault) => fault.startsWith('/username ')))
  }
})

onEachEngine(t, 'e-mail addresses: the same, different, and refused', async (t, engine) => {
  const app = await startApp(t, engine)
  for (const [first, ...others] of SAME_EMAILS) {
    t.equal(codeOf(await register(app, { email: first })), '201', first)
    for (const email of others)
      t.equal(codeOf(await register(app, { email })), '409 EMAIL_TAKEN', `${first} = ${email}`)
  }
  const different = await Promise.all(OTHER_EMAILS.map((email) => register(app, { email })))
  for (const [index, answer] of different.entries()) {
    t.equal(codeOf(answer), '201', OTHER_EMAILS[index]!)
    t.equal(answer.body.user.email, OTHER_EMAILS[index], 'shown as typed')
  }
  for (const email of REFUSED_EMAILS) {
    const answer = await register(app, { email })
    t.equal(codeOf(answer), '400 VALIDATION_FAILED', shown(email))
    t.ok(faultsOf(answer).every((fault) => fault.startsWith('/email ')))
  }
})

onEachEngine(t, 'passwords: whole, of any characters, counted in code points', async (t, engine) => {
  const app = await startApp(t, engine)
  const syllables = '가나다라마바사아자차카타파하거너'.repeat(4)
  /** The password, others that log in too, and others that do not. */
  const cases: [password: string, same: string[], different: string[]][] = [
    [`${syllables.slice(0, -1)}너`, [], [`${syllables.slice(0, -1)}더`, syllables.slice(0, -1)]],
    ['한글 비밀번호 é', ['한글 비밀번호 é'.normalize('NFD')], ['한글 비밀번호 e']],
    ['😀'.repeat(256), [], ['😀'.repeat(255), `${'😀'.repeat(255)}😁`]],
    ['😀🎈🎁🎂🎃🎄🎆🎇', [], ['😀🎈🎁🎂🎃🎄🎆']],
    ['  spaces kept  ', [], ['spaces kept', '  spaces kept ']],
    ['Case Matters ß', [], ['case matters ß', 'Case Matters ss']],
    ['ｆｕｌｌ ｗｉｄｔｈ', [], ['full width']],
  ]
  for (const [password, same, different] of cases) {
    const { body } = await register(app, { password })
    for (const right of [password, ...same])
      t.equal(codeOf(await app.anon.post('/user/login', { email: body.user.email, password: right })), '200', password)
    for (const wrong of different) {
      const answer = await app.anon.post('/user/login', { email: body.user.email, password: wrong })
      t.equal(codeOf(answer), '401 INVALID_CREDENTIALS', `${password} ≠ ${wrong}`)
    }
  }
  const lengths: [password: string, fault: string][] = [
    ['😀'.repeat(257), '/password maxLength'],
    ['😀'.repeat(7), '/password minLength'],
    ['', '/password minLength'],
  ]
  for (const [password, fault] of lengths) t.strictSame(faultsOf(await register(app, { password })), [fault])
})

onEachEngine(t, "passwords: not a common one, nor one's own names", async (t, engine) => {
  const app = await startApp(t, engine, { PASSWORD_MIN_LENGTH: '10' })
  const names = { username: 'Zoë Straße Öster', email: 'Zoe.Strasse@한국.kr' }
  const common = ['1234567890', 'QWERTYUIOP', 'qWeRtYuIoP']
  const own = [
    'Zoë Straße Öster',
    'zoë straße öster',
    'ZOE\u0308 STRASSE O\u0308STER',
    'zoë strasse öster',
    'Zoe.Strasse@한국.kr',
    'ZOE.STRASSE@한국.KR',
    'zoe.strasse@xn--3e0b707e.kr',
  ]
  for (const password of [...common, ...own])
    t.equal(codeOf(await register(app, { ...names, password })), '400 PASSWORD_TOO_COMMON', password)
  t.strictSame(faultsOf(await register(app, { password: '9 letters' })), ['/password minLength'], 'PASSWORD_MIN_LENGTH')
  t.equal(codeOf(await register(app, { ...names, password: 'ten letter' })), '201')
})
