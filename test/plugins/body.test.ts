/** Forms, which the routes under /oauth/ take and no other (test/conventions.test.ts has JSON), and what OAuth calls each fault. */
import t, { type Test } from 'tap'
import { createEngine } from '../engines.ts'
import { basicOf, codeOf, FORM, holdAgainstContract, SERVICE, startApp, type TestApp } from '../helper.ts'
import { exchange, listen } from '../raw.ts'

const URL = '/oauth/introspect'
const start = (t: Test) => startApp(t, createEngine(t, 'sqlite'))
const send = (app: TestApp, body: string | Buffer | undefined, type = FORM['content-type']) =>
  app.service.post(URL, body, type === '' ? {} : { 'content-type': type })

t.test('a form that is none is MALFORMED_BODY', async (t) => {
  const app = await start(t)
  const cases: [name: string, body: string | Buffer][] = [
    ['a percent sign alone', 'token=%'],
    ['half of one', 'token=%4'],
    ['no digits', 'token=%zz'],
    ['in a name', 'token=x&%=y'],
    ['in another member', 'token=x&y=%'],
    ['a byte that is never UTF-8', 'token=%ff'],
    ['the same as it is', Buffer.from('token=\xff', 'latin1')],
    ['latin1', 'token=%e9'],
    ['an overlong form', 'token=%c0%80'],
    ['a surrogate', 'token=%ed%a0%80'],
    ['half a character', 'token=%e2%82'],
    ['above U+10FFFF', 'token=%f4%90%80%80'],
    ['twice', 'token=x&token=y'],
    ['twice the same', 'token=x&token=x'],
    ['once in another spelling', 'token=x&%74oken=y'],
    ['once empty', 'token=x&token='],
    ['any other', 'token=x&a=1&b=2&a=3'],
    ['without a name', 'token=x&=1&=2'],
    ['nothing', ''],
  ]
  for (const [name, body] of cases) {
    const answer = await send(app, body)
    t.match(answer, { status: 400, body: { code: 'MALFORMED_BODY', error: 'invalid_request' } }, name)
  }
})

t.test('a NUL is named, and so is a missing token', async (t) => {
  const app = await start(t)
  const cases: [body: string, ...faults: object[]][] = [
    ['token=a%00b', { field: '/token', rule: 'characters' }],
    ['token=x&y=%00', { field: '/y', rule: 'characters' }],
    ['token=x&%00=y', { field: '/\0', rule: 'characters' }],
    ['__proto__=token', { field: '/token', rule: 'required' }],
    ['&&&', { field: '/token', rule: 'required' }],
    ['\ufefftoken=x', { field: '/token', rule: 'required' }],
  ]
  for (const [body, ...faults] of cases) {
    const answer = await send(app, body)
    t.match(answer, { status: 400, body: { code: 'VALIDATION_FAILED', error: 'invalid_request' } }, body)
    t.match(answer.body.details, faults)
  }
})

t.test('strict is not stricter than a form', async (t) => {
  const app = await start(t)
  const { access_token } = (await app.register('ann')).tokens
  const spelled = [...Buffer.from(access_token)].map((byte) => `%${byte.toString(16)}`).join('')
  const bodies = [
    `token=${access_token}`,
    `&token=${access_token}&&`,
    `t%6fken=${spelled}`,
    `a=b=c&%ED%95%9C+=%F0%9F%98%80&token=${access_token}&__proto__=1&constructor=2&toString`,
    `한=국&token=${access_token}`,
    `${Array.from({ length: 3000 }, (_, index) => `a${index}`).join('&')}&token=${access_token}`,
  ]
  for (const body of bodies) t.match(await send(app, body), { status: 200, body: { active: true } }, body.slice(0, 60))
})

t.test('media types', async (t) => {
  const app = await start(t)
  const type = FORM['content-type']
  for (const one of [type, `${type}; charset=utf-8`, `${type};charset="UTF-8"`, type.toUpperCase()])
    t.equal(codeOf(await send(app, 'token=x', one)), '200', one)
  for (const one of [
    '',
    'application/json',
    'text/plain',
    'multipart/form-data; boundary=x',
    `${type}; charset=latin1`,
  ]) {
    const answer = await send(app, one === 'application/json' ? '{"token":"x"}' : 'token=x', one)
    t.match(answer, { status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE', error: 'invalid_request' } }, one)
  }
  for (const one of ['', 'application/json']) {
    const answer = await send(app, undefined, one)
    t.equal(codeOf(answer), '400 MALFORMED_BODY', `no body, ${one}`)
  }
})

t.test('what every layer says under /oauth/', async (t) => {
  const app = await start(t)
  const korean = await app.service.form(URL, 'x=y', { 'accept-language': 'ko' })
  t.match(korean.body, { message: /\p{sc=Hangul}/u, error_description: 'The request does not have the expected form.' })
  t.equal(codeOf(await app.anon.get(URL)), '405 METHOD_NOT_ALLOWED')
  t.equal(codeOf(await app.anon.get('/oauth/token')), '404 NOT_FOUND')
  t.equal(codeOf(await app.anon.get('/oauth/%zz')), '400 BAD_REQUEST')
  t.equal(codeOf(await app.service.form(URL, `token=${'x'.repeat(33 * 1024)}`)), '413 BODY_TOO_LARGE')

  Object.assign(app.server.server, { headersTimeout: 100, requestTimeout: 200 })
  const port = await listen(app.server)
  const { authorization } = basicOf(SERVICE)
  const head = `POST ${URL} HTTP/1.1\r\nHost: a\r\nContent-Type: ${FORM['content-type']}\r\nAuthorization: ${authorization}\r\n`
  const cases: [code: string, bytes: string][] = [
    ['408 REQUEST_TIMEOUT', `${head}Content-Length: 20\r\n\r\ntoken=`],
    ['400 BAD_REQUEST', `${head}Transfer-Encoding: chunked\r\n\r\nzz`],
    ['417 EXPECTATION_FAILED', `${head}Expect: the-moon\r\nContent-Length: 7\r\n\r\ntoken=x`],
    ['200', `${head}Content-Length: 7\r\n\r\ntoken=x`],
  ]
  for (const [code, bytes] of cases) {
    const answer = await exchange(port, bytes)
    t.equal(codeOf(answer!), code)
    holdAgainstContract(t, app.server, 'POST', URL, answer!)
  }
})
