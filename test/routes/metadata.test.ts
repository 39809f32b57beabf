/** The metadata documents: the literal members of the contract, under every address at which a client may look for them. */
import t, { type Test } from 'tap'
import { createEngine } from '../engines.ts'
import { basicOf, FORM, openApp, SERVICE, startApp, type TestApp } from '../helper.ts'

const start = (t: Test, ISSUER: string) => startApp(t, createEngine(t, 'sqlite'), { ISSUER })

const NAMES = ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']

/** Of each issuer: what its addresses begin with, and the path that a client may append to the well-known name. */
const ISSUERS: [issuer: string, base: string, inserted: string][] = [
  ['https://auth.example.com', 'https://auth.example.com', ''],
  ['https://auth.example.com/', 'https://auth.example.com', ''],
  ['http://127.0.0.1:8080/latchkey', 'http://127.0.0.1:8080/latchkey', '/latchkey'],
  ['https://example.com/auth/', 'https://example.com/auth', '/auth'],
  ['https://example.com/v1.0/a_b~C-9', 'https://example.com/v1.0/a_b~C-9', '/v1.0/a_b~C-9'],
]

const metadata = (issuer: string, base: string) => ({
  issuer,
  jwks_uri: `${base}/.well-known/jwks.json`,
  introspection_endpoint: `${base}/oauth/introspect`,
  introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
  revocation_endpoint: `${base}/oauth/revoke`,
  revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
  response_types_supported: [],
  grant_types_supported: [],
  id_token_signing_alg_values_supported: ['ES256'],
})

for (const [issuer, base, inserted] of ISSUERS) {
  t.test(`the issuer ${issuer}`, async (t) => {
    const app = await start(t, issuer)
    for (const url of new Set(NAMES.flatMap((name) => [name, name + inserted]))) {
      const { status, body, headers } = await app.anon.get(url)
      t.strictSame({ status, body }, { status: 200, body: metadata(issuer, base) }, url)
      t.equal(headers['content-type'], 'application/json; charset=utf-8')
      t.equal(headers['cache-control'], 'public, max-age=300')
      t.match(await app.anon.ask('HEAD', url), { status: 200, text: '' })
      t.match(await app.anon.post(url), { status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } })
    }
    await t.test('has no other address', (t) => holdNoOther(t, app, inserted))
  })
}

async function holdNoOther(t: Test, app: TestApp, inserted: string): Promise<void> {
  const others = [
    '/',
    '/other',
    `${inserted}/`,
    `${inserted}x`,
    `${inserted}/x`,
    `${inserted.toUpperCase()}/X`,
    '//',
    '/*',
  ]
  for (const url of NAMES.flatMap((name) => others.map((other) => name + other)))
    t.match(await app.anon.get(url), { status: 404, body: { code: 'NOT_FOUND' } }, url)
}

t.test('what it names is there, and takes what it says', async (t) => {
  const app = await start(t, 'https://example.com/auth')
  const { body } = await app.anon.get(NAMES[0]!)
  /** As the gateway hands it on. */
  const within = (address: string) => address.replace('https://example.com/auth', '')
  const { keys } = (await app.anon.get(within(body.jwks_uri))).body
  const algs = new Set(keys.map(({ alg }: { alg: string }) => alg))
  t.strictSame([...algs], body.id_token_signing_alg_values_supported)
  const { tokens } = await app.register('ann')
  const token = tokens.access_token
  const ways: Record<string, [form: Record<string, string>, headers: Record<string, string>]> = {
    client_secret_basic: [{ token }, basicOf(SERVICE)],
    client_secret_post: [{ token, client_id: SERVICE.id, client_secret: SERVICE.secret }, {}],
  }
  for (const endpoint of ['introspection', 'revocation']) {
    for (const method of body[`${endpoint}_endpoint_auth_methods_supported`]) {
      const [form, headers] = ways[method]!
      const answer = await app.anon.form(within(body[`${endpoint}_endpoint`]), form, { ...FORM, ...headers })
      t.equal(answer.status, 200, `${endpoint} by ${method}`)
    }
  }
})

t.test('while the algorithm changes both are named, the one in force first', async (t) => {
  const first = await start(t, 'https://example.com')
  await first.server.close()
  const { DATABASE_URL } = first.config
  const second = await openApp(t, { DATABASE_URL, JWT_ALG: 'RS256' })
  const { body } = await second.anon.get(NAMES[0]!)
  t.strictSame(body.id_token_signing_alg_values_supported, ['RS256', 'ES256'])
})

t.test('the algorithm in force', async (t) => {
  for (const settings of [{ JWT_ALG: 'RS256' }, { JWT_ALG: 'HS256', JWT_SECRET: 'x'.repeat(32) }]) {
    const app = await startApp(t, createEngine(t, 'sqlite'), settings)
    const { body } = await app.anon.get(NAMES[0]!)
    t.strictSame(body.id_token_signing_alg_values_supported, [settings.JWT_ALG])
  }
})
