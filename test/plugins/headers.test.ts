/** CORS: the pages of CORS_ORIGINS may read what is answered, whatever it is; no other page may. */
import type { Socket } from 'node:net'
import t from 'tap'
import { createHint } from '../../plugins/headers.ts'
import { createEngine } from '../engines.ts'
import { type Answer, PASSWORD, startApp } from '../helper.ts'

const PAGE = 'https://app.example.com'
const CORS_ORIGINS = `${PAGE}, http://localhost:5173`

const corsOf = ({ headers }: Answer) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('access-control-')))

t.test('a page of CORS_ORIGINS', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'), { CORS_ORIGINS })

  await t.test('may read every answer, refusals too', async (t) => {
    const ann = await app.register('ann')
    for (const origin of [PAGE, 'http://localhost:5173']) {
      const answers = [
        await ann.get('/user/me', { origin }),
        await app.anon.get('/user/me', { origin }),
        await app.anon.get('/nowhere', { origin }),
        await app.anon.ask('PUT', '/user/me', undefined, { origin }),
        await app.anon.post('/user/login', '{', { origin, 'content-type': 'application/json' }),
        await app.anon.get('/user/me', { origin, expect: 'more' }),
      ]
      t.strictSame(
        answers.map(({ status }) => status),
        [200, 401, 404, 405, 400, 417],
      )
      for (const answer of answers) {
        t.strictSame(corsOf(answer), {
          'access-control-allow-origin': origin,
          'access-control-expose-headers': 'X-Request-Id, Retry-After, WWW-Authenticate',
        })
        t.match(String(answer.headers.vary), /^Origin/, 'no cache gives one page the answer of another')
      }
    }
  })

  await t.test('may ask with a token and JSON, as its preflight says, without a token', async (t) => {
    const asks = { 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'authorization' }
    for (const path of ['/user/me', '/user/password', '/nowhere']) {
      const answer = await app.anon.ask('OPTIONS', path, undefined, { origin: PAGE, ...asks })
      t.equal(answer.status, 204)
      t.strictSame(corsOf(answer), {
        'access-control-allow-origin': PAGE,
        'access-control-expose-headers': 'X-Request-Id, Retry-After, WWW-Authenticate',
        'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
        'access-control-allow-headers': 'Authorization, Content-Type',
        'access-control-max-age': '600',
      })
    }
  })

  await t.test('an OPTIONS that is no preflight says what the address takes', async (t) => {
    for (const headers of [{ origin: PAGE }, {}]) {
      const answer = await app.anon.ask('OPTIONS', '/user/register', undefined, headers as Record<string, string>)
      t.match(answer, { status: 204, headers: { allow: 'POST, OPTIONS' } })
      t.match(await app.anon.ask('OPTIONS', '/nowhere', undefined, headers as Record<string, string>), { status: 404 })
    }
  })

  await t.test('any other page may read nothing', async (t) => {
    const others = [
      'https://app.example.com.evil.example',
      'https://evil.example',
      'null',
      'http://app.example.com',
      '',
    ]
    for (const origin of others) {
      const login = await app.anon.post('/user/login', { username: 'ann', password: PASSWORD }, { origin })
      t.equal(login.status, 200)
      t.strictSame(corsOf(login), {}, origin)
      t.match(String(login.headers.vary), 'Origin')
      const preflight = { origin, 'access-control-request-method': 'PATCH' }
      const answer = await app.anon.ask('OPTIONS', '/user/me', undefined, preflight)
      t.match(answer, { status: 204, headers: { allow: /PATCH/ } })
      t.strictSame(corsOf(answer), {}, origin)
    }
  })
})

t.test('without CORS_ORIGINS no page may', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const answer = await app.anon.get('/health/live', { origin: PAGE })
  t.strictSame(corsOf(answer), {})
  t.equal(answer.headers.vary, undefined)
})

t.test('a private peer whose X-Forwarded-For is not believed is named once, with the setting', async (t) => {
  const cases: [peer: string, proxies: string, forwarded: boolean, named: boolean][] = [
    ['10.1.2.3', '', true, true],
    ['172.16.0.1', '', true, true],
    ['192.168.1.1', '', true, true],
    ['100.64.0.1', '', true, true],
    ['127.0.0.1', '', true, true],
    ['169.254.1.1', '', true, true],
    ['::1', '', true, true],
    ['::ffff:10.1.2.3', '', true, true],
    ['fd00::1', '', true, true],
    ['fe80::1', '', true, true],
    ['10.1.2.3', '10.2.0.0/16', true, true],
    ['10.1.2.3', '10.1.0.0/16', true, false],
    ['10.1.2.3', '', false, false],
    ['172.32.0.1', '', true, false],
    ['198.51.100.1', '', true, false],
    ['2001:db8::1', '', true, false],
  ]
  for (const [remoteAddress, TRUSTED_PROXIES, forwarded, named] of cases) {
    const warnings: unknown[][] = []
    const hint = createHint({ TRUSTED_PROXIES: TRUSTED_PROXIES.split(',').filter(Boolean) }, log(warnings))
    const headers = forwarded ? { 'x-forwarded-for': '198.51.100.1' } : {}
    for (let round = 0; round < 3; round++) hint({ headers, socket: { remoteAddress } as Socket })
    const line = [{ proxy: remoteAddress }, /TRUSTED_PROXIES/]
    t.match(warnings, named ? [line] : [], `${remoteAddress} ${TRUSTED_PROXIES} ${forwarded}`)
    t.equal(warnings.length, Number(named))
  }

  const app = await startApp(t, createEngine(t, 'sqlite'), { TRUSTED_PROXIES: '10.2.0.0/16' })
  const warnings: unknown[][] = []
  Object.assign(app.server.log, log(warnings))
  for (const remoteAddress of ['198.51.100.1', '10.2.0.1', '10.1.0.1', '10.1.0.2', '198.51.100.1'])
    await app.server.inject({ url: '/nowhere', remoteAddress, headers: { 'x-forwarded-for': '198.51.100.1' } })
  t.strictSame(
    warnings.map(([told]) => told),
    [{ proxy: '10.1.0.1' }],
  )
})

const log = (warnings: unknown[][]) => ({ warn: (...args: unknown[]) => void warnings.push(args) })
