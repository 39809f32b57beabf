/** The OpenAPI document and its page: complete, and usable behind any address. */
import t from 'tap'
import { createEngine } from '../engines.ts'
import { documentedCodes, startApp } from '../helper.ts'
import { exchange, listen } from '../raw.ts'

interface Operation {
  operationId?: string
  summary?: string
  description?: string
  tags?: string[]
  security?: Record<string, string[]>[]
  requestBody?: { required?: boolean; content: Record<string, unknown> }
  responses: Record<string, { $ref?: string; description?: string }>
}

t.test('the OpenAPI document', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { status, body, headers } = await app.anon.get('/docs/json')
  t.equal(status, 200)
  t.match(headers['content-type'], /^application\/json/)
  t.match(body.openapi, /^3\.1\.\d+$/)
  t.match(body.info, { title: 'Latchkey', version: /^\d+\.\d+\.\d+$/, description: /./ })
  t.match(body.components.securitySchemes.bearer, { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' })
  for (const { url } of body.servers) t.notMatch(url, /^(https?:)?\/\//, 'the server is relative to the document')
  for (const base of ['http://localhost:3000/docs/json', 'https://gate.example/auth/docs/json']) {
    const root = new URL(`${new URL(body.servers[0].url, base).href.replace(/\/$/, '')}/user/login`)
    t.equal(root.href, base.replace('docs/json', 'user/login'))
  }

  const ids: string[] = []
  const open: string[] = []
  for (const [path, operations] of Object.entries(body.paths as Record<string, Record<string, Operation>>)) {
    t.notMatch(path, /^\/docs/, 'the page is not part of the service')
    for (const [method, operation] of Object.entries(operations)) {
      const name = `${method} ${path}`
      const { operationId = '', summary = '', description = '', tags = [], security, responses } = operation
      ids.push(operationId)
      t.match(
        { operationId, summary, description },
        { operationId: /^[a-z]\w*$/i, summary: /\S/, description: /\S/ },
        name,
      )
      t.ok(tags.length > 0, `${name} has a tag`)
      t.ok(security, `${name} says whether it asks for a token`)
      if (security?.length === 0) open.push(name)
      t.ok(
        Object.keys(responses).some((code) => code.startsWith('2')),
        `${name} says how it goes well`,
      )
      for (const [code, response] of Object.entries(responses)) {
        if (!response.$ref && (!response.description?.trim() || response.description === 'Default Response'))
          t.fail(`${name} ${code} is not described`)
        if (Number(code) >= 400) t.ok(documentedCodes(body, method, path, Number(code))?.length, `${name} ${code}`)
      }
    }
  }
  t.equal(new Set(ids).size, ids.length, 'no operationId twice')
  const closed = [
    'get /user/me',
    'patch /user/me',
    'put /user/password',
    'post /user/delete',
    'get /user/sessions',
    'delete /user/sessions/{id}',
    'delete /user/logout',
    'post /user/logout',
    'post /oauth/introspect',
    'post /oauth/revoke',
    'get /.well-known/revocations',
  ]
  for (const name of closed) t.notOk(open.includes(name), `${name} asks for a token`)
  for (const name of [
    'post /user/register',
    'post /user/login',
    'post /user/refresh',
    'get /.well-known/jwks.json',
    'get /health/live',
  ])
    t.ok(open.includes(name), `${name} does not`)
})

t.test('the same document as YAML', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { status, text } = await app.anon.get('/docs/yaml')
  t.equal(status, 200)
  t.match(text, /^openapi: 3\.1\.\d+$/m)
  t.match(text, /^ {2}\/user\/login:$/m)
})

t.test('the page', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { status, text, headers } = await app.anon.get('/docs/')
  t.equal(status, 200)
  t.match(headers['content-type'], /^text\/html/)
  const policy = String(headers['content-security-policy'])
  t.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
  t.notMatch(policy, /upgrade-insecure-requests|unsafe/)
  const parts = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(
    ([, link]) => new URL(link!, 'http://localhost/docs/'),
  )
  t.ok(parts.length >= 4)
  for (const { origin, pathname } of parts) {
    t.equal(origin, 'http://localhost', 'nothing is fetched from elsewhere')
    t.equal((await app.anon.get(pathname)).status, 200, pathname)
  }
  for (const path of [
    '/docs/static/..%2f..%2fpackage.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static/nope',
  ])
    t.equal((await app.anon.get(path)).status, 404, path)
})

t.test('behind the page there is no way around the gate', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const port = await listen(app.server)
  for (const up of ['../..', '%2e%2e/%2e%2e', '..\\..'])
    for (const url of [
      '/.well-known/revocations',
      '/.well-known/jwks.json',
      '/health/live',
      '/user/me',
      '/auth/verify',
    ]) {
      const path = `/docs/static/${up}${url}`
      const answer = await exchange(port, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
      t.match(answer, { status: 404, body: { code: 'NOT_FOUND' } }, path)
    }
})

t.test('the parts of the page, as browsers and others ask for them', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const path = '/docs/static/swagger-ui.css'
  const { headers, text } = await app.anon.get(path)
  t.match(headers, {
    'content-type': /^text\/css/,
    'x-frame-options': 'DENY',
    'content-length': `${Buffer.byteLength(text)}`,
  })
  const { etag, 'last-modified': modified } = headers as Record<string, string>
  for (const known of [{ 'if-none-match': etag! }, { 'if-modified-since': modified! }]) {
    const again = await app.anon.get(path, known)
    t.match(again, { status: 304, text: '', headers: { etag } })
    t.notOk(again.headers['content-type'])
  }
  t.match(await app.anon.get(path, { range: 'bytes=0-4' }), { status: 206, text: text.slice(0, 5) })
  t.match(await app.anon.get(path, { range: 'bytes=99999999-' }), {
    status: 400,
    body: { code: 'BAD_REQUEST' },
  })
  t.match(await app.anon.get('/docs/static/index.html'), { status: 302, headers: { location: '/docs/' }, text: '' })
  for (const url of ['/docs/', path])
    t.match(await app.anon.ask('OPTIONS', url), { status: 204, headers: { allow: 'GET, HEAD, OPTIONS' } })
})

t.test('DOCS=off leaves all of it out', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'), { DOCS: 'off' })
  for (const path of ['/docs', '/docs/', '/docs/json', '/docs/yaml', '/docs/static/index.css'])
    t.match(await app.anon.get(path), { status: 404, body: { code: 'NOT_FOUND' } }, path)
  t.match(await (await app.register('ann')).get('/user/me'), { status: 200 })
})
