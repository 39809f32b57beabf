/** The services of examples/ as they stand, which judge Latchkey's tokens by themselves, against the service on a real port. */
import { generateKeyPairSync } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createEngine } from './engines.ts'
import { claimsOf, SERVICE, startApp } from './helper.ts'
import { pythonJudge } from './judges.ts'
import { type Ask, client, ROOT, start, until } from './process.ts'
import { need, skipWithout } from './programs.ts'
import { listen } from './raw.ts'
import { TOOLS, takeExample } from './taken.ts'
import { AUDIENCE, FEED, ISSUER, JWKS, json, makeKey, startStandIn } from './verifier/stand-in.ts'

const EXPRESS = join(TOOLS, 'express')

const SERVICES: Record<string, { skip?: string | false; command: (t: Test) => string[] }> = {
  fastify: { command: () => [process.execPath, 'examples/service-fastify/service.js'] },
  express: {
    skip: existsSync(EXPRESS) ? false : 'not installed: express',
    command: (t) => {
      const folder = takeExample(t, 'service-express', { express: EXPRESS, latchkey: ROOT })
      return [process.execPath, join(folder, 'service.js')]
    },
  },
  // -B: leaves no compiled file beside the source.
  python: {
    skip: skipWithout('python-jwt', 'python-cryptography'),
    command: () => [need('python-jwt'), '-B', 'examples/service-python/service.py'],
  },
}

/** Asks with a token: the status, the code of an error, and the header that belongs to it. */
const asker = (ask: Ask) => async (path: string, token?: string) => {
  const { status, body, headers } = await ask(
    `GET ${path}`,
    undefined,
    token === undefined ? {} : { authorization: `Bearer ${token}` },
  )
  if (status < 400) return body
  return [status, body.code, headers.get('www-authenticate') ?? headers.get('retry-after')]
}

const INVALID = [401, 'INVALID_TOKEN', 'Bearer error="invalid_token"']

for (const [name, { skip = false, command }] of Object.entries(SERVICES)) {
  t.test(`examples/service-${name}`, { skip }, async (t) => {
    const app = await startApp(t, createEngine(t, 'sqlite'))
    // The feed is new as time goes by, and a feed that is never new is not believed for long.
    const ticking = setInterval(() => {
      app.clock.time += 1000
    }, 1000)
    t.teardown(() => clearInterval(ticking))
    const LATCHKEY_URL = `http://127.0.0.1:${await listen(app.server)}`
    const settings = { ISSUER: app.config.ISSUER, LATCHKEY_URL, POLL_SECONDS: '0.05', PORT: '0' }
    const words = command(t)
    const service = async (more: object) => {
      const env = { ...settings, SERVICE_ID: SERVICE.id, SERVICE_SECRET: SERVICE.secret, ...more }
      const running = start(t, words, env)
      return asker(client((await running.line(/^Orders listen at /)).split(' at ')[1]))
    }
    const [ask, other, blind] = await Promise.all([
      service({}),
      service({ AUDIENCE: 'other' }),
      service({ SERVICE_SECRET: 'x' }),
    ])
    const ann = await app.register('ann')
    await app.sql("UPDATE users SET roles = 'admin' WHERE username = 'ann'")
    const boss = await app.login('ann')
    const [user, admin] = [ann, boss].map(({ tokens }) => tokens.access_token) as [string, string]
    const [head, payload, signature] = user.split('.') as [string, string, string]
    const promoted = Buffer.from(JSON.stringify({ ...claimsOf(user), roles: ['admin'] })).toString('base64url')

    t.strictSame(await ask('/health'), { status: 'ok' })
    t.strictSame(await ask('/orders', user), { of: ann.tokens.user.id, orders: [] })
    t.strictSame(await ask('/admin/orders', user), [403, 'FORBIDDEN', null])
    t.strictSame(await ask('/admin/orders', admin), { orders: [] })
    for (const path of ['/orders', '/admin/orders']) {
      t.strictSame(await ask(path), [401, 'UNAUTHENTICATED', 'Bearer'])
      t.strictSame(await ask(path, `${head}.${promoted}.${signature}`), INVALID, 'tampered')
      t.strictSame(await ask(path, `${head}.${payload}.`), INVALID, 'unsigned')
      t.strictSame(await ask(path, 'x'), INVALID)
    }
    t.strictSame(await ask('/orders', ann.tokens.refresh_token), INVALID, 'a refresh token')
    t.strictSame(await other('/orders', user), INVALID, 'of another audience')
    t.strictSame(await blind('/orders', user), [503, 'UNAVAILABLE', '1'], 'where the feed is not given to it')

    t.equal((await ann.delete('/user/logout')).status, 200)
    await until(async () => !('of' in (await ask('/orders', user))))
    t.strictSame(await ask('/orders', user), INVALID, 'of a session that has ended')
    t.strictSame(await ask('/admin/orders', admin), { orders: [] }, 'and the other session goes on')

    app.clock.time -= 1000_000
    const past = (await app.login('ann')).tokens.access_token
    t.strictSame(await ask('/orders', past), [401, 'TOKEN_EXPIRED', INVALID[2]])
  })
}

/** Verifier in a program as test/judges.ts asks it. It says what it thinks of each token, by the code of its error. */
const PYTHON_VERIFIER = `
import sys
from verifier import Refused, Verifier
verifier = Verifier(sys.argv[1], sys.argv[2], url=sys.argv[3], poll_seconds=0.02)
print("ready", flush=True)
for line in sys.stdin:
    try:
        verifier.verify(line.strip())
        print("accepted", flush=True)
    except Refused as error:
        print(error.code, flush=True)
`

/** The verifier in Python, which reads from this stand-in, and how to have it read for sure. */
async function pythonVerifier(t: Test) {
  const latchkey = await startStandIn(t)
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-python-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(ROOT, 'examples/service-python/verifier.py'), join(folder, 'verifier.py'))
  const program = join(folder, 'judge.py')
  writeFileSync(program, PYTHON_VERIFIER)
  const judge = await pythonJudge(t, [program, ISSUER, AUDIENCE, latchkey.origin])
  const [now, token] = [Date.now.bind(Date), latchkey.token({ exp: Math.floor(latchkey.clock.time / 1000) + 86_400 })]
  let ahead = 0
  t.intercept(Date, 'now', { value: () => now() + ahead })
  return {
    ...{ latchkey, token, judge },
    /** Moves its clocks, and waits until it has read keys and feed by them. Gives what it then thinks of the token. */
    async after(seconds: number, isFeedNew: boolean): Promise<string> {
      ahead += seconds * 1000
      // Its clocks are moved when it is asked.
      await judge(token)
      if (isFeedNew) latchkey.clock.time += 1000
      // The one that is on its way, and one from its beginning to its end.
      const enough = latchkey.count(FEED) + 3
      await until(async () => latchkey.count(FEED) >= enough)
      return judge(token)
    },
  }
}

t.test('the verifier in Python', { skip: skipWithout('python-jwt', 'python-cryptography') }, async (t) => {
  const nothing = (_: unknown, response: { writeHead: (status: number) => { end: () => void } }) =>
    response.writeHead(502).end()

  await t.test('believes keys for an hour that it cannot read anew', async (t) => {
    const { latchkey, token, judge, after } = await pythonVerifier(t)
    t.equal(await judge(token), 'accepted')
    latchkey.answers[JWKS] = nothing
    t.equal(await after(3590, true), 'accepted')
    t.equal(await after(20, true), 'UNAVAILABLE')
    const { publicKey } = generateKeyPairSync('ed25519')
    for (const keys of [[], [{ ...publicKey.export({ format: 'jwk' }), kid: 'other' }]]) {
      latchkey.answers[JWKS] = json({ keys })
      t.equal(await after(0, true), 'UNAVAILABLE', 'a list without a key for tokens is none')
    }
    delete latchkey.answers[JWKS]
    t.equal(await after(0, true), 'accepted')
  })

  await t.test('believes a feed for 30 s that stands still', async (t) => {
    const { latchkey, token, judge, after } = await pythonVerifier(t)
    t.equal(await judge(token), 'accepted')
    t.equal(await after(20, false), 'accepted')
    t.equal(await after(20, false), 'UNAVAILABLE', 'though it is read')
    t.equal(await after(0, true), 'accepted')
    for (const as_of of [null, '5', 1.5]) {
      latchkey.answers[FEED] = json({ as_of, max_age: 900, sessions: [] })
      t.equal(await after(40, false), 'UNAVAILABLE', `as_of is ${as_of}`)
    }
    delete latchkey.answers[FEED]
    t.equal(await after(0, true), 'accepted')
  })

  await t.test('knows no other keys than those of its list', async (t) => {
    const { latchkey, token, judge } = await pythonVerifier(t)
    t.equal(await judge(token), 'accepted')
    const asked = latchkey.count(JWKS)
    t.equal(await judge(latchkey.token({}, {}, makeKey())), 'INVALID_TOKEN')
    t.equal(latchkey.count(JWKS), asked, 'and asks for none')
  })
})
