/** POST /oauth/introspect: what a token is worth right now, by the session and the person in the database. */
import fc from 'fast-check'
import t from 'tap'
import { createEngine, onEachEngine } from '../../engines.ts'
import { type Answer, claimsOf, codeOf, headerOf, type Person, startApp, type TestApp } from '../../helper.ts'

const ask = (app: TestApp, token: string) => app.service.form('/oauth/introspect', { token })
const INACTIVE = '{"active":false}'
const refresh = (app: TestApp, refresh_token: string) => app.anon.post('/user/refresh', { refresh_token })

/** Nothing but that it is not active. */
function isInactive(t: Parameters<typeof startApp>[0], { status, text }: Answer, name: string): void {
  t.strictSame([status, text], [200, INACTIVE], name)
}

onEachEngine(t, 'a good access token', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const { iss, sub, aud, client_id, exp, iat, jti, sid } = claimsOf(ann.tokens.access_token)
  const answer = await ask(app, ann.tokens.access_token)
  t.equal(answer.status, 200)
  t.equal(answer.headers['cache-control'], 'no-store')
  const claims = { iss, sub, aud, client_id, exp, iat, jti, sid }
  const good = { active: true, token_use: 'access_token', token_type: 'Bearer', ...claims, username: 'ann', roles: [] }
  t.strictSame(answer.body, good)

  await ann.patch('/user/me', { username: 'Änn' })
  await app.sql('UPDATE users SET roles = ?', ['admin editor'])
  const now = { ...good, username: 'Änn', roles: ['admin', 'editor'] }
  t.strictSame((await ask(app, ann.tokens.access_token)).body, now, 'as it is now')
})

onEachEngine(t, 'a good refresh token', async (t, engine) => {
  const app = await startApp(t, engine)
  const start = Math.floor(app.clock.time / 1000)
  const ann = await app.register('ann')
  const { iss, sub, aud, client_id, sid } = claimsOf(ann.tokens.access_token)
  await app.sql('UPDATE users SET roles = ?', ['admin'])
  const good = { active: true, token_use: 'refresh_token', iss, sub, aud, client_id, iat: start, sid }
  const person = { username: 'ann', roles: ['admin'] }
  const answer = await ask(app, ann.tokens.refresh_token)
  t.strictSame(answer.body, { ...good, exp: start + app.config.REFRESH_TOKEN_TTL, ...person })
  await app.advance(1000)
  const { body } = await refresh(app, ann.tokens.refresh_token)
  const next = await ask(app, body.refresh_token)
  t.strictSame(next.body, { ...good, exp: start + 1000 + app.config.REFRESH_TOKEN_TTL, ...person }, 'of its session')
})

/** The tokens of generations 0, 1 and 2; the last rotation is just done. */
async function generations(app: TestApp, ann: Person): Promise<string[]> {
  const tokens = [ann.tokens.refresh_token]
  for (const _ of [1, 2]) {
    await app.advance(60)
    tokens.push((await refresh(app, tokens.at(-1)!)).body.refresh_token)
  }
  return tokens
}

onEachEngine(
  t,
  'a refresh token is active while a refresh would take it, and asking changes nothing',
  async (t, engine) => {
    const app = await startApp(t, engine, { REFRESH_GRACE: '30' })
    const ann = await app.register('ann')
    const tokens = await generations(app, ann)
    const active = async () => {
      const answers = []
      for (const token of tokens) answers.push((await ask(app, token)).body.active)
      return answers
    }
    const rows = () => app.sql('SELECT * FROM sessions')
    const before = await rows()
    t.strictSame(await active(), [false, true, true], 'within the grace')
    await app.advance(29.999)
    t.strictSame(await active(), [false, true, true], 'at its end')
    await app.advance(0.001)
    t.strictSame(await active(), [false, false, true], 'after it')
    t.strictSame(await rows(), before, 'nothing was rotated and nothing ended')
    t.equal(codeOf(await refresh(app, tokens[2]!)), '200')

    await app.sql('UPDATE sessions SET generation = 1')
    t.strictSame(await active(), [true, true, false], 'a restored backup: one is ahead')
    await app.sql('UPDATE sessions SET rotated_at = NULL')
    await app.advance(app.config.REFRESH_TOKEN_TTL)
    t.strictSame(await active(), [false, false, false], 'expired')
  },
)

onEachEngine(t, 'what is not good any more tells nothing else', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  const ends: [name: string, end: (person: Person, sid: string) => Promise<unknown>][] = [
    ['logged out', (person) => person.delete('/user/logout')],
    ['ended elsewhere', (_, sid) => app.sql('UPDATE sessions SET ended_at = ? WHERE id = ?', [app.clock.time, sid])],
    ['gone', (_, sid) => app.sql('DELETE FROM sessions WHERE id = ?', [sid])],
  ]
  for (const [name, end] of ends) {
    const person = await app.login('ann')
    const { access_token, refresh_token } = person.tokens
    t.match(
      [await ask(app, access_token), await ask(app, refresh_token)],
      [{ body: { active: true } }, { body: { active: true } }],
    )
    await end(person, claimsOf(access_token).sid)
    isInactive(t, await ask(app, access_token), name)
    isInactive(t, await ask(app, refresh_token), name)
  }
  const bob = (await app.register('bob')).tokens.user
  const moved = (await app.login('ann')).tokens.access_token
  await app.sql('UPDATE sessions SET user_id = ? WHERE id = ?', [bob.id, claimsOf(moved).sid])
  isInactive(t, await ask(app, moved), 'of a session that is somebody else’s')

  const ann = await app.login('ann')
  await app.sql('UPDATE users SET disabled_at = 1')
  isInactive(t, await ask(app, ann.tokens.access_token), 'disabled')
  isInactive(t, await ask(app, ann.tokens.refresh_token), 'disabled')
  await app.sql('UPDATE users SET disabled_at = NULL')
  t.equal((await ask(app, ann.tokens.access_token)).body.active, true)
  app.clock.time = claimsOf(ann.tokens.access_token).exp * 1000
  await app.advance(0)
  isInactive(t, await ask(app, ann.tokens.access_token), 'expired')
  t.equal((await ask(app, ann.tokens.refresh_token)).body.active, true)

  const other = await startApp(t, engine)
  const stranger = await other.register('ann')
  isInactive(t, await ask(app, stranger.tokens.access_token), 'of another database')
  isInactive(t, await ask(app, stranger.tokens.refresh_token), 'of another database')
})

t.test('any other text is inactive, whatever it is', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { access_token, refresh_token } = (await app.register('ann')).tokens
  const [head, payload, signature] = access_token.split('.')
  const none = Buffer.from(JSON.stringify({ ...headerOf(access_token), alg: 'none' })).toString('base64url')
  const texts = [
    ...['x', ' ', '.', '..', 'lkr_', 'null', '{}', 'Bearer', '한국', '\u{1f600}', '\ufeff', '\ud800', '%00', '\r\n'],
    ...[
      `Bearer ${access_token}`,
      ` ${access_token}`,
      `${access_token} `,
      `${access_token}.`,
      access_token.slice(0, -1),
    ],
    ...[`${none}.${payload}.`, `${head}.${payload}.`, `${head}..${signature}`, `${head}.${payload}`],
    ...[`${refresh_token}=`, refresh_token.toUpperCase(), refresh_token.slice(4), `lkr_${access_token}`],
    ...['x'.repeat(30_000), `lkr_${'A'.repeat(30_000)}`, `${'e'.repeat(10_000)}.${'y'.repeat(10_000)}.z`],
  ]
  for (const text of texts) isInactive(t, await ask(app, text), text.slice(0, 40))

  // Good tokens with some of their bytes changed.
  const mutated = fc
    .tuple(fc.constantFrom(access_token, refresh_token), fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }))
    .map(([token, at, text]) => token.slice(0, at % token.length) + text + token.slice((at % token.length) + 1))
    .filter((text) => text !== access_token && text !== refresh_token && !text.includes('\0'))
  await fc.assert(
    fc.asyncProperty(mutated, async (text) => (await ask(app, text)).text === INACTIVE),
    { numRuns: 200 },
  )
})

t.test('what is in the form beside the token', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { access_token: token, refresh_token } = (await app.register('ann')).tokens
  for (const token_type_hint of ['access_token', 'refresh_token', 'saml2', '', '한국']) {
    for (const one of [token, refresh_token]) {
      const { body } = await app.service.form('/oauth/introspect', {
        token: one,
        token_type_hint,
        resource: 'x',
        b: '',
      })
      t.equal(body.active, true, `only a hint: ${token_type_hint}`)
    }
  }
  for (const members of ['', 'token=', 'token', 'token_type_hint=access_token', 'Token=x', 'a=token']) {
    const answer = await app.service.form('/oauth/introspect', `x=y&${members}`)
    t.match(answer, { status: 400, body: { code: 'VALIDATION_FAILED', error: 'invalid_request' } }, members)
    t.match(answer.body.details, [{ field: '/token', rule: 'required' }])
  }
})

t.test('where the list of ended sessions is too old, no access token is judged', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { access_token, refresh_token } = (await app.register('ann')).tokens
  app.clock.time += app.config.REVOCATION_MAX_STALENESS * 1000 + 1
  const answer = await ask(app, access_token)
  t.match(answer, { status: 503, body: { code: 'UNAVAILABLE', error: 'temporarily_unavailable' } })
  t.equal((await ask(app, refresh_token)).body.active, true, 'a refresh token is judged by the database alone')
  isInactive(t, await ask(app, 'x'), 'and nothing is no token')
  await app.advance(0)
  t.equal((await ask(app, access_token)).body.active, true)
})
