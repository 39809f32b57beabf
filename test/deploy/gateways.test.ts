/**
 * The recipes in deploy/ with the real programs: one list of what each of them has to do, in front of Latchkey and of an
 * app that they protect by its /auth/verify.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { sessionsOf } from '../../plugins/sessions/index.ts'
import { ERRORS } from '../../schemas/errors.ts'
import { createEngine } from '../engines.ts'
import { encode, es256 } from '../forgeries.ts'
import { type App, exportKeys, GATEWAYS, type Jwks, startProtected, startWire } from '../gateway.ts'
import { claimsOf, PASSWORD, type Person, startApp } from '../helper.ts'
import { ROOT } from '../process.ts'
import { skipWithout } from '../programs.ts'
import { exchange, listen, openWire } from '../raw.ts'

const latchkey = await startApp(t, createEngine(t, 'sqlite'), { TRUSTED_PROXIES: '127.0.0.1' })
const latchkeyPort = await listen(latchkey.server)
const jwks: Jwks = (await latchkey.anon.get('/.well-known/jwks.json')).body
const issuer = latchkey.config.ISSUER

const ann = await latchkey.register('ann')
await latchkey.register('eve')
await latchkey.sql("UPDATE users SET roles = 'admin editor' WHERE username = 'eve'")
const eve = await latchkey.login('eve')

/** A token that is dead now. */
async function expired(): Promise<string> {
  latchkey.clock.time -= 3_600_000
  const { tokens } = await latchkey.login('ann')
  // Not only the clock: in the meantime the list of ended sessions may have been read by it.
  await latchkey.advance(3600)
  return tokens.access_token
}

type Headers = Record<string, string | string[]>

interface Answer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  text: string
}

/** One request as Node.js sends it, with the address as it stands. */
async function send(
  port: number,
  method: string,
  path: string,
  headers: Headers = {},
  body?: string[],
  localAddress = '127.0.0.2',
): Promise<Answer> {
  // Any address of the loopback network will do; the gateway has another one.
  const sending = request({ port, host: '127.0.0.1', localAddress, method, path, headers, agent: false })
  for (const part of body ?? []) sending.write(part)
  sending.end()
  const [response] = await once(sending, 'response')
  return { status: response.statusCode, headers: response.headers, text: await text(response) }
}

const bearer = ({ tokens }: Person) => ({ authorization: `Bearer ${tokens.access_token}` })

/** As a framework has names that makes no difference between - and _ and the like. */
const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '-')

/** Each identity that the app could take for the service's, by whatever spelling it had. */
function identities(app: App): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const [name, value] of app.seen.at(-1)!.headers)
    if (plain(name).startsWith('x-auth') && value !== '') found[plain(name)] = [...(found[plain(name)] ?? []), value]
  return found
}

function identityOf({ tokens }: Person): Record<string, string[]> {
  const { sub, sid, roles } = claimsOf(tokens.access_token)
  const own = { 'x-auth-user-id': [sub], 'x-auth-session-id': [sid] }
  return roles.length > 0 ? { ...own, 'x-auth-roles': [roles.join()] } : own
}

/** What somebody says who wants to be taken for another. */
const LIES: Headers[] = [
  { 'X-Auth-User-Id': 'mine', 'X-Auth-Session-Id': 'mine', 'X-Auth-Roles': 'admin' },
  { 'x-auth-user-id': ['mine', 'theirs'], 'x-auth-roles': ['admin', 'root'] },
  { 'X-AUTH-USER-ID': 'mine', 'X-AUTH-ROLES': 'admin' },
  { x_auth_user_id: 'mine', X_Auth_Session_Id: 'mine', x_auth_roles: 'admin' },
  { 'X.Auth.User.Id': 'mine', 'X.Auth.Session.Id': 'mine', 'x.auth.roles': 'admin' },
  { 'X-Auth_User.Id': 'mine', 'X_Auth-Roles': 'admin', 'x.auth-session_id': 'mine' },
  { 'X-Auth-User-Id': '', 'X-Auth-Roles': '' },
  // Whatever else a name may hold (RFC 9110, section 5.6.2).
  ...[..."!#$%&'*+^`|~"].map((c) => ({ [`X${c}Auth${c}User${c}Id`]: 'mine', [`x${c}AUTH-Roles`]: 'admin' })),
  Object.fromEntries([..."!#$%&'*+^`|~"].map((c) => [`X-Auth${c}Roles`, 'admin'])),
]

/** What makes another request of this one, for frameworks that look at it. */
const OVERRIDES: Headers = {
  'X-HTTP-Method-Override': 'DELETE',
  'x-http-method': 'DELETE',
  'X-Method-Override': 'DELETE',
  x_http_method_override: 'DELETE',
}

/** Addresses that are, for one or the other reader, something else than they seem. */
const ODD = [
  ...['/a/..;/app', '/a/%2e%2e/app', '//app', '/user/../app', '/user/%2e%2e/app', '/user/..%2fapp', '/user/..;/app'],
  ...['/user/%2e%2e%2fapp', '/user//../app', '/user/.%2e/app', '/user\\..\\app', '/user/..%5capp', '//user/../app'],
  ...['/.well-known/jwks.json/../../app', '/.well-known/jwks.json/..;/app', '/.well-known/jwks.json%2f..%2fapp'],
  ...[
    '/.well-known/jwks.json;/app',
    '/.well-known/jwks.json/',
    '/.well-known/openid-configuration/../../app',
    '/.well-known/openid-configuration/..;/app',
    '/.well-known/openid-configurationx',
    '/.well-known/oauth-authorization-server/%2e%2e%2fapp',
    '/.well-known/jwks.json%00',
    '/user%2fapp',
    '/%75ser/../app',
  ],
  ...[
    '/USER/login',
    '/user',
    '/userx',
    '/user;/app',
    '/app%00',
    '/app%0d%0aX-Auth-User-Id:%20mine',
    '/%2e%2e/app',
    '/./app',
  ],
  ...[
    'http://evil.example/app',
    'http://evil.example//user/../app',
    'http://127.0.0.1/user/..;/app',
    '/_latchkey/verify',
  ],
  ...[
    '/auth/verify',
    '/auth/verify?x',
    '/oauth/introspect',
    '/.well-known/revocations',
    '/health/ready',
    '/docs/json',
    '/?/user/',
    '/user/..#x',
    '/user/#/../app',
    '/.well-known/jwks.json#/../../app',
  ],
]

/** Spellings of what only those with the role may ask for. */
const ADMIN = [
  ...[
    '/admin',
    '/admin/',
    '/admin/x',
    '/admin?x',
    '/%61dmin/x',
    '/x/../admin/x',
    '/x/..;/admin/x',
    '//admin/x',
    '/./admin/x',
  ],
  ...[
    '/admin;x/y',
    '/x/%2e%2e/admin',
    '/%2fadmin',
    '/admin%2fx',
    '/x\\..\\admin',
    '/.;/admin',
    '/;/admin',
    '/%61%64min',
  ],
  ...['/admin/..#x', '/admin/.#', '/admin#x', '/admin/x?#', '/x#/../admin', '/x/#/../../admin'],
  ...['http://evil.example/admin/x', 'http://evil.example//admin', '/%5cadmin', '/x/.%2e/admin', '/admin%3bx'],
]

const HELLO = [
  ...['GET /socket HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
  ...['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', ''],
].join('\r\n')

for (const [name, startGateway] of Object.entries(GATEWAYS)) {
  t.test(name, { skip: skipWithout(name as keyof typeof GATEWAYS) }, async (t) => {
    const app = await startProtected(t)
    const wire = await startWire(t, latchkeyPort)
    const port = await startGateway(t, { latchkey: wire.port, app: app.port, issuer, jwks })
    const ask = (method: string, path: string, headers?: Headers, body?: string[]) =>
      send(port, method, path, headers, body)

    /** Nothing of this came to the app. */
    async function keptOut(t: Test, what: string, asking: Promise<{ status: number } | undefined>, statuses: number[]) {
      const before = app.seen.length
      const answer = await asking
      t.ok(statuses.includes(answer!.status), `${what}: ${answer!.status}`)
      t.equal(app.seen.length, before, `${what} does not come to the app`)
    }

    await t.test('the app sees who it is, and no word of the client on that', async (t) => {
      for (const person of [ann, eve]) {
        for (const lies of [{}, ...LIES]) {
          const { status, headers } = await ask('GET', '/x?y=1&role=nosuch', { ...bearer(person), ...lies })
          t.match({ status, headers }, { status: 200, headers: { 'x-app': 'yes' } })
          t.strictSame(identities(app), identityOf(person), JSON.stringify(lies))
          t.equal(app.seen.at(-1)!.url, '/x?y=1&role=nosuch')
        }
      }
      // Names in Connection are for the next hop alone; what the gateway has set is not the client's to take away.
      const connection = 'close, X-Auth-User-Id, X-Auth-Roles, X-Auth-Session-Id'
      const sent = `GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: ${bearer(eve).authorization}\r\nConnection: ${connection}\r\n\r\n`
      t.match(await exchange(port, sent), { status: 200 })
      t.strictSame(identities(app), identityOf(eve))
      // What comes after the body, said or not. (HAProxy 2.6 takes away none of it that is not said: docs/gateways.md.)
      const said = 'Trailer: X-Auth-User-Id, X-Auth-Roles\r\n'
      for (const trailer of name === 'haproxy' ? [said] : [said, '']) {
        const before = app.seen.length
        const head = `POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: ${bearer(ann).authorization}\r\nTE: trailers\r\n`
        const body = '1\r\nx\r\n0\r\nX-Auth-User-Id: mine\r\nX-Auth-Roles: admin\r\n\r\n'
        const answer = await exchange(port, `${head}${trailer}Transfer-Encoding: chunked\r\n\r\n${body}`)
        t.ok([200, 400].includes(answer!.status))
        if (app.seen.length > before) t.strictSame(identities(app), identityOf(ann), `trailers: ${trailer}`)
      }
    })

    await t.test('odd addresses get in nowhere without a token', async (t) => {
      for (const path of ODD)
        for (const more of [
          '',
          'Origin: https://a.example\r\n',
          'X-Original-URI: /user/me\r\nX-Forwarded-Uri: /user/me\r\n',
        ])
          for (const method of ['GET', 'POST', 'OPTIONS']) {
            const asking = exchange(port, `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${more}\r\n`)
            await keptOut(t, `${method} ${path}`, asking, [400, 401, 404, 405])
          }
    })

    await t.test('a role, in every spelling of the address', async (t) => {
      for (const path of ADMIN) {
        const asking = exchange(
          port,
          `GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: ${bearer(ann).authorization}\r\n\r\n`,
        )
        await keptOut(t, path, asking, [400, 403])
      }
      for (const path of ['/admin/..#x', '/x#y', '/x?y#z']) {
        const sent = `GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: ${bearer(eve).authorization}\r\n\r\n`
        await keptOut(t, `${path} by whom it may`, exchange(port, sent), [400])
      }
      await keptOut(t, 'a query of the own', ask('GET', '/admin?role=editor', bearer(ann)), [403])
      const refused = await ask('GET', '/admin/x', { ...bearer(ann), 'accept-language': 'ko' })
      t.match(JSON.parse(refused.text), { code: 'FORBIDDEN', message: ERRORS.FORBIDDEN.ko })
      await keptOut(t, 'nobody', ask('GET', '/admin/x'), [401])
      for (const path of ['/admin', '/admin/x?role=nosuch'])
        t.match(await ask('GET', path, bearer(eve)), { status: 200 })
      t.strictSame(identities(app), identityOf(eve))
    })

    await t.test('a refusal is as Latchkey has it', async (t) => {
      const dead = { authorization: `Bearer ${await expired()}` }
      const cases: [headers: Record<string, string>, code: keyof typeof ERRORS][] = [
        [{}, 'UNAUTHENTICATED'],
        [{ authorization: 'Basic eA==' }, 'UNAUTHENTICATED'],
        [{ authorization: 'Bearer x' }, 'INVALID_TOKEN'],
        [{ authorization: `${bearer(ann).authorization}x` }, 'INVALID_TOKEN'],
        [dead, 'TOKEN_EXPIRED'],
      ]
      for (const [headers, code] of cases) {
        const answer = await ask('GET', '/x', headers)
        const own = await latchkey.anon.get('/user/me', headers)
        t.equal(answer.status, 401, code)
        t.equal(answer.headers['www-authenticate'], own.headers['www-authenticate'], code)
        t.strictSame(JSON.parse(answer.text), own.body, code)
        t.match(answer.headers, { 'x-request-id': /^[\w.-]{1,64}$/, 'cache-control': 'no-store' })
        await keptOut(t, code, ask('POST', '/x', headers, ['a body']), [401])
        const head = await ask('HEAD', '/x', headers)
        t.match({ ...head, code: own.body.code }, { status: 401, text: '', code })
      }
    })

    await t.test('one Authorization is judged, and no other comes to the app', async (t) => {
      const good = `Authorization: ${bearer(ann).authorization}\r\n`
      for (const other of ['Authorization: Bearer x\r\n', `authorization: ${bearer(eve).authorization}\r\n`])
        for (const both of [good + other, other + good]) {
          const before = app.seen.length
          const answer = await exchange(port, `GET /x HTTP/1.1\r\nHost: a\r\n${both}\r\n`)
          if (app.seen.length === before) t.match(String(answer!.status), /^40[01]$/)
          else {
            const tokens = app.seen.at(-1)!.headers.filter(([name]) => plain(name) === 'authorization')
            t.equal(tokens.length, 1)
            const claims = claimsOf(tokens[0]![1].split(' ')[1]!)
            t.strictSame(identities(app)['x-auth-user-id'], [claims.sub])
          }
        }
    })

    await t.test('a session that has ended is refused at once', async (t) => {
      const short = await latchkey.login('ann')
      t.match(await ask('GET', '/x', bearer(short)), { status: 200 })
      t.match(await ask('DELETE', '/user/logout', bearer(short)), { status: 200 })
      const answer = ask('GET', '/x', bearer(short))
      await keptOut(t, 'the ended session', answer, [401])
      t.match(JSON.parse((await answer).text), { code: 'INVALID_TOKEN' })
      t.match(await ask('GET', '/x', bearer(ann)), { status: 200 }, 'and no other')
    })

    await t.test('methods and bodies pass', async (t) => {
      const large = 'x'.repeat(100_000)
      for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
        t.match(await ask(method, `/x/${method}`, bearer(ann)), { status: 200, headers: { 'x-app': 'yes' } }, method)
        t.match(app.seen.at(-1), { method, url: `/x/${method}` })
      }
      for (const headers of [{ 'content-length': String(2 * large.length) }, { 'transfer-encoding': 'chunked' }]) {
        const type = { 'content-type': 'application/json', ...headers }
        t.match(await ask('POST', '/x', { ...bearer(ann), ...type }, [large, large]), { status: 200 })
        t.equal(app.seen.at(-1)!.body.toString(), large + large)
        t.ok(
          app.seen
            .at(-1)!
            .headers.some(([name, value]) => plain(name) === 'content-type' && value === 'application/json'),
        )
      }
      const type = { ...bearer(ann), 'content-type': 'application/json' }
      // nginx has limits of its own.
      const tooMuch: [path: string, bytes: number][] =
        name === 'nginx'
          ? [
              ['/user/login', 70_000],
              ['/x', 1_100_000],
            ]
          : []
      for (const [path, bytes] of tooMuch) {
        const answer = await ask('POST', path, { ...type, 'content-length': String(bytes) }, ['x'.repeat(bytes)])
        t.match(answer, { status: 413, headers: { 'cache-control': 'no-store', 'x-request-id': /./ } }, path)
        t.match(JSON.parse(answer.text), { code: 'BODY_TOO_LARGE', message: ERRORS.BODY_TOO_LARGE.en })
      }
      for (const status of [401, 403, 404, 500]) {
        const answer = await ask('GET', `/status/${status}`, bearer(ann))
        t.match(answer, { status, text: `the app's own ${status}` }, "the app's own answers are left alone")
      }
    })

    await t.test('a WebSocket', async (t) => {
      const socket = await openWire(port)
      socket.send(`${HELLO}Authorization: ${bearer(ann).authorization}\r\n\r\n`)
      t.match(await socket.next(), { status: 101, headers: { upgrade: 'websocket' } })
      t.strictSame(identities(app), identityOf(ann))
      // What comes now has the form of an answer, so that the wire can read it.
      socket.send('HTTP/1.1 299 Echo\r\ncontent-length: 5\r\n\r\nhello')
      t.match(await socket.next(), { status: 299, text: 'hello' })
      socket.socket.destroy()
      await keptOut(t, 'an upgrade', exchange(port, `${HELLO}\r\n`), [401])
    })

    await t.test('nothing but a WebSocket gets a tunnel', async (t) => {
      const good = `Authorization: ${bearer(ann).authorization}\r\n`
      const preflight = 'Origin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n'
      const wanted = ['websocket', 'WebSocket', 'h2c', 'anything', 'h2c, websocket', 'h2c\r\nUpgrade: websocket']
      for (const method of ['GET', 'POST', 'OPTIONS', 'PUT'])
        for (const upgrade of wanted)
          for (const more of ['', preflight, good, good + preflight]) {
            const sent = HELLO.replace('GET', method)
              .replace('Upgrade: websocket', `Upgrade: ${upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__`)
              .replace('Connection: Upgrade', 'Connection: Upgrade, HTTP2-Settings')
            const before = app.seen.length
            const answer = await exchange(port, `${sent}${more}\r\n`)
            const what = `${method} ${upgrade} ${more}`
            const seen = app.seen.slice(before).flatMap(({ headers }) => headers)
            const hopped = seen.filter(([name]) => /^(upgrade|http2-settings)$/i.test(name))
            const tunnel = answer!.status === 101
            t.strictSame(hopped.map(String).join().toLowerCase(), tunnel ? 'upgrade,websocket' : '', what)
            if (tunnel) t.ok(method === 'GET' && more.startsWith(good) && /websocket/i.test(upgrade), what)
            else t.ok([200, 401].includes(answer!.status), what)
          }
      for (const more of ['', good]) {
        const asking = exchange(port, `CONNECT a:80 HTTP/1.1\r\nHost: a\r\n${more}\r\n`)
        await keptOut(t, `CONNECT ${more}`, asking, [400, 401, 404, 405])
      }
    })

    await t.test('a preflight passes, not knowing who asks', async (t) => {
      const preflight = { origin: 'https://app.example.com', 'access-control-request-method': 'PUT' }
      for (const path of ['/x', '/admin/x']) {
        for (const lies of LIES) {
          t.match(await ask('OPTIONS', path, { ...preflight, ...lies }), { status: 200, headers: { 'x-app': 'yes' } })
          t.match(app.seen.at(-1), { method: 'OPTIONS', url: path })
          t.strictSame(identities(app), {})
        }
        const dressed = { ...OVERRIDES, ...bearer(ann), 'content-length': '0' }
        t.match(await ask('OPTIONS', `${path}?y=%20z`, { ...preflight, ...dressed }), { status: 200 })
        t.equal(app.seen.at(-1)!.url, `${path}?y=%20z`)
        const kept = app.seen.at(-1)!.headers.map(([name]) => plain(name))
        t.strictSame(
          kept.filter((name) => /method-override|http-method|authorization/.test(name)),
          [],
          'nothing makes another request of it',
        )
        t.ok(kept.includes('origin') && kept.includes('access-control-request-method'))
        for (const length of [{ 'content-length': '2' }, { 'transfer-encoding': 'chunked' }] as Headers[])
          await keptOut(t, 'a body', ask('OPTIONS', path, { ...preflight, ...length }, ['{}']), [400, 401])
        const own = await ask('OPTIONS', path, { ...preflight, ...bearer(eve), 'content-length': '2' }, ['{}'])
        t.match(own, { status: 200 }, 'with a token it is a request like others')
        t.equal(app.seen.at(-1)!.body.toString(), '{}')
        t.strictSame(identities(app), identityOf(eve))
        for (const method of ['GET', 'POST', 'HEAD']) await keptOut(t, method, ask(method, path, preflight), [401])
        await keptOut(t, 'no preflight', ask('OPTIONS', path), [401])
        await keptOut(t, 'half of one', ask('OPTIONS', path, { origin: preflight.origin }), [401])
      }
    })

    await t.test('a large head is refused, and is no fault of ours', async (t) => {
      const { authorization } = bearer(ann)
      const heads: [what: string, headers: Headers, path?: string][] = [
        ['a token', { authorization: `Bearer ${'x'.repeat(16_330)}` }],
        ['a token', { authorization: `Bearer ${'x'.repeat(8_000)}` }],
        ['a token like ours', { authorization: `Bearer ${['x'.repeat(5_000), 'x'.repeat(5_000), 'x'].join('.')}` }],
        ['a language', { authorization, 'accept-language': 'a'.repeat(16_000) }],
        ['a language', { authorization, 'accept-language': 'a'.repeat(8_000) }],
        ['a host', { authorization, host: 'a'.repeat(13_000) }],
        ['a host', { authorization, host: 'a'.repeat(8_000) }],
        ['a host', { authorization, host: 'a'.repeat(256) }],
        ['a path', { authorization }, `/${'a'.repeat(13_000)}`],
        ['two cookies and a language', { ...bearer(ann), cookie: 'a'.repeat(7_000), x: 'a'.repeat(5_000) }],
      ]
      // Each of which fits, but not all of them together.
      const fits = { authorization: `Bearer ${'x'.repeat(8_150)}`, 'accept-language': 'a'.repeat(8_150) }
      heads.push(['a token and a language', { ...fits, host: 'a'.repeat(255) }])
      const full = { authorization: `Bearer ${'x'.repeat(8_168)}`, host: 'a'.repeat(8_184) }
      heads.push(['a token and a host', { ...full, 'accept-language': 'a'.repeat(100) }])
      for (let size = 13_000; size < 17_000; size += 250)
        for (const one of ['cookie', 'accept-language']) heads.push([one, { authorization, [one]: 'a'.repeat(size) }])
      for (const [what, headers, path = '/x'] of heads)
        for (const address of [path, '/user/me']) {
          const { status } = await ask('GET', address, headers)
          const size = JSON.stringify(headers).length
          t.ok(status < 500, `${address.slice(0, 9)}, ${what}, ${size} bytes: ${status}`)
        }
      // What is nothing to Latchkey, as far as the gateway takes it.
      const much = 'a'.repeat(name === 'caddy' ? 20_000 : 7_000)
      for (const one of ['cookie', 'referer', 'sec-ch-ua', 'user-agent'])
        t.match(await ask('GET', '/x', { authorization, [one]: much }), { status: 200 }, one)
      t.match(await ask('GET', `/${much}`, { authorization }), { status: 200 }, 'the address')
      t.match(await ask('GET', '/x', { authorization, 'accept-language': 'a'.repeat(7_000) }), { status: 200 })
    })

    await t.test('Latchkey knows where people come from, whatever they say', async (t) => {
      for (const headers of [{}, { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9' }] as Headers[]) {
        const body = JSON.stringify({ username: 'ann', password: PASSWORD })
        const answer = await ask('POST', '/user/login', { ...headers, 'content-type': 'application/json' }, [body])
        const { access_token } = JSON.parse(answer.text)
        const { body: list } = await latchkey.anon.get('/user/sessions', { authorization: `Bearer ${access_token}` })
        const current = list.sessions.find((session: { current: boolean }) => session.current)
        t.equal(current.ip, '127.0.0.2')
      }
      await ask('GET', '/x', { ...bearer(ann), 'x-forwarded-for': '203.0.113.9' })
      const told = app.seen.at(-1)!.headers.filter(([name]) => plain(name) === 'x-forwarded-for')
      t.strictSame(
        told.map(([, value]) => value),
        ['127.0.0.2'],
        'the app knows it too',
      )
      t.strictSame(JSON.parse((await ask('GET', '/.well-known/jwks.json')).text), jwks)
      const own = await latchkey.anon.get('/.well-known/openid-configuration')
      for (const name of ['openid-configuration', 'oauth-authorization-server']) {
        t.strictSame(JSON.parse((await ask('GET', `/.well-known/${name}`)).text), own.body)
        // The issuer here has no path, so that it is not there; but it is Latchkey that says so.
        t.match(JSON.parse((await ask('GET', `/.well-known/${name}/path`)).text), { code: 'NOT_FOUND' })
      }
    })

    await t.test('where Latchkey cannot judge, or is not there, it is 503', async (t) => {
      const { ended } = sessionsOf(latchkey.server)
      const { isFresh } = ended
      ended.isFresh = () => false
      const stale = await ask('GET', '/x', bearer(ann))
      ended.isFresh = isFresh
      await wire.cut()
      const away = await ask('GET', '/x', bearer(ann))
      const admin = await ask('POST', '/admin/x', bearer(eve), ['a body'])
      const login = await ask('POST', '/user/login', { 'content-type': 'application/json' }, ['{}'])
      await wire.mend()
      for (const answer of [stale, away, admin, login]) {
        t.match(answer, { status: 503, headers: { 'retry-after': /^\d+$/, 'content-type': /^application\/json/ } })
        t.match(JSON.parse(answer.text), { statusCode: 503, code: 'UNAVAILABLE', message: ERRORS.UNAVAILABLE.en })
        t.match(answer.headers, { 'cache-control': 'no-store', 'x-request-id': /^[\w.-]{1,64}$/ })
      }
      t.match(await ask('GET', '/x', bearer(ann)), { status: 200 }, 'and is back')
    })
  })
}

t.test('what HAProxy judges by itself, without a word from Latchkey', { skip: skipWithout('haproxy') }, async (t) => {
  const app = await startProtected(t)
  let asked = 0
  const credulous = createServer((_request, response) => {
    asked++
    response.writeHead(200, { 'x-auth-user-id': 'x', 'content-length': 0 }).end()
  })
  await once(credulous.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => credulous.close())
  const pairs = [1, 2].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }))
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const [first, second, stranger] = [...pairs, generateKeyPairSync('ec', { namedCurve: 'P-256' })].map(
    (pair) => pair.privateKey,
  )
  const keys = pairs.map(({ publicKey }, at) => ({ ...publicKey.export({ format: 'jwk' }), kid: `key-${at + 1}` }))
  keys.push({ ...rsa.publicKey.export({ format: 'jwk' }), kid: 'key-rsa' })
  const behind = { latchkey: (credulous.address() as AddressInfo).port, app: app.port, issuer, jwks: { keys } }
  const port = await GATEWAYS.haproxy(t, behind)

  const now = Math.floor(Date.now() / 1000)
  const header = { alg: 'ES256', typ: 'at+jwt', kid: 'key-1' }
  const claims = { ...claimsOf(ann.tokens.access_token), iat: now, exp: now + 900 }
  const make = (head: object, payload: unknown, key = first!) => {
    const text = `${encode(head)}.${encode(payload)}`
    return `${text}.${es256(text, key)}`
  }
  const good = make(header, claims)
  const without = (name: string) => Object.fromEntries(Object.entries(claims).filter(([member]) => member !== name))
  const byHmac = (secret: string | Buffer, kid = 'key-1') => {
    const text = `${encode({ ...header, alg: 'HS256', kid })}.${encode(claims)}`
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
  }
  const pem = pairs[0]!.publicKey.export({ type: 'spki', format: 'pem' })
  const rsaPem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const byRsa = { ...header, alg: 'RS256', kid: 'key-rsa' }
  const [head, payload, signature] = good.split('.')

  const right: [name: string, token: string][] = [
    ['as it is', good],
    ['of the other key', make({ ...header, kid: 'key-2' }, claims, second)],
    ['of one for RS256', make(byRsa, claims, rsa.privateKey)],
  ]
  const wrong: [name: string, token: string][] = [
    ['by no key of ours', make(header, claims, stranger)],
    ['by another key than it says', make({ ...header, kid: 'key-2' }, claims)],
    ['by a key that is not known', make({ ...header, kid: 'key-3' }, claims)],
    ['by a key from another folder', make({ ...header, kid: '../key-1' }, claims)],
    ['by a key of an odd name', make({ ...header, kid: 'key-1.pem' }, claims)],
    ['by a key without a name', make({ alg: 'ES256', typ: 'at+jwt' }, claims)],
    ['by a key with a number for a name', make({ ...header, kid: 1 }, claims)],
    ['by none', `${encode({ ...header, alg: 'none' })}.${payload}.`],
    ['by None', `${encode({ ...header, alg: 'None' })}.${payload}.${signature}`],
    ['by HS256 with the PEM', byHmac(pem)],
    ['by HS256 with nothing', byHmac('')],
    ['by HS256 with the PEM of RS256', byHmac(rsaPem, 'key-rsa')],
    ['by an RSA key for ES256', make({ ...byRsa, alg: 'ES256' }, claims, rsa.privateKey)],
    ['by an RSA key for RS384', make({ ...byRsa, alg: 'RS384' }, claims, rsa.privateKey)],
    ['by an EC key for RS256', make({ ...header, alg: 'RS256' }, claims)],
    ['by an EC key as the RSA key', make(byRsa, claims)],
    ['by an EC key as the RSA key, for ES256', make({ ...header, kid: 'key-rsa' }, claims)],
    ['by an RSA key as the EC key', make({ ...byRsa, kid: 'key-1' }, claims, rsa.privateKey)],
    ['ES384 by its head', make({ ...header, alg: 'ES384' }, claims)],
    ['without alg', make({ typ: 'at+jwt', kid: 'key-1' }, claims)],
    ['a JWT', make({ ...header, typ: 'JWT' }, claims)],
    ['without typ', make({ alg: 'ES256', kid: 'key-1' }, claims)],
    ['with crit', make({ ...header, crit: ['exp'] }, claims)],
    ['with another payload', `${head}.${encode({ ...claims, sub: 'x' })}.${signature}`],
    ['without signature', `${head}.${payload}.`],
    ['cut', good.slice(0, -2)],
    ['longer', `${good}.x`],
    ['with a comma', `${good},${good}`],
    ['an array', make(header, [claims])],
    ['a string', make(header, 'x')],
    ['by another issuer', make(header, { ...claims, iss: `${issuer}/` })],
    ['by two issuers', make(header, { ...claims, iss: [issuer] })],
    ['for somebody else', make(header, { ...claims, aud: 'others' })],
    ['for two', make(header, { ...claims, aud: ['latchkey'] })],
    ...['iss', 'aud', 'exp', 'sub', 'sid'].map((name): [string, string] => [
      `without ${name}`,
      make(header, without(name)),
    ]),
    ['with an empty sid', make(header, { ...claims, sid: '' })],
    ['with an empty sub', make(header, { ...claims, sub: '' })],
  ]
  const ask = (token: string) => send(port, 'GET', '/x', { authorization: `Bearer ${token}` })
  for (const [name, token] of right) t.match(await ask(token), { status: 200, headers: { 'x-app': 'yes' } }, name)
  t.equal(asked, right.length)
  for (const [name, token] of wrong) {
    const answer = await ask(token)
    t.match({ ...answer, name }, { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }, name)
    t.match(JSON.parse(answer.text), { code: 'INVALID_TOKEN' }, name)
  }
  for (const exp of [now, 0, 'never']) {
    const dead = await ask(make(header, { ...claims, exp }))
    t.match({ ...dead, code: JSON.parse(dead.text).code }, { status: 401, code: 'TOKEN_EXPIRED' }, String(exp))
  }
  t.equal(asked, right.length, 'Latchkey was not troubled')
  t.equal(app.seen.length, right.length)
})

t.test('HAProxy with a script that breaks off lets nobody in', { skip: skipWithout('haproxy') }, async (t) => {
  const app = await startProtected(t)
  const action = (body: string) => `core.register_action("latchkey", { "http-req" }, function(txn) ${body} end, 1)\n`
  const bodies = {
    error: 'error("broken")',
    identity: 'txn.http:req_set_header("x-auth-user-id", "x") error()',
    nothing: '',
  }
  for (const [name, body] of Object.entries(bodies)) {
    const script = join(t.testdir({ 'latchkey.lua': action(body) }), 'latchkey.lua')
    const port = await GATEWAYS.haproxy(t, { latchkey: latchkeyPort, app: app.port, issuer, jwks, script })
    for (const path of ['/x', '/admin/x']) {
      const answer = await send(port, 'GET', path, bearer(eve))
      t.match({ ...answer, name }, { status: 503, headers: { 'retry-after': '1' } }, name)
      t.match(JSON.parse(answer.text), { code: 'UNAVAILABLE' }, name)
    }
  }
  // Whatever is there in the place of Latchkey.
  const other = createServer((_request, response) => response.writeHead(500).end('oh'))
  await once(other.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => other.close())
  const { port: otherPort } = other.address() as AddressInfo
  const port = await GATEWAYS.haproxy(t, { latchkey: otherPort, app: app.port, issuer, jwks })
  const answer = await send(port, 'GET', '/x', bearer(eve))
  t.match(answer, { status: 503, headers: { 'cache-control': 'no-store', 'x-request-id': /./, 'retry-after': '1' } })
  t.match(JSON.parse(answer.text), { code: 'UNAVAILABLE' })
  t.strictSame(app.seen, [])
})

t.test('keys.sh without a key', { skip: skipWithout('haproxy') }, async (t) => {
  const { status, stderr } = spawnSync(join(ROOT, 'deploy/haproxy/keys.sh'), [t.testdir({})], { encoding: 'utf8' })
  t.equal(status, 1)
  t.match(stderr, /^There is no key in /)
})

/** The blocks of docs/gateways.md in this language that are to be tried here. */
function blocks(language: string): string[] {
  const page = readFileSync(join(ROOT, 'docs/gateways.md'), 'utf8')
  const note = '<!-- run by: test/deploy/gateways\\.test\\.ts -->'
  return [...page.matchAll(new RegExp(`${note}\n\n\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, text]) => text!)
}

for (const [name, startGateway] of Object.entries(GATEWAYS))
  t.test(`the lines for services, ${name}`, { skip: skipWithout(name as keyof typeof GATEWAYS) }, async (t) => {
    const app = await startProtected(t)
    const [lines] = blocks(name).map((text) => text.replaceAll('10.0.0.0/8', '127.0.0.3/32'))
    const edit = (recipe: string) => recipe.replace(/^\s*# Latchkey for people,/m, (start) => `${lines}${start}`)
    const port = await startGateway(t, { latchkey: latchkeyPort, app: app.port, issuer, jwks, edit })
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    for (const path of ['/oauth/introspect', '/oauth/revoke'])
      for (const [from, inside] of [
        ['127.0.0.3', true],
        ['127.0.0.2', false],
      ] as const) {
        const { status, text } = await send(port, 'POST', path, type, ['token=x'], from)
        // Latchkey asks the service who it is; from elsewhere it is an address like others, or none.
        t.ok([401, 403].includes(status), `${path}: ${status}`)
        t.equal(text.includes('"invalid_client"'), inside, `${path} from ${from}: ${text}`)
      }
    t.match(await send(port, 'POST', '/oauth/x', type, ['token=x'], '127.0.0.3'), { status: 401 })
    t.strictSame(app.seen, [])
  })

t.test('the timer of docs/gateways.md', { skip: skipWithout('haproxy') }, async (t) => {
  const folder = t.testdir({
    latchkey: {},
    bin: { systemctl: '#!/bin/sh\necho "$@" >> reloads\n' },
    'keys.cfg': 'the old one',
  })
  chmodSync(join(folder, 'bin/systemctl'), 0o755)
  const [, , , timer] = blocks('sh')
  const commands = timer!.replaceAll('/etc/haproxy', folder).replaceAll('/opt/latchkey/', ROOT)
  const env = { ...process.env, PATH: `${folder}/bin:${process.env.PATH}` }
  const run = () => spawnSync('sh', ['-c', commands], { env })
  t.equal(run().status, 1, 'there is no key')
  t.equal(readFileSync(join(folder, 'keys.cfg'), 'utf8'), 'the old one')
  exportKeys(jwks, join(folder, 'latchkey'))
  t.equal(run().status, 0)
  t.match(readFileSync(join(folder, 'keys.cfg'), 'utf8'), `${folder}/latchkey/${jwks.keys[0]!.kid}.pem`)
  t.equal(run().status, 0, 'and nothing has changed')
  t.equal(readFileSync(join(folder, 'reloads'), 'utf8'), 'reload haproxy\n')
})

t.test('the commands of docs/gateways.md', { skip: skipWithout('nginx', 'caddy', 'haproxy') }, async (t) => {
  const [nginx, caddy, haproxy] = blocks('sh')
  const { DATABASE_URL, SECRET } = latchkey.config
  const command = `export DATABASE_URL='${DATABASE_URL}' SECRET='${SECRET}'; exec ${process.execPath} ${ROOT}dist/cli.js "$@"`
  const folder = t.testdir({
    deploy: t.fixture('symlink', join(ROOT, 'deploy')),
    bin: { latchkey: `#!/bin/sh\n${command}\n` },
    written: {},
  })
  chmodSync(join(folder, 'bin/latchkey'), 0o755)
  const env = { ...process.env, HOME: folder, PATH: `${folder}/bin:${process.env.PATH}` }
  const run = (commands: string) => execFileSync('sh', ['-ec', commands], { cwd: folder, env, stdio: 'pipe' })

  run(nginx!)
  const filled = readFileSync(join(folder, 'protected.conf'), 'utf8')
  for (const line of ['listen 8080;', 'server 127.0.0.1:3000;', 'server 127.0.0.1:8000;']) t.match(filled, line)
  t.notMatch(filled, '${')
  // The others would run on: here they only look at what they are given.
  t.doesNotThrow(() => run(caddy!.replace('caddy run', 'caddy validate')))
  t.doesNotThrow(() => run(haproxy!.replace('haproxy -f', 'haproxy -c -f')))
  const [exported, written] = [join(folder, 'keys'), join(folder, 'written')]
  exportKeys(jwks, written)
  const files = (at: string) => readdirSync(at).map((name) => [name, readFileSync(join(at, name), 'utf8')])
  t.strictSame(files(exported), files(written), 'what the command exports is what HAProxy was tried with')
})
