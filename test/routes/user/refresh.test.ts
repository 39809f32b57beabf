/** POST /user/refresh: which token moves a session on, which gets the same answer again, and which one ends it. */
import t from 'tap'
import { dbOf } from '../../../plugins/db/index.ts'
import { onEachEngine } from '../../engines.ts'
import { claimsOf, openApp, type Person, startApp, type TestApp, watchCalls } from '../../helper.ts'

const REUSED = 'REFRESH_TOKEN_REUSED'
const INVALID = 'INVALID_REFRESH_TOKEN'

const refresh = (app: TestApp, refresh_token: unknown) => app.anon.post('/user/refresh', { refresh_token })

/** After so many seconds the token of this generation is used; the answer holds that of this generation, or is this error. */
type Step = [after: number, uses: number, gives: number | string]

const IN_GRACE: [name: string, steps: Step[]][] = [
  ['a session that was never rotated moves on, also after a long time', [[1_000_000, 0, 1]]],
  [
    'the current token moves nothing while the rotation is younger than the grace',
    [
      [0, 0, 1],
      [29.999, 1, 1],
    ],
  ],
  [
    'it moves on when the rotation is as old as the grace',
    [
      [0, 0, 1],
      [30, 1, 2],
      [30, 2, 3],
      [500, 3, 4],
    ],
  ],
  [
    'the one before gets the same answer again within the grace',
    [
      [0, 0, 1],
      [0, 0, 1],
      [29.999, 0, 1],
      [0, 1, 1],
    ],
  ],
  [
    'an answer within the grace does not lengthen it',
    [
      [0, 0, 1],
      [20, 0, 1],
      [10, 1, 2],
    ],
  ],
  [
    'the one before is reuse after the grace, and ends the session',
    [
      [0, 0, 1],
      [30, 0, REUSED],
      [0, 1, INVALID],
    ],
  ],
  [
    'reuse is told once',
    [
      [0, 0, 1],
      [30, 0, REUSED],
      [0, 0, INVALID],
      [0, 0, INVALID],
    ],
  ],
  [
    'the one before the one before is reuse, within the grace too',
    [
      [0, 0, 1],
      [30, 1, 2],
      [0, 0, REUSED],
      [0, 2, INVALID],
    ],
  ],
  [
    'and so is an older one',
    [
      [0, 0, 1],
      [30, 1, 2],
      [30, 2, 3],
      [30, 0, REUSED],
    ],
  ],
  [
    'the one before, in the grace of a later rotation',
    [
      [0, 0, 1],
      [30, 1, 2],
      [29, 1, 2],
      [0, 2, 2],
      [1, 2, 3],
    ],
  ],
]

const WITHOUT_GRACE: [name: string, steps: Step[]][] = [
  [
    'each use moves on',
    [
      [0, 0, 1],
      [0, 1, 2],
      [0, 2, 3],
    ],
  ],
  [
    'each second use is reuse',
    [
      [0, 0, 1],
      [0, 0, REUSED],
      [0, 1, INVALID],
    ],
  ],
]

for (const [grace, scenarios] of [
  ['30', IN_GRACE],
  ['0', WITHOUT_GRACE],
] as const) {
  onEachEngine(t, `rotation with a grace of ${grace}`, async (t, engine) => {
    const app = await startApp(t, engine, { REFRESH_GRACE: grace, MAX_SESSIONS: '1' })
    await app.register('ann')
    for (const [name, steps] of scenarios) {
      const ann = await app.login('ann')
      const tokens = [ann.tokens.refresh_token]
      for (const [index, [after, uses, gives]] of steps.entries()) {
        await app.advance(after)
        const { status, body } = await refresh(app, tokens[uses])
        const where = `${name}: step ${index + 1}`
        if (typeof gives === 'string') {
          t.equal(`${status} ${body.code}`, `401 ${gives}`, where)
          continue
        }
        t.equal(status, 200, where)
        tokens[gives] ??= body.refresh_token
        t.equal(body.refresh_token, tokens[gives], `${where}: the same generation is the same text`)
      }
      t.equal(new Set(tokens).size, tokens.length, `${name}: another generation is another text`)
    }
  })
}

onEachEngine(t, 'the answer', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  await app.sql('UPDATE users SET roles = ?', ['admin editor'])
  await app.advance(100)
  const first = await refresh(app, ann.tokens.refresh_token)
  const again = await refresh(app, ann.tokens.refresh_token)
  t.equal(first.status, 200)
  t.equal(first.headers['cache-control'], 'no-store')
  t.strictSame(Object.keys(first.body), Object.keys(ann.tokens), 'a token answer')
  t.strictSame(
    first.body.user,
    { ...ann.tokens.user, roles: ['admin', 'editor'] },
    'the person as the database has her',
  )
  t.match(first.body, { result: 'success', token_type: 'Bearer', expires_in: 900, refresh_expires_in: 2_592_000 })

  const [before, after, later] = [ann.tokens, first.body, again.body].map(({ access_token }) => claimsOf(access_token))
  t.equal(after!.sid, before!.sid, 'the same session')
  t.equal(after!.sub, before!.sub)
  t.strictSame(after!.roles, ['admin', 'editor'])
  t.equal(after!.iat, before!.iat + 100)
  t.equal(after!.exp, after!.iat + 900)
  t.equal(new Set([before!.jti, after!.jti, later!.jti]).size, 3, 'every answer brings a new access token')
  for (const answer of [first, again]) t.equal((await app.as(answer).get('/user/me')).status, 200)
  t.equal((await ann.get('/user/me')).status, 200, 'the older access token lives on')
})

onEachEngine(t, 'a rotation is a use of the session, an answer within the grace is none', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const times: string[][] = []
  for (const after of [0, 100, 10]) {
    await app.advance(after)
    if (after > 0) await refresh(app, ann.tokens.refresh_token)
    const { created_at, last_used_at, expires_at } = (await ann.get('/user/sessions')).body.sessions[0]
    times.push([created_at, last_used_at, expires_at])
  }
  const start = Date.parse(times[0]![0]!)
  const inSeconds = times.map((row) =>
    row.map((time) => Math.floor(Date.parse(time) / 1000) - Math.floor(start / 1000)),
  )
  t.strictSame(inSeconds, [
    [0, 0, 2_592_000],
    [0, 100, 2_592_100],
    [0, 100, 2_592_100],
  ])
})

onEachEngine(t, 'REFRESH_TOKEN_TTL and SESSION_MAX_AGE', async (t, engine) => {
  const limits = { ACCESS_TOKEN_TTL: '60', REFRESH_TOKEN_TTL: '100', SESSION_MAX_AGE: '250' }
  const app = await startApp(t, engine, limits)
  // Well within a second, so that whole seconds can be counted.
  app.clock.time = Math.floor(app.clock.time / 1000) * 1000 + 500
  const ann = await app.register('ann')
  t.match(ann.tokens, { expires_in: 60, refresh_expires_in: 100 })
  const steps: [after: number, access: number, session: number][] = [
    [90, 60, 100],
    [20, 60, 80],
    [70, 60, 70],
    [30, 40, 40],
    [39, 1, 1],
  ]
  let token = ann.tokens.refresh_token
  for (const [after, access, session] of steps) {
    await app.advance(after)
    const { body } = await refresh(app, token)
    t.strictSame([body.expires_in, body.refresh_expires_in], [access, session], `${after} s later`)
    const { iat, exp } = claimsOf(body.access_token)
    t.equal(exp - iat, access, 'the access token does not outlive the session')
    token = body.refresh_token
  }
  await app.advance(0.499)
  t.equal((await refresh(app, token)).status, 200, 'to its last moment')
  await app.advance(0.001)
  t.equal((await refresh(app, token)).body.code, INVALID, 'SESSION_MAX_AGE')

  const bob = await app.register('bob')
  await app.advance(99)
  t.equal((await bob.get('/user/sessions')).body.code, 'TOKEN_EXPIRED')
  t.equal((await refresh(app, bob.tokens.refresh_token)).status, 200)
  await app.advance(100)
  t.equal((await refresh(app, bob.tokens.refresh_token)).body.code, INVALID, 'expired, before reuse is thought of')
})

onEachEngine(t, 'an access token never outlives its session', async (t, engine) => {
  for (const setting of ['REFRESH_TOKEN_TTL', 'SESSION_MAX_AGE']) {
    const app = await startApp(t, engine, { [setting]: '10' })
    const { tokens } = await app.register('ann')
    t.match(tokens, { expires_in: 10, refresh_expires_in: 10 }, setting)
    const { iat, exp } = claimsOf(tokens.access_token)
    t.equal(exp - iat, 10)
  }
})

onEachEngine(t, 'a session that has ended, a person who is disabled or gone, a row that is gone', async (t, engine) => {
  const app = await startApp(t, engine)
  const cases: [name: string, deed: (person: Person) => Promise<unknown>][] = [
    ['logged out', (person) => person.delete('/user/logout')],
    ['disabled', (person) => app.sql('UPDATE users SET disabled_at = 1 WHERE id = ?', [person.tokens.user.id])],
    ['deleted', (person) => app.sql('DELETE FROM users WHERE id = ?', [person.tokens.user.id])],
    ['unknown', (person) => app.sql('DELETE FROM sessions WHERE user_id = ?', [person.tokens.user.id])],
  ]
  for (const [name, deed] of cases) {
    const person = await app.register(name.replace(' ', '-'))
    const { body } = await refresh(app, person.tokens.refresh_token)
    await deed(person)
    for (const token of [body.refresh_token, person.tokens.refresh_token])
      t.equal((await refresh(app, token)).body.code, INVALID, `${name}, within the grace`)
    await app.advance(40)
    for (const token of [person.tokens.refresh_token, body.refresh_token])
      t.equal((await refresh(app, token)).body.code, INVALID, `${name}: an old token of it too`)
  }
})

onEachEngine(
  t,
  'a token ahead of its row (a restored backup) is refused and logged, and the session kept',
  async (t, engine) => {
    const app = await startApp(t, engine)
    const ann = await app.register('ann')
    const ahead = await refresh(app, ann.tokens.refresh_token)
    await app.sql('UPDATE sessions SET generation = 0, rotated_at = NULL')
    const warnings: unknown[][] = []
    app.server.log.warn = (...args: unknown[]) => void warnings.push(args)
    t.equal((await refresh(app, ahead.body.refresh_token)).body.code, INVALID)
    t.match(warnings, [[{ sessionId: claimsOf(ann.tokens.access_token).sid }, /ahead/]])
    t.equal((await ann.get('/user/sessions')).body.sessions.length, 1)
    t.equal((await refresh(app, ann.tokens.refresh_token)).status, 200)
  },
)

/** What is no token of this service, made of one that is. */
function forgeries(token: string, accessToken: string): [name: string, text: string][] {
  const bytes = Buffer.from(token.slice(4), 'base64url')
  const written = (changed: Buffer) => `lkr_${changed.toString('base64url')}`
  const flipped = [...bytes.keys()].map((index): [string, string] => {
    const copy = Buffer.from(bytes)
    copy[index]! ^= 1
    return [`byte ${index} flipped`, written(copy)]
  })
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet[alphabet.indexOf(token.at(-1)!) ^ 1]
  return [
    ...flipped,
    ['another last character for the same bytes', token.slice(0, -1) + last],
    ['padding', `${token}=`],
    ['a byte less', written(bytes.subarray(0, -1))],
    ['a byte more', written(Buffer.concat([bytes, Buffer.alloc(1)]))],
    ['nothing behind the prefix', 'lkr_'],
    ['zeros', written(Buffer.alloc(bytes.length))],
    ['a space at the end', `${token} `],
    ['a space at the start', ` ${token}`],
    ['a newline at the end', `${token}\n`],
    ['without the prefix', token.slice(4)],
    ['another prefix', `lks_${token.slice(4)}`],
    ['the prefix in capitals', `LKR_${token.slice(4)}`],
    ['the prefix twice', `lkr_${token}`],
    ['an access token', accessToken],
    ['one character', 'x'],
    ['much text', 'x'.repeat(30_000)],
    ['characters beyond ASCII', `${token.slice(0, -1)}ａ`],
  ]
}

onEachEngine(t, 'a forged token costs no query', async (t, engine) => {
  const app = await startApp(t, engine)
  const { tokens } = await app.register('ann')
  const { users, sessions } = dbOf(app.server)
  const calls = watchCalls(users, sessions)
  for (const [name, text] of forgeries(tokens.refresh_token, tokens.access_token)) {
    const { status, body } = await refresh(app, text)
    t.equal(`${status} ${body.code}`, `401 ${INVALID}`, name)
  }
  t.strictSame(calls, [])
  t.equal((await refresh(app, tokens.refresh_token)).status, 200, 'the one that they were made of')
  t.not(calls.length, 0, 'and calls are seen')
})

onEachEngine(t, 'faults of the body', async (t, engine) => {
  const app = await startApp(t, engine)
  const cases: [body: unknown, field: string, rule: string][] = [
    [{}, '/refresh_token', 'required'],
    [{ refresh_token: '' }, '/refresh_token', 'minLength'],
    [{ refresh_token: 5 }, '/refresh_token', 'type'],
    [{ refresh_token: ['x'] }, '/refresh_token', 'type'],
    [{ refresh_token: null }, '/refresh_token', 'type'],
    [{ refresh_token: 'x\0' }, '/refresh_token', 'characters'],
    [{ refresh_token: 'x', scope: 'all' }, '/scope', 'additionalProperties'],
    [[], '/', 'type'],
  ]
  for (const [body, field, rule] of cases) {
    const answer = await app.anon.post('/user/refresh', body)
    t.equal(answer.body.code, 'VALIDATION_FAILED')
    t.match(answer.body.details, [{ field, rule }])
  }
  t.equal((await app.anon.post('/user/refresh')).body.code, 'MALFORMED_BODY', 'a body is needed')
})

onEachEngine(t, 'SECRET is rotated by a list: the first is used, the rest still accepted', async (t, engine) => {
  const [first, second] = ['1', '2'].map((digit) => digit.repeat(32))
  const databaseUrl = await engine.databaseUrl()
  const old = await openApp(t, { DATABASE_URL: databaseUrl, SECRET: first })
  const ann = await old.register('ann')
  const underOld = await refresh(old, ann.tokens.refresh_token)
  await old.server.close()

  const app = await openApp(t, { DATABASE_URL: databaseUrl, SECRET: `${second},${first}` })
  app.clock.time = old.clock.time
  const underNew = await refresh(app, ann.tokens.refresh_token)
  t.equal(underNew.status, 200, 'a token under the second')
  t.not(underNew.body.refresh_token, underOld.body.refresh_token, 'the same generation in another text')
  const again = await refresh(app, underOld.body.refresh_token)
  t.equal(again.body.refresh_token, underNew.body.refresh_token, 'whatever it was asked with')
  await app.advance(30)
  t.equal((await refresh(app, underNew.body.refresh_token)).status, 200)
  t.equal((await app.as(ann.answer).get('/user/me')).status, 200, 'access tokens live on')
})
