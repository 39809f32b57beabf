/** The services of examples/ as they stand, which judge Latchkey's tokens by themselves, against the service on a real port. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createEngine } from './engines.ts'
import { claimsOf, SERVICE, startApp } from './helper.ts'
import { type Ask, client, ROOT, start, until } from './process.ts'
import { need, skipWithout } from './programs.ts'
import { listen } from './raw.ts'

const TOOLS = join(ROOT, 'test/tools/node_modules')

/** The Express example as somebody has it who took it, with the packages that it imports. */
function expressService(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-express-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(ROOT, 'examples/service-express'), folder, { recursive: true })
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(join(TOOLS, 'express'), join(folder, 'node_modules/express'))
  symlinkSync(ROOT, join(folder, 'node_modules/latchkey'))
  return join(folder, 'service.js')
}

const SERVICES: Record<string, { skip?: string | false; command: (t: Test) => string[] }> = {
  fastify: { command: () => [process.execPath, 'examples/service-fastify/service.js'] },
  express: {
    skip: existsSync(join(TOOLS, 'express')) ? false : 'not installed: express',
    command: (t) => [process.execPath, expressService(t)],
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
