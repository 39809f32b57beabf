/** nginx in front of the service, with the configuration that we ship: what a person does, and what a liar tries. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, request, STATUS_CODES } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { type Code, ERRORS } from '../../schemas/errors.ts'
import { createEngine } from '../engines.ts'
import { holdAgainstContract, PASSWORD, randomName } from '../helper.ts'
import { startNginx } from '../nginx.ts'
import { bearer, client, ROOT, register, serve } from '../process.ts'
import { skipWithout } from '../programs.ts'

const skip = skipWithout('nginx')

/** What somebody says who wants to be taken for another. */
const LIES = {
  forwarded: 'for=203.0.113.9;host=evil.example;proto=https',
  'x-forwarded-for': '203.0.113.9',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-proto': 'https',
  'x-request-id': 'mine',
}

async function behindNginx(t: Test, env: Record<string, string> = {}) {
  const url = await createEngine(t, 'sqlite').databaseUrl()
  const service = await serve(t, url, { TRUSTED_PROXIES: '127.0.0.1', ...env })
  const nginx = await startNginx(t, service.port)
  return { service, ...nginx, ask: client(nginx.origin) }
}

/** The error of the table, in the one shape, whoever made it. */
function isError(t: Test, code: Code, answer: { status: number; body: unknown; headers: Headers }) {
  const { status, en } = ERRORS[code]
  t.match(answer, { status, body: { statusCode: status, code, error: STATUS_CODES[status], message: en } })
  const headers = Object.fromEntries(answer.headers)
  holdAgainstContract(t, undefined, 'POST', code, { status, body: answer.body, headers, text: '' })
  t.equal(headers['cache-control'], 'no-store')
  t.equal(headers['content-type'], 'application/json; charset=utf-8')
}

t.test('a person, at / and under a path', { skip }, async (t) => {
  const { origin } = await behindNginx(t)
  for (const place of [origin, `${origin}/latchkey`]) {
    const ask = client(place)
    const { user } = await register(ask)
    const login = await ask('POST /user/login', { email: user.email, password: PASSWORD })
    t.match(await ask('GET /user/me', undefined, bearer(login.body)), { status: 200, body: user })
    t.match(await ask('DELETE /user/logout', undefined, bearer(login.body)), { status: 200 })
    t.match(await ask('GET /user/me', undefined, bearer(login.body)), { status: 401, body: { code: 'INVALID_TOKEN' } })
    t.match(await ask('GET /.well-known/jwks.json'), { status: 200, body: { keys: [{ alg: 'ES256' }] } })
    for (const url of ['/health/ready', '/docs', '/docs/json']) t.match(await ask(`GET ${url}`), { status: 200 }, url)
  }
})

t.test('a session shows the address of the client, whatever the client says', { skip }, async (t) => {
  const { port, ask } = await behindNginx(t)
  const { user } = await register(ask)
  for (const headers of [{}, LIES, { 'X-Forwarded-For': ['203.0.113.9', '127.0.0.1'] }]) {
    // Any address of the loopback network will do; nginx itself has another one.
    const sending = request({
      ...{ port, host: '127.0.0.1', localAddress: '127.0.0.2', method: 'POST', path: '/user/login' },
      headers: { ...headers, 'content-type': 'application/json' },
    })
    sending.end(JSON.stringify({ email: user.email, password: PASSWORD }))
    const [response] = await once(sending, 'response')
    const login = JSON.parse(await text(response))
    const { body } = await ask('GET /user/sessions', undefined, bearer(login))
    t.match(body.sessions[0], { current: true, ip: '127.0.0.2' })
    t.match(response.headers['x-request-id'], /^[0-9a-f]{32}$/, "nginx' id, under which both of them log")
  }
})

t.test('errors of Latchkey arrive as they are', { skip }, async (t) => {
  const { ask } = await behindNginx(t, { HASH_CONCURRENCY: '1', HASH_MAX_WAIT_MS: '1' })
  isError(t, 'BODY_TOO_LARGE', await ask('POST /user/login', 'x'.repeat(33 * 1024)))
  // nginx would say it in English.
  const inKorean = await ask('POST /user/login', 'x'.repeat(33 * 1024), { 'accept-language': 'ko' })
  t.match(inKorean, { status: 413, body: { message: ERRORS.BODY_TOO_LARGE.ko } })
  isError(
    t,
    'HEADERS_TOO_LARGE',
    await ask('GET /user/me', undefined, { a: 'x'.repeat(7000), b: 'x'.repeat(7000), c: 'x'.repeat(7000) }),
  )
  isError(t, 'NOT_FOUND', await ask('GET /latchkey/'))
  const body = { username: randomName(), password: PASSWORD }
  const logins = await Promise.all(Array.from({ length: 8 }, () => ask('POST /user/login', body)))
  isError(t, 'OVERLOADED', logins.find(({ status }) => status === 503)!)
})

t.test("nginx' own errors look the same", { skip }, async (t) => {
  const { ask, service } = await behindNginx(t)
  isError(t, 'BODY_TOO_LARGE', await ask('POST /user/login', 'x'.repeat(65 * 1024)))
  service.signal('SIGTERM')
  await service.ended
  isError(t, 'UNAVAILABLE', await ask('POST /user/login', {}))
})

t.test('what the service is told, and over how many connections', { skip }, async (t) => {
  const told: IncomingHttpHeaders[] = []
  let connections = 0
  const upstream = createServer(({ headers }, response) => {
    told.push(headers)
    response.end()
  }).on('connection', () => connections++)
  await once(upstream.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => upstream.close())
  const nginx = await startNginx(t, (upstream.address() as AddressInfo).port)
  const ask = client(nginx.origin)
  for (let round = 0; round < 5; round++) await ask('GET /health/live', undefined, LIES)
  t.equal(connections, 1)
  const { 'x-request-id': id, ...rest } = told[0]!
  t.match(id, /^[0-9a-f]{32}$/)
  const names = ['host', 'connection', 'forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto']
  t.strictSame(
    names.map((name) => rest[name]),
    ['127.0.0.1', undefined, undefined, '127.0.0.1', '127.0.0.1', 'http'],
  )
})

t.test('the command of docs/container.md fills the template', { skip }, async (t) => {
  const page = readFileSync(join(ROOT, 'docs/container.md'), 'utf8')
  const [, command] = /<!-- run by: test\/deploy\/nginx\.test\.ts -->\n\n```sh\n(.*?)```/s.exec(page)!
  const folder = t.testdir({ deploy: t.fixture('symlink', join(ROOT, 'deploy')) })
  execFileSync('sh', ['-ec', command!], { cwd: folder })
  const filled = readFileSync(join(folder, 'latchkey.conf'), 'utf8')
  t.match(filled, 'server 127.0.0.1:3000;')
  t.match(filled, 'listen 8080;')
  t.notMatch(filled, '${')
})
