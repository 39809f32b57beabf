/** GET /user/sessions and DELETE /user/sessions/:id: the list of a person, and ending one of it. */
import t from 'tap'
import { onEachEngine } from '../../engines.ts'
import { claimsOf, codeOf, PASSWORD, startApp } from '../../helper.ts'

onEachEngine(t, 'the list: the newest first, of this person, of what lives', async (t, engine) => {
  const app = await startApp(t, engine, { REFRESH_TOKEN_TTL: '1000' })
  await app.register('bob')
  const start = app.clock.time
  const first = await app.register('ann')
  await app.advance(100)
  const second = await app.login('ann')
  await app.advance(100)
  const gone = await app.login('ann')
  await gone.delete('/user/logout')
  await app.advance(100)
  await app.anon.post('/user/refresh', { refresh_token: first.tokens.refresh_token })

  const answer = await second.get('/user/sessions')
  t.equal(answer.status, 200)
  t.equal(answer.headers['cache-control'], 'no-store')
  const after = (seconds: number) => new Date(start + seconds * 1000).toISOString()
  const end = (seconds: number) => new Date((Math.floor(start / 1000) + seconds) * 1000).toISOString()
  const [firstId, secondId] = [first, second].map(({ tokens }) => claimsOf(tokens.access_token).sid)
  const from = { ip: '127.0.0.1', user_agent: 'test' }
  t.strictSame(answer.body, {
    sessions: [
      { id: secondId, current: true, created_at: after(100), last_used_at: after(100), expires_at: end(1100), ...from },
      { id: firstId, current: false, created_at: after(0), last_used_at: after(300), expires_at: end(1300), ...from },
    ],
  })
  const byFirst = await first.get('/user/sessions')
  t.strictSame(
    byFirst.body.sessions.map(({ current }: { current: boolean }) => current),
    [false, true],
  )
  await app.advance(800)
  t.equal(codeOf(await second.get('/user/sessions')), '401 TOKEN_EXPIRED', 'its access token ended with it')
  const later = await app.login('ann')
  const ids = (await later.get('/user/sessions')).body.sessions.map(({ id }: { id: string }) => id)
  t.strictSame(ids, [claimsOf(later.tokens.access_token).sid, firstId], 'an expired one is not in the list')
})

onEachEngine(t, 'where a login came from', async (t, engine) => {
  const app = await startApp(t, engine, { TRUSTED_PROXIES: '127.0.0.1' })
  await app.register('ann')
  const cases: [headers: Record<string, string>, ip: string, userAgent: string][] = [
    [{ 'x-forwarded-for': '192.0.2.7' }, '192.0.2.7', 'test'],
    [{ 'x-forwarded-for': '203.0.113.9, 192.0.2.7' }, '192.0.2.7', 'test'],
    [{ 'x-forwarded-for': '2001:db8::1' }, '2001:db8::1', 'test'],
    [{ 'x-forwarded-for': 'x'.repeat(5000) }, '127.0.0.1', 'test'],
    [{ 'user-agent': 'x'.repeat(300) }, '127.0.0.1', 'x'.repeat(255)],
    [{ 'user-agent': `a\tb\u0085c${'é'.repeat(300)}` }, '127.0.0.1', `abc${'é'.repeat(252)}`],
    [{ 'user-agent': '' }, '127.0.0.1', ''],
  ]
  for (const [headers, ip, userAgent] of cases) {
    await app.advance(1)
    const person = app.as(await app.anon.post('/user/login', { username: 'ann', password: PASSWORD }, headers))
    const { body } = await person.get('/user/sessions', { 'user-agent': 'another', 'x-forwarded-for': '192.0.2.99' })
    t.match(body.sessions[0], { ip, user_agent: userAgent, current: true })
    t.equal(body.sessions[0].user_agent, userAgent)
    await app.advance(1)
    const { refresh_token } = person.tokens
    await app.anon.post(
      '/user/refresh',
      { refresh_token },
      { 'user-agent': 'another', 'x-forwarded-for': '192.0.2.99' },
    )
    t.equal((await person.get('/user/sessions')).body.sessions[0].ip, ip, 'a refresh does not change it')
  }
})

onEachEngine(t, 'an untrusted proxy is not believed', async (t, engine) => {
  const app = await startApp(t, engine)
  const person = { username: 'ann', email: 'ann@example.com', password: PASSWORD }
  const ann = app.as(await app.anon.post('/user/register', person, { 'x-forwarded-for': '192.0.2.7' }))
  t.equal((await ann.get('/user/sessions')).body.sessions[0].ip, '127.0.0.1')
})

onEachEngine(t, 'ending one', async (t, engine) => {
  const app = await startApp(t, engine)
  const bob = await app.register('bob')
  const ann = await app.register('ann')
  const other = await app.login('ann')
  const [bobs, own, others] = [bob, ann, other].map(({ tokens }) => claimsOf(tokens.access_token).sid) as [
    string,
    string,
    string,
  ]

  const unknown = [
    bobs,
    'x',
    '0',
    others.toUpperCase(),
    `${others}%20`,
    `${others}x`,
    `%20${others}`,
    'x'.repeat(5000),
    '%ED%95%9C',
    '%00',
    "'%20OR%201=1",
  ]
  for (const id of unknown) {
    const answer = await ann.delete(`/user/sessions/${id}`)
    t.equal(codeOf(answer), '404 SESSION_NOT_FOUND', id)
  }
  t.equal(codeOf(await bob.get('/user/me')), '200', "another person's lives on")

  const ended = await ann.delete(`/user/sessions/${others}`)
  t.equal(ended.status, 204)
  t.equal(ended.text, '')
  t.equal(codeOf(await other.get('/user/me')), '401 INVALID_TOKEN', 'at once')
  const { refresh_token } = other.tokens
  t.equal(codeOf(await app.anon.post('/user/refresh', { refresh_token })), '401 INVALID_REFRESH_TOKEN')
  t.equal(codeOf(await ann.delete(`/user/sessions/${others}`)), '404 SESSION_NOT_FOUND', 'a second time')
  t.equal(codeOf(await ann.get('/user/me')), '200')

  t.equal(codeOf(await ann.delete(`/user/sessions/${own}`)), '204', "one's own")
  for (const url of ['/user/me', '/user/sessions']) t.equal(codeOf(await ann.get(url)), '401 INVALID_TOKEN')
})

onEachEngine(t, 'without a token, and with a body', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const id = claimsOf(ann.tokens.access_token).sid
  t.equal(codeOf(await app.anon.get('/user/sessions')), '401 UNAUTHENTICATED')
  t.equal(codeOf(await app.anon.delete(`/user/sessions/${id}`)), '401 UNAUTHENTICATED')
  t.equal(codeOf(await ann.delete(`/user/sessions/${id}`, { sure: true })), '400 BAD_REQUEST')
  t.equal(codeOf(await ann.get('/user/sessions')), '200')
})
