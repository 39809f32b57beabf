/** /auth/verify: by any method, with anything that a gateway passes on, and no other answers than 200, 401, 403 and 503. */
import { once } from 'node:events'
import { METHODS } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { sessionsOf } from '../../../plugins/sessions/index.ts'
import { createEngine, onEachEngine } from '../../engines.ts'
import { type Answer, claimsOf, codeOf, startApp } from '../../helper.ts'
import { exchange, listen, openWire } from '../../raw.ts'

const IDENTITY = ['x-auth-user-id', 'x-auth-session-id', 'x-auth-roles']
const identityOf = ({ headers }: Answer) => IDENTITY.map((name) => headers[name])

onEachEngine(t, 'who may pass, and who may not', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const { sub, sid } = claimsOf(ann.tokens.access_token)
  const allowed = await ann.get('/auth/verify')
  const headers = { 'content-length': '0', 'cache-control': 'no-store', 'x-request-id': /^[\w-]{36}$/ }
  t.match(allowed, { status: 200, text: '', headers })
  t.strictSame(identityOf(allowed), [sub, sid, ''], 'no roles are an empty list')

  await app.sql('UPDATE users SET roles = ?', ['admin editor'])
  const admin = await app.login('ann')
  t.equal((await admin.get('/auth/verify')).headers['x-auth-roles'], 'admin,editor')
  t.equal((await ann.get('/auth/verify')).headers['x-auth-roles'], '', 'what the token says')

  const refusals: [answer: Answer, code: string, challenge: string][] = [
    [await app.anon.get('/auth/verify'), '401 UNAUTHENTICATED', 'Bearer'],
    [await app.anon.get('/auth/verify', { authorization: 'Basic eA==' }), '401 UNAUTHENTICATED', 'Bearer'],
    [
      await app.anon.get('/auth/verify', { authorization: 'Bearer x' }),
      '401 INVALID_TOKEN',
      'Bearer error="invalid_token"',
    ],
  ]
  await app.advance(900)
  refusals.push([await ann.get('/auth/verify'), '401 TOKEN_EXPIRED', 'Bearer error="invalid_token"'])
  const late = await app.login('ann')
  t.equal((await late.delete('/user/logout')).status, 200)
  refusals.push([await late.get('/auth/verify'), '401 INVALID_TOKEN', 'Bearer error="invalid_token"'])
  for (const [answer, code, challenge] of refusals) {
    t.equal(codeOf(answer), code)
    t.equal(answer.headers['www-authenticate'], challenge)
    t.strictSame(identityOf(answer), [undefined, undefined, undefined])
  }
  const { body } = await late.get('/user/me')
  t.strictSame((await late.get('/auth/verify')).body, body, 'the same body as elsewhere')
})

const app = await startApp(t, createEngine(t, 'sqlite'), { CORS_ORIGINS: 'https://app.example.com' })
const port = await listen(app.server)

/** Somebody with these roles. */
async function withRoles(name: string, roles: string) {
  await app.register(name)
  await app.sql('UPDATE users SET roles = ? WHERE username = ?', [roles, name])
  return app.login(name)
}

t.test('roles that are asked for', async (t) => {
  const ann = await withRoles('ann', 'admin x.y_z-1')
  const cases: [query: string, status: number][] = [
    ['?', 200],
    ['?role=admin', 200],
    ['?role=x.y_z-1', 200],
    ['?role=editor', 403],
    ['?role=editor&role=admin', 200],
    ['?role=editor&role=viewer', 403],
    ['?role=admin&role=admin', 200],
    ['?role=adm%69n', 200],
    ['?scope=all&role=admin&x=%zz', 200],
    ['?access_token=x', 200],
    ['?roles=editor', 200],
    ['?Role=editor', 200],
    ['?role', 403],
    ['?role=', 403],
    ['?role=ADMIN', 403],
    ['?role=admin,editor', 403],
    ['?role=admin%20', 403],
    ['?role=admin%00', 403],
    ['?role=%zz', 403],
    ['?role=%ff', 403],
    ['?role=-', 403],
    ['?role=1', 403],
    [`?role=${'a'.repeat(64)}`, 403],
    [`?role=${'a'.repeat(65)}`, 403],
    ['?role=admin&role=no%20role', 403],
    ['?role=__proto__', 403],
    ['?role=constructor', 403],
    ['?role=length', 403],
    ['?role=admin&__proto__=x', 200],
  ]
  for (const [query, status] of cases) {
    const answer = await ann.get(`/auth/verify${query}`)
    t.equal(codeOf(answer), status === 403 ? '403 FORBIDDEN' : '200', query)
    t.equal(answer.headers['x-auth-user-id'], status === 403 ? undefined : ann.tokens.user.id)
  }
  t.equal(codeOf(await app.anon.get('/auth/verify?role=editor')), '401 UNAUTHENTICATED', 'who it is comes first')
})

t.test('any method', async (t) => {
  const { tokens } = await app.register('ben')
  const authorization = `Authorization: Bearer ${tokens.access_token}\r\n`
  const preflight = 'Origin: https://app.example.com\r\nAccess-Control-Request-Method: PUT\r\n'
  for (const method of METHODS.filter((method) => method !== 'CONNECT')) {
    for (const more of ['', preflight]) {
      const wire = await openWire(port)
      // A HEAD has no body, so what a reader takes for one would be missing.
      const ask = (own: string) => wire.send(`${method} /auth/verify HTTP/1.1\r\nHost: a\r\n${own}${more}\r\n`)
      ask(authorization)
      const allowed = await wire.next()
      t.match(
        allowed,
        { status: 200, text: '', headers: { 'x-auth-user-id': tokens.user.id, 'content-length': '0' } },
        method,
      )
      t.notOk(allowed!.headers['access-control-allow-origin'], 'that is for the address behind the gateway')
      if (method !== 'HEAD') {
        ask('')
        t.match(await wire.next(), { status: 401, body: { code: 'UNAUTHENTICATED' } }, `${method} without a token`)
      }
      wire.socket.destroy()
    }
  }
  const { status, headers } = await app.anon.ask('HEAD', '/auth/verify')
  t.match({ status, headers }, { status: 401, headers: { 'www-authenticate': 'Bearer' } })
})

/** What a gateway may pass on with a request, each as the whole of its head behind Host. */
const PASSED_ON: [name: string, head: string, body?: string][] = [
  ['JSON without a body', 'Content-Type: application/json\r\n'],
  ['a type that is none', 'Content-Type: ;;;\r\n'],
  ['a form', 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n', 'a=b'],
  ['parts', 'Content-Type: multipart/form-data\r\nContent-Length: 2\r\n', '--'],
  ['broken JSON', 'Content-Type: application/json\r\nContent-Length: 1\r\n', '{'],
  ['a length of nothing', 'Content-Length: 0\r\n'],
  ['a body that never comes', 'Content-Length: 20\r\n'],
  ['a body that is too large and never comes', 'Content-Length: 9007199254740991\r\n'],
  ['chunks that never come', 'Transfer-Encoding: chunked\r\n'],
  ['half a body', 'Content-Length: 20\r\n', 'x'],
  ['half a chunk', 'Transfer-Encoding: chunked\r\n', '5\r\nx'],
  ['chunks', 'Transfer-Encoding: chunked\r\n', '1\r\nx\r\n0\r\n\r\n'],
  ['a body of 40 KiB', `Content-Length: ${40 * 1024}\r\n`, 'x'.repeat(40 * 1024)],
  ['an unknown coding', 'Content-Encoding: br\r\nContent-Length: 1\r\n', 'x'],
  ['an expectation', 'Expect: the-moon\r\n'],
  ['an upgrade', 'Connection: upgrade\r\nUpgrade: websocket\r\n'],
  ['a range', 'Range: bytes=0-0\r\nIf-None-Match: *\r\n'],
  ['another method', 'X-HTTP-Method-Override: DELETE\r\nX-Forwarded-Method: TRACE\r\nX-Original-Method: OPTIONS\r\n'],
  [
    'another address',
    'X-Original-URI: /health/live\r\nX-Original-URL: /health/live\r\nX-Forwarded-Uri: /health/live\r\n',
  ],
  ['another of Forwarded', 'Forwarded: for=1.2.3.4;proto=https;host=evil.example\r\nX-Rewrite-URL: /health/live\r\n'],
  ['an identity', 'X-Auth-User-Id: mine\r\nX-Auth-Roles: admin\r\nX-Auth-Session-Id: mine\r\n'],
  ['tokens elsewhere', 'Proxy-Authorization: Bearer x\r\nX-Access-Token: x\r\nCookie: access_token=x\r\n'],
]

t.test('whatever comes with it', async (t) => {
  const cid = await withRoles('cid', 'editor')
  const authorization = `Authorization: Bearer ${cid.tokens.access_token}\r\n`
  const identity = { 'x-auth-user-id': cid.tokens.user.id, 'x-auth-roles': 'editor' }
  for (const [name, head, body = ''] of PASSED_ON) {
    for (const method of ['GET', 'POST', 'DELETE', 'PROPFIND']) {
      const ask = (own: string, query = '') =>
        exchange(port, `${method} /auth/verify${query} HTTP/1.1\r\nHost: a\r\n${own}${head}\r\n${body}`)
      const announced = /length: [^0]|chunked/i.test(head)
      const last = { connection: announced ? 'close' : 'keep-alive' }
      t.match(await ask(authorization), { status: 200, headers: { ...identity, ...last } }, `${method} ${name}`)
      t.match(
        await ask(''),
        { status: 401, body: { code: 'UNAUTHENTICATED' }, headers: last },
        `${method} ${name}, nobody`,
      )
      const forbidden = await ask(authorization, '?role=admin')
      t.match(forbidden, { status: 403, body: { code: 'FORBIDDEN' }, headers: last }, `${method} ${name}, not allowed`)
    }
  }
  for (const line of ['', 'Host: a\r\nHost: b\r\n', 'Host: a b/c\r\n', 'Host: \r\n'])
    t.match(await exchange(port, `GET /auth/verify HTTP/1.1\r\n${line}${authorization}\r\n`), { status: 200 }, line)
})

t.test('one Authorization, and no other place for a token', async (t) => {
  const { tokens } = await app.register('dan')
  const good = `Authorization: Bearer ${tokens.access_token}\r\n`
  const ask = (own: string, query = '') => exchange(port, `GET /auth/verify${query} HTTP/1.1\r\nHost: a\r\n${own}\r\n`)
  t.match(await ask(good), { status: 200 })
  for (const other of [good, 'authorization: Bearer x\r\n', 'Authorization: Basic eA==\r\n', 'Authorization:\r\n'])
    for (const own of [good + other, other + good])
      t.match(await ask(own), { status: 401, body: { code: 'INVALID_TOKEN' } }, own)
  const elsewhere = tokens.access_token
  for (const own of [`Proxy-${good}`, `X-Access-Token: ${elsewhere}\r\n`, `Cookie: access_token=${elsewhere}\r\n`])
    t.match(await ask(own), { status: 401, body: { code: 'UNAUTHENTICATED' } }, own.slice(0, 20))
  t.match(await ask('', `?access_token=${elsewhere}`), { status: 401, body: { code: 'UNAUTHENTICATED' } })
})

/** A connection that stays open on this side when the other has ended. `write` gives the error where it cannot. */
async function halfOpen() {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let heard = ''
  socket.setEncoding('latin1').on('data', (part) => {
    heard += part
  })
  const ended = once(socket, 'end').then(() => heard)
  const broken = once(socket, 'error').then(([error]) => error as Error)
  await once(socket, 'connect')
  const write = (bytes: string | Buffer) =>
    Promise.race([
      broken,
      new Promise<Error | undefined>((resolve) => socket.write(bytes, (error) => resolve(error ?? undefined))),
    ])
  return { ended, write }
}

t.test('the answer is not lost where the body comes after it, and is the last on its connection', async (t) => {
  const size = 1024 * 1024
  const ask = `POST /auth/verify HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`
  const late = await halfOpen()
  late.write(ask)
  t.match(await late.ended, /^HTTP\/1.1 401 .*\r\nconnection: close\r\n.*"UNAUTHENTICATED"/is, 'before the body')
  t.equal(await late.write(Buffer.alloc(size, 'x')), undefined, 'a proxy can still send all of it')

  const { tokens } = await app.register('fay')
  const allowed = await halfOpen()
  allowed.write(ask.replace('\r\n\r\n', `\r\nAuthorization: Bearer ${tokens.access_token}\r\n\r\n`))
  t.match(await allowed.ended, /^HTTP\/1.1 200 .*\r\nconnection: close\r\n/is, 'nor is that which lets it pass')

  const endless = await halfOpen()
  endless.write(ask)
  await endless.ended
  while (!(await endless.write('x'))) await pause(20)
  t.pass('but not for ever')

  const kept = await openWire(port)
  for (let round = 0; round < 3; round++) {
    kept.send('GET /auth/verify HTTP/1.1\r\nHost: a\r\n\r\n')
    t.match(await kept.next(), { status: 401, headers: { connection: 'keep-alive' } }, 'a gateway keeps its connection')
  }
})

t.test('beside it there is nothing', async (t) => {
  for (const url of [
    ...['/auth', '/auth/', '/auth/verify/', '/auth/Verify', '/auth/verify/x'],
    ...['/auth/verify;role=x', '//auth/verify', '/auth/verify%00', '/auth/verify%3Frole=x'],
  ])
    t.equal(codeOf(await app.anon.get(url)), '404 NOT_FOUND', url)
})

t.test('roles that no header can hold, which only SQL can give, are an error of ours and no silence', async (t) => {
  const joe = await withRoles('joe', '관리')
  const wire = await openWire(port)
  wire.send(`GET /auth/verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${joe.tokens.access_token}\r\n\r\n`)
  t.match(await wire.next(), { status: 500, body: { code: 'INTERNAL' } })
})

t.test('503, and no other 5xx', async (t) => {
  const eve = await app.register('eve')
  app.clock.time += 31_000
  const answer = await eve.get('/auth/verify')
  t.match(answer, { status: 503, body: { code: 'UNAVAILABLE' }, headers: { 'retry-after': /^\d+$/ } }, 'a list too old')
  t.match(await app.anon.get('/auth/verify'), { status: 401 }, 'who brings nothing is nobody at any time')
  await sessionsOf(app.server).ended.poll()
  t.equal((await eve.get('/auth/verify')).status, 200)
})
