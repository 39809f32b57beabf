/** latchkey/verifier/fastify: the scope in which it stands is closed, the rest is open, and errors carry their headers. */
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import verifier from '../../verifier/fastify.ts'
import type { VerifierOptions } from '../../verifier/index.ts'
import { AUDIENCE, FEED, ISSUER, json, startStandIn } from './stand-in.ts'

async function start(t: Test, options: Partial<VerifierOptions> = {}) {
  const latchkey = await startStandIn(t)
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line) => void lines.push(line) } } })
  app.get('/open', async ({ claims }) => ({ claims }))
  app.register(async (scope) => {
    scope.register(verifier, {
      issuer: ISSUER,
      audience: AUDIENCE,
      url: latchkey.origin,
      now: () => latchkey.clock.time,
      pollSeconds: 86_400,
      ...options,
    })
    scope.get('/me', async ({ claims }) => claims)
    scope.get('/ready', async () => scope.verifier.ready())
  })
  t.teardown(() => app.close())
  await app.ready()
  const get = (url: string, token?: string) =>
    app.inject({ url, ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }) })
  return { latchkey, app, get, lines }
}

t.test('a token opens the routes of the scope', async (t) => {
  const { latchkey, get } = await start(t)
  const answer = await get('/me', latchkey.token())
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), latchkey.claims())
  t.equal((await get('/ready', latchkey.token())).statusCode, 200)
  t.strictSame((await get('/open', 'x')).json(), {}, 'others are as open as they were')
})

t.test('and nothing else does', async (t) => {
  const { latchkey, get } = await start(t)
  const invalid = 'Bearer error="invalid_token"'
  const cases: [token: string | undefined, code: string, challenge: string][] = [
    [undefined, 'UNAUTHENTICATED', 'Bearer'],
    ['x', 'INVALID_TOKEN', invalid],
    [latchkey.token({ aud: 'other' }), 'INVALID_TOKEN', invalid],
    [latchkey.token({ exp: 0 }), 'TOKEN_EXPIRED', invalid],
  ]
  for (const [token, code, challenge] of cases) {
    const answer = await get('/me', token)
    t.match(answer.json(), { statusCode: 401, code, error: 'Unauthorized', message: /./ })
    t.match(answer, { statusCode: 401, headers: { 'www-authenticate': challenge } }, code)
  }
})

t.test('where the feed cannot be read: 503 with Retry-After, and one line that says why', async (t) => {
  const { latchkey, app, get, lines } = await start(t, { pollSeconds: 0.001 })
  t.equal((await get('/me', latchkey.token())).statusCode, 200)
  latchkey.answers[FEED] = json({}, {}, 500)
  const before = latchkey.count(FEED)
  while (latchkey.count(FEED) < before + 5) await new Promise(setImmediate)
  latchkey.clock.time += 60_000
  const answer = await get('/me', latchkey.token())
  t.match(answer, { statusCode: 503, headers: { 'retry-after': '1' } })
  t.match(answer.json(), { statusCode: 503, code: 'UNAVAILABLE', error: 'Service Unavailable' })
  t.notMatch(answer.payload, latchkey.origin, 'the answer says nothing of the inside')
  const told = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 40)
  t.match(told, [{ msg: 'Latchkey could not be asked', err: { message: /revocations.*the answer was 500/ } }])
  t.equal(told.length, 1)
  await app.close()
})

t.test('onError is the service’s own where it gives one', async (t) => {
  const errors: Error[] = []
  const { latchkey, get } = await start(t, {
    onError: (error) => errors.push(error),
    fetch: async () => Promise.reject(new Error('away')),
  })
  t.equal((await get('/me', latchkey.token())).statusCode, 503)
  t.match(
    errors,
    [/jwks.*away/, /revocations.*away/].map((message) => ({ message })),
  )
})
