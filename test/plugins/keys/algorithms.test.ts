/** JWT_ALG: RS256, the shared secret of HS256, and the way from one to another. */
import { createHmac, createPublicKey, type JsonWebKey, verify } from 'node:crypto'
import t from 'tap'
import { keysOf } from '../../../plugins/keys/index.ts'
import { createEngine, onEachEngine } from '../../engines.ts'
import { encode } from '../../forgeries.ts'
import { claimsOf, codeOf, headerOf, openApp, startApp, type TestApp } from '../../helper.ts'

const JWT_SECRET = 'a shared secret of this test: thirty-two bytes or more'
const LEAD = 335

type Jwk = JsonWebKey & { kid: string; alg: string; use: string }

const setOf = ({ server }: TestApp) => keysOf(server).set!
const jwksOf = async ({ anon }: TestApp): Promise<Jwk[]> => (await anon.get('/.well-known/jwks.json')).body.keys
const algsOf = async (app: TestApp) => (await jwksOf(app)).map(({ alg }) => alg)
const ask = ({ anon }: TestApp, token: string) => anon.get('/user/me', { authorization: `Bearer ${token}` })

/** Closes a service and starts one on its database, with its clock. */
async function restart(t: Parameters<typeof openApp>[0], app: TestApp, settings: Record<string, string>) {
  await app.server.close()
  return openApp(t, { DATABASE_URL: app.config.DATABASE_URL, ...settings }, app.clock)
}

onEachEngine(t, 'RS256', async (t, engine) => {
  const app = await startApp(t, engine, { JWT_ALG: 'RS256' })
  const jwks = await jwksOf(app)
  for (const jwk of jwks) {
    t.strictSame(Object.keys(jwk).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use'], 'public parts only')
    t.match(jwk, { kty: 'RSA', alg: 'RS256', use: 'sig', e: 'AQAB' })
    t.equal(Buffer.from(jwk.n!, 'base64url').length, 256, '2,048 bits')
  }
  const ann = await app.register('ann')
  const [head, payload, signature] = ann.tokens.access_token.split('.') as [string, string, string]
  t.strictSame(headerOf(ann.tokens.access_token), { alg: 'RS256', typ: 'at+jwt', kid: jwks[0]!.kid })
  const key = createPublicKey({ key: jwks[0]!, format: 'jwk' })
  t.ok(verify('sha256', Buffer.from(`${head}.${payload}`), key, Buffer.from(signature, 'base64url')))
  t.equal(codeOf(await ann.get('/user/sessions')), '200')
  for (const alg of ['ES256', 'PS256', 'RS512', 'HS256', 'none']) {
    const token = `${encode({ ...headerOf(ann.tokens.access_token), alg })}.${payload}`
    const mac = createHmac('sha256', setOf(app).current().publicPem).update(token).digest('base64url')
    for (const signed of [`${token}.${signature}`, `${token}.${mac}`])
      t.equal(codeOf(await ask(app, signed)), '401 INVALID_TOKEN', alg)
  }
  await setOf(app).rotate()
  await app.advance(LEAD)
  t.equal(codeOf(await (await app.register('bob')).get('/user/me')), '200')
  t.strictSame(await algsOf(app), ['RS256', 'RS256', 'RS256'])
})

onEachEngine(t, 'JWT_ALG changes at a start, and no token is lost', async (t, engine) => {
  let app = await startApp(t, engine)
  for (const [JWT_ALG, other] of [
    ['RS256', 'ES256'],
    ['ES256', 'RS256'],
  ] as const) {
    const ann = await app.register(`ann${JWT_ALG}`)
    app = await restart(t, app, { JWT_ALG })
    t.equal((await algsOf(app))[0], other, 'the old one signs on')
    t.equal((await algsOf(app)).filter((alg) => alg === JWT_ALG).length, 2, 'the new ones are published')
    const bob = await app.register(`bob${JWT_ALG}`)
    t.equal(headerOf(bob.tokens.access_token).alg, other)
    await app.advance(LEAD)
    const eve = await app.register(`eve${JWT_ALG}`)
    t.equal(headerOf(eve.tokens.access_token).alg, JWT_ALG)
    for (const person of [app.as(ann.answer), bob, eve]) t.equal(codeOf(await person.get('/user/me')), '200')
    await app.advance(1000)
    await setOf(app).tend()
    t.strictSame(await algsOf(app), [JWT_ALG, JWT_ALG], 'the old ones are gone')
  }
})

t.test(
  'instances of two minds do not fight',
  { skip: process.env.TEST_MYSQL_URL ? false : 'no MariaDB server' },
  async (t) => {
    const one = await startApp(t, createEngine(t, 'mariadb'))
    const DATABASE_URL = one.config.DATABASE_URL
    const other = await openApp(t, { DATABASE_URL, JWT_ALG: 'RS256' })
    const kids = async (app: TestApp) => (await jwksOf(app)).map(({ kid }) => kid).sort()
    await one.advance(0)
    const before = await kids(one)
    t.equal(before.length, 3)
    for (const app of [one, other, one, other]) {
      await setOf(app).tend()
      t.strictSame(await kids(app), before, 'nobody changes it each minute')
    }
    const command = await openApp(t, { DATABASE_URL, JWT_ALG: 'RS256' })
    t.strictSame(await kids(command), before, 'nor a start that agrees')
  },
)

onEachEngine(t, 'HS256: one secret and no keys', async (t, engine) => {
  const app = await startApp(t, engine, { JWT_ALG: 'HS256', JWT_SECRET })
  t.strictSame(await jwksOf(app), [])
  t.equal((await app.sql('SELECT kid FROM signing_keys')).length, 0)
  const ann = await app.register('ann')
  const token = ann.tokens.access_token
  t.strictSame(headerOf(token), { alg: 'HS256', typ: 'at+jwt' })
  const mac = (text: string, secret = JWT_SECRET, hash = 'sha256') =>
    `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`
  const [head, payload] = token.split('.') as [string, string]
  t.equal(mac(`${head}.${payload}`), token, 'as every other service computes it')
  for (const url of ['/user/me', '/user/sessions']) t.equal(codeOf(await ann.get(url)), '200')
  const made = (header: object, secret?: string, hash?: string) =>
    mac(`${encode({ ...headerOf(token), ...header })}.${payload}`, secret, hash)
  t.equal(codeOf(await ask(app, made({ x: 1 }))), '200', 'one like it')
  const forged = [
    made({}, `${JWT_SECRET} `),
    made({}, ''),
    made({}, app.config.SECRET[0]),
    ...['HS384', 'HS512'].map((alg) => made({ alg }, JWT_SECRET, `sha${alg.slice(2)}`)),
    ...['none', 'ES256', 'RS256', 'hs256', ''].map((alg) => made({ alg })),
    ...[null, '', 'x', 0].map((kid) => made({ kid })),
    made({ crit: ['x'], x: 1 }),
    made({ typ: 'JWT' }),
    `${encode({ alg: 'none', typ: 'at+jwt' })}.${payload}.`,
    mac(`${head}.${encode({ ...claimsOf(token), aud: 'other' })}`),
  ]
  for (const one of forged) t.equal(codeOf(await ask(app, one)), '401 INVALID_TOKEN', one.slice(0, 60))
})

t.test('a secret that looks like a key is a secret', async (t) => {
  const secrets = [
    '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----',
    '{"kty":"EC","crv":"P-256","x":"x","y":"y"}',
    '-----BEGIN PRIVATE KEY-----\nnonsense that is long enough\n-----END PRIVATE KEY-----',
  ]
  for (const secret of secrets) {
    const app = await startApp(t, createEngine(t, 'sqlite'), { JWT_ALG: 'HS256', JWT_SECRET: secret })
    t.equal(codeOf(await (await app.register('ann')).get('/user/me')), '200', secret.slice(0, 20))
  }
})

onEachEngine(t, 'from keys to a secret and back: sessions live on, access tokens do not', async (t, engine) => {
  let app = await startApp(t, engine)
  const kids = (await jwksOf(app)).map(({ kid }) => kid)
  let { access_token, refresh_token } = (await app.register('ann')).tokens
  for (const settings of [{ JWT_ALG: 'HS256', JWT_SECRET }, { JWT_ALG: 'ES256' }]) {
    app = await restart(t, app, settings)
    t.equal(codeOf(await ask(app, access_token)), '401 INVALID_TOKEN')
    const { body } = await app.anon.post('/user/refresh', { refresh_token })
    ;({ access_token, refresh_token } = body)
    t.equal(codeOf(await ask(app, access_token)), '200')
    t.equal(headerOf(access_token).alg, settings.JWT_ALG)
  }
  t.strictSame(
    (await jwksOf(app)).map(({ kid }) => kid),
    kids,
    'with the keys from before',
  )
})
