/** The contract's "Conventions" and "Errors": strict bodies, the one shape from every layer, methods, languages, headers. */
import { METHODS } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { CODES, type Code, ERRORS } from '../schemas/errors.ts'
import { createEngine, onEachEngine } from './engines.ts'
import { type Answer, holdAgainstContract, PASSWORD, startApp, type TestApp } from './helper.ts'
import { exchange, listen, openWire } from './raw.ts'

const LIMIT = 32 * 1024
const JSON_TYPE = 'application/json'

const start = (t: Test, settings = {}) => startApp(t, createEngine(t, 'sqlite'), settings)

/** What a body of bytes is answered with; without a type where it is undefined. */
function sender(t: Test, app: TestApp, method: InjectOptions['method'], url: string, headers = {}) {
  return async (body: string | Buffer | undefined, type: string | undefined = JSON_TYPE): Promise<Answer> => {
    const answer = await app.server.inject({
      method: method!,
      url,
      headers: { ...headers, ...(type !== '' && { 'content-type': type }) },
      ...(body !== undefined && { payload: body }),
    })
    const text = answer.payload
    const json = String(answer.headers['content-type']).startsWith(JSON_TYPE) && text !== ''
    const read = { status: answer.statusCode, headers: answer.headers, text, body: json ? JSON.parse(text) : undefined }
    holdAgainstContract(t, app.server, method!, url, read)
    return read
  }
}

const faultsOf = ({ body }: Answer) =>
  ((body.details ?? []) as { field: string; rule: string }[]).map(({ field, rule }) => `${field} ${rule}`).sort()

const nested = (open: string, middle: string, close: string, levels: number) =>
  open.repeat(levels) + middle + close.repeat(levels)

t.test('a body that is no strict JSON is MALFORMED_BODY', async (t) => {
  const app = await start(t)
  const login = sender(t, app, 'POST', '/user/login')
  const within = (bytes: number[]) =>
    Buffer.concat([Buffer.from('{"username":"a'), Buffer.from(bytes), Buffer.from('","password":"x"}')])
  const cases: [name: string, body: string | Buffer][] = [
    ['cut off', '{"username":"a"'],
    ['white space alone', ' '],
    ['single quotes', "{'username':'a'}"],
    ['a comma too many', '{"username":"a","password":"x",}'],
    ['a comment', '{"username":"a"/**/,"password":"x"}'],
    ['NaN', '{"username":NaN,"password":"x"}'],
    ['two values', '{"username":"a","password":"x"}{}'],
    ['a form', 'username=a&password=x'],
    ['a control character', '{"username":"a\u0000","password":"x"}'],
    ['a BOM', '\ufeff{"username":"a","password":"x"}'],
    ['UTF-16', Buffer.from('{"username":"a","password":"x"}', 'utf16le')],
    ['a byte that is never UTF-8', within([0xff])],
    ['latin1', within([0xe9])],
    ['an overlong form', within([0xc0, 0x80])],
    ['a surrogate in UTF-8', within([0xed, 0xa0, 0x80])],
    ['half a character', within([0xe2, 0x82])],
    ['above U+10FFFF', within([0xf4, 0x90, 0x80, 0x80])],
    ['a member twice', '{"username":"a","username":"a","password":"x"}'],
    ['one of them escaped', '{"a":1,"\\u0061":2}'],
    ['spaces before the colon', '{"a" :1,"a"\n\t:2}'],
    ['not side by side', '{"a":{"b":[1,{"c":2}]},"d":3,"a":4}'],
    ['deeper', '{"username":{"a":1,"a":2},"password":"x"}'],
    ['within an array', '[[{"a":1,"a":1}]]'],
    ['an empty name twice', '{"":1,"":2}'],
    ['__proto__ twice', '{"__proto__":1,"__proto__":2}'],
    ['at the bottom of a nest', nested('{"":', '{"a":1,"a":2}', '}', 6500)],
    ['an open nest', '['.repeat(30_000)],
  ]
  for (const [name, body] of cases) {
    const answer = await login(body)
    t.match(answer, { status: 400, body: { code: 'MALFORMED_BODY' } }, name)
  }
})

t.test('a body that is JSON and not what is asked for is VALIDATION_FAILED, with its faults', async (t) => {
  const app = await start(t)
  const login = sender(t, app, 'POST', '/user/login')
  const half = '\\ud800'
  const cases: [name: string, body: string, ...faults: string[]][] = [
    ['an array', '[]', '/ oneOf', '/ type'],
    ['null', 'null', '/ oneOf', '/ type'],
    ['a string', '"x"', '/ oneOf', '/ type'],
    ['a number', '5', '/ oneOf', '/ type'],
    ['nothing in it', '{}', '/ oneOf', '/password required'],
    ['both names', '{"username":"a","email":"a","password":"x"}', '/ oneOf'],
    ['an array for a string', '{"username":["a"],"password":"x"}', '/username type'],
    ['a number for a string', '{"username":"a","password":12345678}', '/password type'],
    ['1e400', '{"username":"a","password":1e400}', '/password type'],
    ['null for a string', '{"username":"a","password":null}', '/password type'],
    ['true for a string', '{"username":true,"password":"x"}', '/username type'],
    ['an object for a string', '{"username":{"$ne":""},"password":"x"}', '/username type'],
    ['empty', '{"username":"","password":""}', '/password minLength', '/username minLength'],
    ['one name in two objects', '{"username":{"a":1},"password":{"a":1}}', '/password type', '/username type'],
    ['one name in a row', '{"username":[{"a":1},{"a":1}],"password":"x"}', '/username type'],
    ['one name at two depths', '{"username":{"username":1},"password":"x"}', '/username type'],
    ['unknown', '{"username":"a","password":"x","role":"admin"}', '/role additionalProperties'],
    ['a slash', '{"username":"a","password":"x","a/b":1}', '/a~1b additionalProperties'],
    ['a tilde', '{"username":"a","password":"x","m~n":1}', '/m~0n additionalProperties'],
    ['__proto__', '{"username":"a","password":"x","__proto__":{}}', '/__proto__ additionalProperties'],
    ['it, escaped', '{"username":"a","password":"x","\\u005f_proto__":{}}', '/__proto__ additionalProperties'],
    [
      'names from __proto__',
      '{"__proto__":{"username":"a","password":"x"}}',
      '/ oneOf',
      '/__proto__ additionalProperties',
      '/password required',
    ],
    [
      'constructor',
      '{"username":"a","password":"x","constructor":{"prototype":{}}}',
      '/constructor additionalProperties',
    ],
    ['toString', '{"username":"a","password":"x","toString":1}', '/toString additionalProperties'],
    ['a high surrogate', `{"username":"a${half}","password":"x"}`, '/username characters'],
    ['a low one', '{"username":"\\udc00","password":"x"}', '/username characters'],
    ['the wrong way round', '{"username":"a","password":"\\udc00\\ud800"}', '/password characters'],
    ['in both', `{"username":"${half}","password":"${half}"}`, '/password characters', '/username characters'],
    ['NUL', '{"username":"a","password":"x\\u0000y"}', '/password characters'],
    ['deeper', '{"username":{"a":["\\u0000"]},"password":"x"}', '/username type', '/username/a/0 characters'],
    ['in a name', `{"username":"a","password":"x","${half}":1}`, '/\ud800 additionalProperties', '/\ud800 characters'],
    ['NUL in a name', '{"username":"a","password":"x","\\u0000":1}', '/\0 additionalProperties', '/\0 characters'],
    ['10,000 arrays', nested('[', '', ']', 10_000), '/ oneOf', '/ type'],
    [
      'as many objects as fit',
      nested('{"":', '1', '}', 6500),
      '/ additionalProperties',
      '/ oneOf',
      '/password required',
    ],
  ]
  for (const [name, body, ...faults] of cases) {
    const answer = await login(body)
    t.match(answer, { status: 400, body: { code: 'VALIDATION_FAILED' } }, name)
    t.strictSame(faultsOf(answer), faults, name)
  }
})

t.test('strict is not stricter than JSON', async (t) => {
  const app = await start(t)
  const login = sender(t, app, 'POST', '/user/login')
  const bodies = [
    ' \t\r\n{ "username" : "nobody" , "password" : "x" } \n',
    '{"username":"{\\"a\\":1,\\"a\\":2}","password":"\\\\"}',
    '{"username":"username","password":"password"}',
    '{"\\u0075sername":"nobody","password":"\\ud83d\\ude00 \ud83d\ude00"}',
    '{"username":"__proto__","password":"constructor"}',
    '{"username":"\ufeff\uffff","password":"\\u0001"}',
  ]
  for (const body of bodies) t.equal((await login(body)).body.code, 'INVALID_CREDENTIALS', body)
})

t.test('every fault of a body is told at once', async (t) => {
  const app = await start(t)
  const body = { role: 'admin', 'a/b': 1, 'm~n': 2, username: '', password: 5 }
  const answer = await app.anon.post('/user/register', body)
  t.equal(answer.status, 400)
  t.strictSame(faultsOf(answer), [
    '/a~1b additionalProperties',
    '/email required',
    '/m~0n additionalProperties',
    '/password type',
    '/role additionalProperties',
    '/username format',
    '/username minLength',
  ])
  const text = await app.anon.post('/user/register', '"\\u0000"', { 'content-type': JSON_TYPE })
  t.strictSame(faultsOf(text), ['/ characters', '/ type'])
  t.ok(answer.body.details.every(({ message }: { message: unknown }) => typeof message === 'string' && message))
  const broken = await app.anon.post('/user/register', '{"email":"a\\u0000@example.com","x":1,"password":"short"}', {
    'content-type': JSON_TYPE,
  })
  t.strictSame(faultsOf(broken), [
    '/email characters',
    '/email format',
    '/password minLength',
    '/username required',
    '/x additionalProperties',
  ])
})

t.test('an answer is not far larger than the body that it refuses', async (t) => {
  const app = await start(t)
  const login = sender(t, app, 'POST', '/user/login')
  const list = `[${Array(1500).fill('"\\u0000"').join(',')}]`
  for (const body of [`{"${'k'.repeat(16_000)}":${list}}`, nested('{"abcdefgh":', list, '}', 1400)]) {
    const answer = await login(body)
    t.equal(answer.body.code, 'VALIDATION_FAILED')
    t.ok(answer.text.length < 16 * LIMIT, `${answer.text.length} for ${body.length}`)
  }
})

t.test('a body has at most 32 KiB', async (t) => {
  const app = await start(t)
  const port = await listen(app.server)
  const json = '{"username":"nobody","password":"x"}'
  const head = (length: string, path = '/user/login') =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${length}\r\n\r\n`
  const cases: [size: number, code: Code][] = [
    [LIMIT, 'INVALID_CREDENTIALS'],
    [LIMIT + 1, 'BODY_TOO_LARGE'],
    [LIMIT * 40, 'BODY_TOO_LARGE'],
  ]
  for (const [size, code] of cases) {
    const body = json.padEnd(size, ' ')
    const half = Math.floor(size / 2)
    const chunks = [body.slice(0, half), body.slice(half), ''].map(
      (chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`,
    )
    for (const bytes of [
      head(`Content-Length: ${size}`) + body,
      head('Transfer-Encoding: chunked') + chunks.join(''),
    ]) {
      const answer = await exchange(port, bytes)
      t.equal(answer?.body?.code, code, `${size} ${bytes.slice(70, 100)}`)
      holdAgainstContract(t, app.server, 'POST', '/user/login', answer!)
    }
  }
  const early = await exchange(port, head('Content-Length: 999999999999'))
  t.match(early, { status: 413, headers: { connection: 'close' } }, 'said before it is sent')
  const get = await exchange(port, `GET /health/live HTTP/1.1\r\nHost: a\r\nContent-Length: ${LIMIT + 1}\r\n\r\n`)
  t.equal(get?.status, 413, 'where none is taken too')
})

t.test('media types', async (t) => {
  const app = await start(t)
  const login = sender(t, app, 'POST', '/user/login')
  const body = '{"username":"nobody","password":"x"}'
  const taken = [JSON_TYPE, 'application/json; charset=utf-8', 'application/json;charset="UTF-8"', 'Application/JSON']
  for (const type of taken) t.equal((await login(body, type)).body.code, 'INVALID_CREDENTIALS', type)
  const refused = [
    '',
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=latin1',
    'application/json; charset=utf-16',
    'application/json; charset=utf-8; charset=latin1',
    'application/jsonx',
    'application/json-patch+json',
    'application/problem+json',
    'application/json, text/plain',
    'application/json\ttext/plain',
    'nonsense',
    'application/',
    '/json',
    ';',
    '__proto__',
  ]
  for (const type of refused) {
    const answer = await login(body, type)
    t.match(answer, { status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE' } }, type || 'none named')
  }
  for (const type of [JSON_TYPE, 'text/plain', 'nonsense', '']) {
    for (const empty of ['', undefined]) {
      const answer = await login(empty, type)
      t.match(answer, { status: 400, body: { code: 'MALFORMED_BODY' } }, `an empty body, ${type || 'no type'}`)
    }
  }
})

t.test('where no body is taken, none, an empty one and {} are fine, and nothing else', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  const token = { authorization: `Bearer ${ann.tokens.access_token}` }
  const routes: [method: 'GET' | 'HEAD' | 'DELETE' | 'POST', url: string, status: number, headers?: object][] = [
    ['GET', '/user/me', 200, token],
    ['HEAD', '/user/me', 200, token],
    ['GET', '/user/sessions', 200, token],
    ['DELETE', '/user/sessions/unknown', 404, token],
    ['DELETE', '/user/logout?scope=others', 200, token],
    ['POST', '/user/logout?scope=others', 200, token],
    ['GET', '/health/live', 200],
    ['GET', '/.well-known/jwks.json', 200],
    ['GET', '/docs/json', 200],
  ]
  const fine = [undefined, '', '{}', ' { } ', '\r\n{\t}\n']
  const types = [JSON_TYPE, '', 'text/plain', 'application/json; charset=latin1', 'nonsense', '/;=']
  const other = [
    '[]',
    'null',
    '0',
    '""',
    ' ',
    '{',
    '{}{}',
    '{},',
    '{"a":1}',
    'x',
    '\ufeff{}',
    '{\f}',
    '{"refresh_token":"x"}',
  ]
  for (const [method, url, status, headers] of routes) {
    const ask = sender(t, app, method, url, headers)
    for (const type of types) {
      for (const body of fine) t.equal((await ask(body, type)).status, status, `${method} ${url} ${type} ${body}`)
    }
    for (const body of [...other, Buffer.from([0xff]), Buffer.from('{\xa0}', 'latin1')]) {
      const answer = await ask(body)
      t.equal(answer.status, 400, `${method} ${url} ${body}`)
      if (method !== 'HEAD') t.equal(answer.body.code, 'BAD_REQUEST', `${method} ${url} ${body}`)
    }
    if (method !== 'HEAD') t.equal((await ask('x', 'text/plain')).body.code, 'BAD_REQUEST', `${method} ${url}`)
  }
  const logout = sender(t, app, 'POST', '/user/logout')
  t.equal((await logout('null')).body.code, 'VALIDATION_FAILED', 'without a token a body is judged as one')
  t.equal((await logout('[]')).body.code, 'VALIDATION_FAILED')
  for (const body of [undefined, '', '{}'])
    t.equal((await logout(body)).body.code, 'UNAUTHENTICATED', `no token, ${body}`)
})

t.test('the query: a known member is judged, an unknown one is not', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  for (const query of [
    'scope=bad',
    'scope=',
    'scope',
    'scope=LOCAL',
    'scope=local&scope=global',
    'scope=local&scope=local',
  ]) {
    for (const method of ['DELETE', 'POST'] as const) {
      const answer = await ann.ask(method, `/user/logout?${query}`)
      t.match(answer, { status: 400, body: { code: 'VALIDATION_FAILED' } }, query)
      t.ok(
        answer.body.details.every(({ field }: { field: string }) => field === '?scope'),
        query,
      )
    }
  }
  const url = '/user/logout?scope=others&role=admin&role=x&__proto__=1&constructor&%FF=1&=&&scope%5B%5D=bad'
  t.equal((await ann.delete(url)).status, 200)
  t.equal((await ann.get('/user/me?a=1&a=2')).status, 200)
})

t.test('HEAD works where GET does', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  for (const url of [
    '/user/me',
    '/user/sessions',
    '/health/live',
    '/health/ready',
    '/.well-known/jwks.json',
    '/docs/json',
    '/nope',
  ]) {
    const [get, head] = [await ann.get(url), await ann.ask('HEAD', url)]
    t.equal(head.status, get.status, url)
    t.equal(head.text, '', url)
    for (const name of ['content-type', 'content-length', 'cache-control', 'content-language'])
      t.equal(head.headers[name], get.headers[name], `${url} ${name}`)
  }
  t.equal((await app.anon.ask('HEAD', '/user/me')).status, 401)
})

t.test('OPTIONS is 204 with Allow, any method that is not there 405 with it', async (t) => {
  const app = await start(t)
  const addresses: [url: string, allow: string][] = [
    ['/user/register', 'OPTIONS, POST'],
    ['/user/login?x=1', 'OPTIONS, POST'],
    ['/user/refresh', 'OPTIONS, POST'],
    ['/user/logout', 'DELETE, OPTIONS, POST'],
    ['/user/me', 'GET, HEAD, OPTIONS, PATCH'],
    ['/user/%6De', 'GET, HEAD, OPTIONS, PATCH'],
    ['/user/password', 'OPTIONS, PUT'],
    ['/user/delete', 'OPTIONS, POST'],
    ['/user/sessions', 'GET, HEAD, OPTIONS'],
    ['/user/sessions/x', 'DELETE, OPTIONS'],
    ['/.well-known/jwks.json', 'GET, HEAD, OPTIONS'],
    ['/health/live', 'GET, HEAD, OPTIONS'],
    ['/docs/json', 'GET, HEAD, OPTIONS'],
  ]
  for (const [url, allow] of addresses) {
    for (const method of METHODS) {
      if (allow.split(', ').includes(method) && method !== 'OPTIONS') continue
      const answer = await app.anon.ask(method as 'GET', url, method === 'PUT' ? 'not even JSON' : undefined)
      t.equal(String(answer.headers.allow).split(', ').sort().join(', '), allow, `${method} ${url}`)
      t.equal(answer.status, method === 'OPTIONS' ? 204 : 405, `${method} ${url}`)
      if (method === 'OPTIONS') t.equal(answer.text, '')
      else if (method !== 'HEAD') t.equal(answer.body.code, 'METHOD_NOT_ALLOWED', `${method} ${url}`)
    }
  }
})

t.test('addresses that are not there, and those that cannot be read', async (t) => {
  const app = await start(t)
  const missing = [
    '/',
    '/nope',
    '/user',
    '/user/',
    '/user/me/',
    '//user/me',
    '/USER/ME',
    '/user/me/x',

    '/user%2Fme',
    '/user/me%00',
    '/__proto__',
    '/user/me;x=1',
    `/${'a'.repeat(15_000)}`,
    '/한국',
  ]
  const unreadable = [
    '/%zz',
    '/%',
    '/user/%E0%A4%A',
    '/user/sessions/%ff',
    '/user/sessions/%ED%A0%80',
    `/${'%zz'.repeat(4000)}`,
  ]
  for (const method of ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'TRACE'] as const) {
    for (const url of missing) {
      const answer = await app.anon.ask(method, encodeURI(url).replaceAll('%25', '%'))
      t.equal(answer.status, 404, `${method} ${url.slice(0, 40)}`)
      if (method !== 'HEAD') t.equal(answer.body.code, 'NOT_FOUND')
    }
    for (const url of unreadable) {
      const answer = await app.anon.ask(method, url)
      t.equal(answer.status, 400, `${method} ${url.slice(0, 40)}`)
      if (method !== 'HEAD') t.equal(answer.body.code, 'BAD_REQUEST')
    }
  }
})

onEachEngine(t, 'no id in an address is more than not found', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const ids = [
    '',
    '0',
    'x',
    '%00',
    'a%00',
    '%ED%95%9C%EA%B5%AD',
    '%F0%9F%98%80',
    'a%2Fb',
    "'%20OR%201=1--",
    '%25',
    '*',
    '..%2f',
    ':id',
    'a'.repeat(37),
    'a'.repeat(15_000),
  ]
  for (const id of ids) {
    const answer = await ann.delete(`/user/sessions/${id}`)
    t.match(answer, { status: 404, body: { code: 'SESSION_NOT_FOUND' } }, id.slice(0, 40))
  }
})

t.test('the language of errors', async (t) => {
  const app = await start(t)
  const cases: [accept: string | undefined, language: 'en' | 'ko'][] = [
    [undefined, 'en'],
    ['', 'en'],
    ['en', 'en'],
    ['ko', 'ko'],
    ['KO', 'ko'],
    ['ko-KR', 'ko'],
    ['ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7', 'ko'],
    ['en-GB,en;q=0.9,ko;q=0.8', 'en'],
    ['en;q=0.1,ko;q=0.2', 'ko'],
    ['fr', 'en'],
    ['fr,ko;q=0.1', 'ko'],
    ['*', 'en'],
    ['ko;q=0', 'en'],
    ['ko;q=0,*', 'en'],
    ['en;q=0,*', 'ko'],
    [';;,=q,q=1;;', 'en'],
    ['\u0000\u00ff,'.repeat(2000), 'en'],
  ]
  for (const [accept, language] of cases) {
    const headers = accept === undefined ? {} : { 'accept-language': accept }
    const answers: [answer: Answer, code: Code][] = [
      [await app.anon.post('/user/register', { username: 'ann' }, headers), 'VALIDATION_FAILED'],
      [await app.anon.get('/nope', headers), 'NOT_FOUND'],
      [await app.anon.get('/%zz', headers), 'BAD_REQUEST'],
      [await app.anon.get('/user/me', headers), 'UNAUTHENTICATED'],
    ]
    for (const [{ body, headers }, code] of answers) {
      t.match({ body, headers }, { body: { code, message: ERRORS[code][language] } }, String(accept).slice(0, 40))
      t.equal(headers['content-language'], language)
      t.equal(headers.vary, 'accept-language')
      for (const { message } of body.details ?? []) t.equal(/\p{sc=Hangul}/u.test(message), language === 'ko', message)
    }
  }
})

t.test('the table of errors is the one of the contract, in both languages', async (t) => {
  const statuses: Record<number, string> = {
    400: 'MALFORMED_BODY VALIDATION_FAILED PASSWORD_TOO_COMMON BAD_REQUEST',
    401: 'UNAUTHENTICATED TOKEN_EXPIRED INVALID_TOKEN INVALID_CREDENTIALS INVALID_REFRESH_TOKEN REFRESH_TOKEN_REUSED',
    403: 'FORBIDDEN WRONG_PASSWORD REGISTRATION_CLOSED',
    404: 'NOT_FOUND SESSION_NOT_FOUND',
    405: 'METHOD_NOT_ALLOWED',
    408: 'REQUEST_TIMEOUT',
    409: 'EMAIL_TAKEN USERNAME_TAKEN',
    413: 'BODY_TOO_LARGE',
    415: 'UNSUPPORTED_MEDIA_TYPE',
    417: 'EXPECTATION_FAILED',
    429: 'RATE_LIMITED',
    431: 'HEADERS_TOO_LARGE',
    500: 'INTERNAL',
    503: 'OVERLOADED UNAVAILABLE',
  }
  const expected = Object.entries(statuses).flatMap(([status, codes]) =>
    codes.split(' ').map((code) => `${status} ${code}`),
  )
  t.strictSame(CODES.map((code) => `${ERRORS[code].status} ${code}`).sort(), expected.sort())
  for (const code of CODES) {
    const { en, ko } = ERRORS[code]
    t.match(en, /^[A-Z][\x20-\x7e]+\.$/, code)
    t.match(ko, /\p{sc=Hangul}.*\.$/u, code)
  }
  t.equal(new Set(CODES.flatMap((code) => [ERRORS[code].en, ERRORS[code].ko])).size, 2 * CODES.length, 'each its own')
})

t.test('the body and the headers of an error', async (t) => {
  const app = await start(t)
  const { status, body, headers } = await app.anon.post('/user/login', { username: 'nobody', password: 'x' })
  t.equal(status, 401)
  const message = 'The name or the password is wrong.'
  t.strictSame(body, { statusCode: 401, code: 'INVALID_CREDENTIALS', error: 'Unauthorized', message })
  t.equal(headers['www-authenticate'], 'Bearer')
  t.equal(headers['content-type'], 'application/json; charset=utf-8')
  const none = await app.anon.get('/user/me')
  t.match(none, { body: { code: 'UNAUTHENTICATED' }, headers: { 'www-authenticate': /^Bearer$/ } })
  const bad = await app.anon.get('/user/me', { authorization: 'Bearer x' })
  t.match(bad, { body: { code: 'INVALID_TOKEN' }, headers: { 'www-authenticate': /^Bearer error="invalid_token"$/ } })
  for (const authorization of [`Bearer${' '.repeat(15_000)}`, `Bearer${' '.repeat(8000)}${'\xa0'.repeat(7000)}`])
    t.equal((await app.anon.get('/user/me', { authorization })).body.code, 'UNAUTHENTICATED')
})

const SECURITY = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
}

t.test('security headers and no-store stand on every answer, and only public keys may be cached', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  const answers = [
    ann.answer,
    await ann.post('/user/refresh', { refresh_token: ann.tokens.refresh_token }),
    await ann.post('/user/login', { username: 'ann', password: PASSWORD }),
    await ann.get('/user/me'),
    await app.anon.get('/user/me'),
    await app.anon.get('/nope'),
    await app.anon.get('/%zz'),
    await app.anon.ask('OPTIONS', '/user/me'),
    await app.anon.put('/user/me'),
  ]
  for (const { status, headers } of answers) {
    t.equal(headers['cache-control'], 'no-store', String(status))
    t.match(headers, SECURITY, String(status))
    t.notMatch(Object.keys(headers), ['server', 'x-powered-by'])
  }
  const { headers, body } = await app.anon.get('/.well-known/jwks.json')
  t.match(headers['cache-control'], /^public, max-age=\d+$/)
  t.match(headers, SECURITY)
  t.equal(body.keys.length, 2)
  for (const key of body.keys)
    t.strictSame(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'], 'no private part')
})

t.test('x-request-id is taken only from a trusted proxy, and only where it fits', async (t) => {
  const ids: [id: string, fits: boolean][] = [
    ['a', true],
    ['0af7651916cd43dd8448eb211c80319c', true],
    ['A.b-c_9', true],
    ['x'.repeat(64), true],
    ['x'.repeat(65), false],
    ['x'.repeat(5000), false],
    ['', false],
    ['a b', false],
    ['a,b', false],
    ['é', false],
    ['{"a":1}', false],
    ['<script>', false],
  ]
  for (const [proxies, trusted] of [
    ['', false],
    ['10.0.0.0/8', false],
    ['127.0.0.0/8', true],
    ['127.0.0.1,fd00::/8', true],
  ] as const) {
    const app = await start(t, { TRUSTED_PROXIES: proxies })
    const seen = new Set()
    for (const url of ['/health/live', '/nope', '/%zz']) {
      for (const [id, fits] of ids) {
        const { headers } = await app.anon.get(url, { 'x-request-id': id })
        t.equal(headers['x-request-id'] === id, fits && trusted, `${proxies} ${url} ${id.slice(0, 40)}`)
        if (!(fits && trusted)) seen.add(headers['x-request-id'])
      }
    }
    t.equal(seen.size, 3 * ids.filter(([, fits]) => !(fits && trusted)).length, 'else each has its own')
  }
})

t.test('X-Forwarded-For is believed only from a trusted proxy', async (t) => {
  const cases: [proxies: string, remote: string, forwarded: string | undefined, ip: string][] = [
    ['', '127.0.0.1', undefined, '127.0.0.1'],
    ['', '127.0.0.1', '198.51.100.1', '127.0.0.1'],
    ['10.0.0.0/8', '127.0.0.1', '198.51.100.1', '127.0.0.1'],
    ['10.0.0.0/8', '10.1.2.3', '198.51.100.1', '198.51.100.1'],
    ['10.0.0.0/8', '::ffff:10.1.2.3', '198.51.100.1', '198.51.100.1'],
    ['10.0.0.0/8', '10.1.2.3', '203.0.113.9, 198.51.100.1', '198.51.100.1'],
    ['10.0.0.0/8', '10.1.2.3', '203.0.113.9, 198.51.100.1, 10.9.9.9', '198.51.100.1'],
    ['10.0.0.0/8', '10.1.2.3', '2001:db8::1', '2001:db8::1'],
    ['fd00::/8', 'fd00::1', '198.51.100.1', '198.51.100.1'],
    ['fd00::/8', 'fe80::1', '198.51.100.1', 'fe80::1'],
    ['10.0.0.0/8', '10.1.2.3', 'garbage', '10.1.2.3'],
    ['10.0.0.0/8', '10.1.2.3', '198.51.100.1, garbage', '10.1.2.3'],
    ['10.0.0.0/8', '10.1.2.3', 'garbage, 198.51.100.1', '198.51.100.1'],
    ['10.0.0.0/8', '10.1.2.3', '', '10.1.2.3'],
    ['10.0.0.0/8', '10.1.2.3', ',,,', '10.1.2.3'],
    ['10.0.0.0/8', '10.1.2.3', '<script>alert(1)</script>', '10.1.2.3'],
    ['10.0.0.0/8', '10.1.2.3', '1.2.3.4, '.repeat(1000), '1.2.3.4'],
  ]
  const apps = new Map<string, TestApp>()
  for (const [proxies, remoteAddress, forwarded, ip] of cases) {
    const known = apps.get(proxies)
    const app = known ?? (await start(t, { TRUSTED_PROXIES: proxies }))
    if (!known) await app.register('ann')
    apps.set(proxies, app)
    const { payload } = await app.server.inject({
      method: 'POST',
      url: '/user/login',
      remoteAddress,
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
      payload: { username: 'ann', password: PASSWORD },
    })
    const authorization = `Bearer ${JSON.parse(payload).access_token}`
    const { body } = await app.anon.get('/user/sessions', { authorization })
    t.equal(
      body.sessions.find(({ current }: { current: boolean }) => current).ip,
      ip,
      `${remoteAddress} ${forwarded?.slice(0, 50)}`,
    )
  }
})

t.test('what is sent on a socket', async (t) => {
  const app = await start(t)
  const port = await listen(app.server)
  const get = 'GET /health/live HTTP/1.1\r\nHost: a\r\n'
  const post = 'POST /user/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n'
  const json = '{"username":"nobody","password":"x"}'
  const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`
  const cases: [name: string, bytes: string, code: Code | 200][] = [
    ['plain', `${get}\r\n`, 200],
    ['a tunnel', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 'BAD_REQUEST'],
    ['no Host', 'GET /health/live HTTP/1.1\r\n\r\n', 'BAD_REQUEST'],
    ['two Hosts', `${get}Host: b\r\n\r\n`, 'BAD_REQUEST'],
    ['twice the same Host', `${get}host: a\r\n\r\n`, 'BAD_REQUEST'],
    ['a Host that is none', 'GET /health/live HTTP/1.1\r\nHost: a b/c\r\n\r\n', 'BAD_REQUEST'],
    ['a Host with a port', 'GET /health/live HTTP/1.1\r\nHost: [::1]:3000\r\n\r\n', 200],
    ['an empty Host', 'GET /health/live HTTP/1.1\r\nHost:\r\n\r\n', 200],
    ['HTTP/1.0 without Host', 'GET /health/live HTTP/1.0\r\n\r\n', 200],
    ['HTTP/1.0 with two', 'GET /health/live HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n', 'BAD_REQUEST'],
    ['an absolute address', 'GET http://a/health/live HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    [
      'an unknown Expect',
      `${post}Expect: the-moon\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
      'EXPECTATION_FAILED',
    ],
    ['an unknown Expect, no body', `${get}Expect: the-moon\r\n\r\n`, 'EXPECTATION_FAILED'],
    ['a head as large as allowed', `${get}X: ${'x'.repeat(15_800)}\r\n\r\n`, 200],
    ['a head too large', `${get}X: ${'x'.repeat(16 * 1024)}\r\n\r\n`, 'HEADERS_TOO_LARGE'],
    ['many headers', `${get}${'X: xxxxxxxxxx\r\n'.repeat(1500)}\r\n`, 'HEADERS_TOO_LARGE'],
    ['an address too large', `GET /${'x'.repeat(17_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 'HEADERS_TOO_LARGE'],
    ['garbage', 'garbage\r\n\r\n', 'BAD_REQUEST'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 'BAD_REQUEST'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'BAD_REQUEST'],
    ['an unknown method', 'FOO / HTTP/1.1\r\nHost: a\r\n\r\n', 'BAD_REQUEST'],
    ['an unknown version', 'GET /health/live HTTP/3.0\r\nHost: a\r\n\r\n', 'BAD_REQUEST'],
    ['a NUL in a header', `${get}X: a\0b\r\n\r\n`, 'BAD_REQUEST'],
    ['a space before the colon', `${get}X : a\r\n\r\n`, 'BAD_REQUEST'],
    ['a header on two lines', `${get}X: a\r\n b\r\n\r\n`, 'BAD_REQUEST'],
    ['a length that is none', `${post}Content-Length: -1\r\n\r\n`, 'BAD_REQUEST'],
    ['two lengths', `${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 'BAD_REQUEST'],
    ['a length and chunks', `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'BAD_REQUEST'],
    ['an unknown coding', `${post}Transfer-Encoding: gzip\r\n\r\n${json}`, 'BAD_REQUEST'],
    ['a bad chunk', `${chunked}zz\r\n{}\r\n0\r\n\r\n`, 'BAD_REQUEST'],
    ['good chunks', `${chunked}${json.length.toString(16)}\r\n${json}\r\n0\r\n\r\n`, 'INVALID_CREDENTIALS'],
    ['no chunk', `${chunked}0\r\n\r\n`, 'MALFORMED_BODY'],
    ['no chunk where none is taken', `${get}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 200],
    ['a chunk where none is taken', `${get}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`, 'BAD_REQUEST'],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 'NOT_FOUND'],
    ['a raw byte in the address', 'GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n', 'BAD_REQUEST'],
    ['an upgrade', `${get}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`, 200],
  ]
  for (const [name, bytes, code] of cases) {
    const answer = await exchange(port, Buffer.from(bytes, 'latin1'))
    if (!answer) t.fail(`${name}: no answer`)
    else {
      t.match(answer, code === 200 ? { status: 200 } : { status: ERRORS[code].status, body: { code } }, name)
      t.match(answer.headers, { ...SECURITY, 'cache-control': 'no-store', date: /GMT$/ }, name)
      holdAgainstContract(t, undefined, name, '', answer)
    }
  }

  t.test('a connection that goes on', async (t) => {
    const wire = await openWire(port)
    wire.send(`${get}\r\nGET /nope HTTP/1.1\r\nHost: a\r\n\r\n`)
    t.equal((await wire.next())?.status, 200, 'a pipelined pair: the first')
    t.equal((await wire.next())?.status, 404, 'and the second')
    wire.send(`PUT /user/me HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /${get}\r\n`)
    t.equal((await wire.next())?.status, 405, 'a body that nobody wants is no request')
    t.equal((await wire.next())?.status, 200)
    wire.send(`${post}Expect: 100-continue\r\nContent-Length: ${json.length}\r\n\r\n`)
    t.equal((await wire.next())?.status, 100)
    wire.send(json)
    t.equal((await wire.next())?.status, 401, 'Expect: 100-continue')
    wire.send('garbage\r\n\r\n')
    t.match(await wire.next(), { status: 400, headers: { connection: 'close' } })
    t.equal(await wire.next(), undefined, 'closed after what cannot be read')

    const refused = await openWire(port)
    refused.send(`${post}Content-Length: 2\r\n\r\n{]${get}\r\n`)
    const answer = { status: 400, body: { code: 'MALFORMED_BODY' }, headers: { connection: 'close' } }
    t.match(await refused.next(), answer, 'closed after a body that is refused, and said so')
    t.equal(await refused.next(), undefined)
  })

  t.test('one that ends half-way', async (t) => {
    for (const bytes of ['GET /hea', get, `${post}Content-Length: 20\r\n\r\n{"user`, `${chunked}5\r\n{`]) {
      const wire = await openWire(port)
      wire.socket.end(bytes)
      const answer = await wire.next()
      t.match(answer, { status: 400, body: { code: 'BAD_REQUEST' } }, bytes.slice(0, 10))
      holdAgainstContract(t, undefined, 'half', '', answer!)
      const reset = await openWire(port)
      reset.socket.on('error', () => {})
      reset.send(bytes)
      reset.socket.resetAndDestroy()
    }
  })

  t.equal((await exchange(port, `${get}\r\n`))?.status, 200, 'and the service goes on')
})

t.test('a request that does not arrive in time is 408', async (t) => {
  const app = await start(t)
  t.ok(app.server.server.headersTimeout <= 15_000 && app.server.server.requestTimeout <= 15_000, 'within 15 s')
  Object.assign(app.server.server, { headersTimeout: 100, requestTimeout: 200 })
  const port = await listen(app.server)
  const slow = [
    'GET /health/live HTTP/1.1\r\nHost: a\r\n',
    'POST /user/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{',
  ]
  for (const answer of await Promise.all(slow.map((bytes) => exchange(port, bytes)))) {
    t.match(answer, { status: 408, body: { code: 'REQUEST_TIMEOUT' }, headers: { connection: 'close' } })
    holdAgainstContract(t, undefined, 'slow', '', answer!)
  }
})

t.test('a request while closing is 503 UNAVAILABLE', async (t) => {
  const app = await start(t)
  const wire = await openWire(await listen(app.server))
  const get = 'GET /user/me HTTP/1.1\r\nHost: a\r\nX-Request-Id: from-a-stranger\r\n'
  // In one packet: where the first is answered, the second has begun.
  wire.send(`${get}\r\n${get}Accept-Language: ko\r\n`)
  t.equal((await wire.next())?.status, 401)
  const closed = app.server.close()
  while (app.server.server.listening) await setImmediate()
  wire.send('\r\n')
  const answer = await wire.next()
  t.match(answer, {
    status: 503,
    body: { code: 'UNAVAILABLE', message: ERRORS.UNAVAILABLE.ko },
    headers: { connection: 'close', 'retry-after': /^[1-9]\d*$/ },
  })
  holdAgainstContract(t, undefined, 'closing', '', answer!)
  t.equal(await wire.next(), undefined)
  await closed
})
