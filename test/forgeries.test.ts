/**
 * A battery of forged access tokens at every door: each protected route of the reviewed surface, introspection,
 * revocation, refresh. One answer for all of them, no connection to anywhere, and nothing that a mutated token does to
 * the service.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createEngine } from './engines.ts'
import { forgeries, mintOf } from './forgeries.ts'
import { type Answer, codeOf, SERVICE, startApp } from './helper.ts'
import { ROOT } from './process.ts'

/** The routes that a token opens, as the reviewed page has them: `GET /user/me`. */
const PROTECTED = readFileSync(join(ROOT, 'test/surface.txt'), 'utf8')
  .split('\n')
  .map((line) => line.split(/ +/))
  // The many other methods of /auth/verify have a test of their own.
  .filter(([method, , access]) => !/^(HEAD|OTHERS)$/.test(method!) && /^(token|session|either)$/.test(access ?? ''))
  .map(([method, url]) => ({ method: method as 'GET', url: url!.replace(':id', 'x') }))

async function start(t: Test) {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  // In the middle of a second, where rounding shows.
  app.clock.time = Math.floor(app.clock.time / 1000) * 1000 + 500
  const ann = await app.register('ann')
  const mint = mintOf(app, ann.tokens.access_token)
  const enter = (authorization: string, { method, url } = PROTECTED[0]!) =>
    app.anon.ask(method, url, undefined, { authorization })
  return { app, ann, mint, enter }
}

/** How many connections this process has begun since the last look. */
function countConnections(t: Test): () => number {
  let count = 0
  const note = () => {
    count++
  }
  subscribe('net.client.socket', note)
  t.teardown(() => unsubscribe('net.client.socket', note))
  return () => {
    const seen = count
    count = 0
    return seen
  }
}

t.test('the battery, at every protected route', async (t) => {
  const { app, ann, mint, enter } = await start(t)
  const connections = countConnections(t)
  const cases = forgeries(mint)
  t.ok(cases.length >= 60, `${cases.length} forged tokens`)
  t.ok(PROTECTED.length >= 8, `${PROTECTED.length} protected routes`)
  const bodies = new Set<string>()
  for (const route of PROTECTED) {
    const odd = new Set<string>()
    for (const [name, token] of cases) {
      const { status, text, body, headers } = await enter(`Bearer ${token}`, route)
      bodies.add(text)
      const right = status === 401 && body.code === 'INVALID_TOKEN'
      if (!right || headers['www-authenticate'] !== 'Bearer error="invalid_token"')
        odd.add(`${name}: ${status} ${text}`)
    }
    t.strictSame([...odd], [], `${route.method} ${route.url}`)
  }
  t.equal(bodies.size, 1, 'one body for all')
  t.equal((await ann.get('/user/sessions')).status, 200, 'nothing has happened to the real one')
  t.equal(connections(), 0, 'no connection was made')
  connect(1, '127.0.0.1').on('error', () => {})
  t.equal(connections(), 1, 'one would have been seen')
  await app.server.close()
})

t.test('the battery, at what takes a token in its body', async (t) => {
  const { app, ann, mint } = await start(t)
  const said = new Map<string, Set<string>>()
  const note = (where: string, { status, text }: Answer) =>
    said.set(where, (said.get(where) ?? new Set()).add(`${status} ${text}`))
  for (const [, token] of [...forgeries(mint), ['an access token', mint.token] as const]) {
    note('refresh', await app.anon.post('/user/refresh', { refresh_token: token }))
    note('logout', await app.anon.post('/user/logout', { refresh_token: token }))
    if (token === mint.token) continue
    note('introspect', await app.service.form('/oauth/introspect', { token }))
    note('revoke', await app.service.form('/oauth/revoke', { token }))
  }
  const refused = await app.anon.post('/user/refresh', { refresh_token: 'x' })
  t.equal(codeOf(refused), '401 INVALID_REFRESH_TOKEN')
  t.strictSame(Object.fromEntries([...said].map(([where, answers]) => [where, [...answers]])), {
    refresh: [`401 ${refused.text}`],
    logout: ['200 {"result":"success"}'],
    introspect: ['200 {"active":false}'],
    revoke: ['200 '],
  })
  t.equal((await ann.get('/user/sessions')).status, 200, 'none of them has ended the session')
})

t.test('each other credential, where an access token is asked for', async (t) => {
  const { app, ann, mint, enter } = await start(t)
  const { token } = mint
  const others: [authorization: string, code: string][] = [
    [`Bearer ${ann.tokens.refresh_token}`, 'INVALID_TOKEN'],
    [`Bearer ${SERVICE.secret}`, 'INVALID_TOKEN'],
    [`Bearer ${mint.claims.sid}`, 'INVALID_TOKEN'],
    [`Basic ${btoa(`${SERVICE.id}:${SERVICE.secret}`)}`, 'UNAUTHENTICATED'],
    [`Basic ${btoa(`ann:${token}`)}`, 'UNAUTHENTICATED'],
    [`DPoP ${token}`, 'UNAUTHENTICATED'],
    [token, 'UNAUTHENTICATED'],
  ]
  for (const route of PROTECTED) {
    for (const [authorization, code] of others)
      t.equal(codeOf(await enter(authorization, route)), `401 ${code}`, `${authorization.slice(0, 20)} at ${route.url}`)
  }
  for (const { method, url } of PROTECTED.filter(({ method }) => method === 'GET')) {
    const elsewhere = {
      cookie: `access_token=${token}`,
      'x-access-token': token,
      'proxy-authorization': `Bearer ${token}`,
    }
    const answer = await app.anon.ask(method, `${url}?access_token=${token}`, undefined, elsewhere)
    t.equal(codeOf(answer), '401 UNAUTHENTICATED', `a token elsewhere than in Authorization: ${url}`)
  }
})

/** What tokens are made of, what is near it, and anything that a header may hold. */
const BYTE = fc.oneof(
  fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'),
  fc.constantFrom(...'+/=,;"{}[] \t'),
  fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)),
)
/** One change: at a place, so many characters are taken away and these put in. */
const CHANGE = fc.record({
  place: fc.double({ min: 0, max: 1, noNaN: true }),
  cut: fc.nat(3),
  put: fc.array(BYTE, { maxLength: 3 }).map((bytes) => bytes.join('')),
})
const change = (text: string, { place, cut, put }: { place: number; cut: number; put: string }) => {
  const at = Math.floor(place * text.length)
  return text.slice(0, at) + put + text.slice(at + cut)
}

t.test('a good token with some bytes changed is none', async (t) => {
  const { ann, mint, enter } = await start(t)
  const changes = fc.array(CHANGE, { minLength: 1, maxLength: 3 })
  await fc.assert(
    fc.asyncProperty(changes, async (list) => {
      const token = list.reduce(change, mint.token)
      fc.pre(token.trim() !== mint.token)
      const { status, body } = await enter(`Bearer ${token}`)
      return status === 401 && /^(INVALID_TOKEN|UNAUTHENTICATED)$/.test(body.code)
    }),
    { numRuns: 1000 },
  )
  t.equal((await ann.get('/user/sessions')).status, 200)
})

t.test('whatever the real key has signed, the answer is 200 or 401', async (t) => {
  const { app, mint, enter } = await start(t)
  const [header, claims] = [mint.header, mint.claims].map((part) => JSON.stringify(part)) as [string, string]
  const list = fc.array(CHANGE, { maxLength: 2 })
  const routes = fc.constantFrom(...PROTECTED.filter(({ method }) => method === 'GET'))
  await fc.assert(
    fc.asyncProperty(list, list, routes, async (ofHeader, ofClaims, route) => {
      const token = mint.spell(ofHeader.reduce(change, header), ofClaims.reduce(change, claims))
      const { status } = await enter(`Bearer ${token}`, route)
      const introspection = await app.service.form('/oauth/introspect', { token })
      return (status === 200 || status === 401) && introspection.status === 200
    }),
    { numRuns: 500 },
  )
})
