/**
 * Stock software accepts good tokens and refuses bad ones, given the issuer alone: the service as a process, at its own
 * origin and behind a gateway under a path, judged by other people's libraries as they come (test/judges.ts).
 */
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import t, { type Test } from 'tap'
import { readConfig } from '../config.ts'
import { open } from '../plugins/keys/seal.ts'
import { createSecrets } from '../plugins/keys/secrets.ts'
import { connect, createEngine } from './engines.ts'
import { encode, es256 } from './forgeries.ts'
import { claimsOf, headerOf, SERVICE, startApp } from './helper.ts'
import { JUDGES } from './judges.ts'
import { freePort } from './mariadb.ts'
import { startNginx } from './nginx.ts'
import { bearer, client, register, type Service, serve, settingsOf } from './process.ts'
import { skipWithout } from './programs.ts'

const AUDIENCE = 'latchkey'
const HOUR = 3600

type Signer = (text: string) => string

const by =
  (key: KeyObject): Signer =>
  (text) =>
    es256(text, key)
const hs256 =
  (key: string): Signer =>
  (text) =>
    createHmac('sha256', key).update(text).digest('base64url')
const unsigned: Signer = () => ''

/** The key by which a token of this database was signed. */
async function signingKeyOf(token: string, databaseUrl: string, env: Record<string, string | undefined>) {
  const config = readConfig({ ...env, DATABASE_URL: databaseUrl })
  const database = await connect(databaseUrl)
  const { kid } = headerOf(token) as { kid: string }
  const [row] = await database.sql<{ private_sealed: string }>(
    'SELECT private_sealed FROM signing_keys WHERE kid = ?',
    [kid],
  )
  await database.close()
  return createPrivateKey(open(row!.private_sealed, kid, createSecrets(config)('signing-key-seal'))!)
}

/** What a library must not take for a good token, by what is wrong with it. `foreign` is a token of another service. */
function badTokens(token: string, key: KeyObject, foreign: string): Record<string, string> {
  const [head, payload, signature] = token.split('.') as [string, string, string]
  const [header, claims] = [headerOf(token), claimsOf(token)]
  const { privateKey: stranger } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString()
  const forge = (headers: object, changes: object, signer: Signer) => {
    const text = `${encode({ ...header, ...headers })}.${encode({ ...claims, ...changes })}`
    return `${text}.${signer(text)}`
  }
  const ours = by(key)
  const flipped = Buffer.from(signature, 'base64url')
  flipped[7]! ^= 1
  return {
    'another audience': forge({}, { aud: 'another' }, ours),
    'no audience': forge({}, { aud: undefined }, ours),
    'another issuer': forge({}, { iss: 'https://another.example' }, ours),
    'the issuer with a slash more': forge({}, { iss: `${claims.iss}/` }, ours),
    'no issuer': forge({}, { iss: undefined }, ours),
    'expired an hour ago': forge({}, { iat: claims.iat - 2 * HOUR, exp: claims.exp - 2 * HOUR }, ours),
    'no exp': forge({}, { exp: undefined }, ours),
    'of another service': foreign,
    'by a key of nobody': forge({}, {}, by(stranger)),
    'by a key of nobody, under its own kid': forge({ kid: 'unknown' }, {}, by(stranger)),
    'by a key of nobody, which it brings along': forge(
      { kid: undefined, jwk: createPublicKey(stranger).export({ format: 'jwk' }) },
      {},
      by(stranger),
    ),
    'another signature': `${head}.${payload}.${flipped.toString('base64url')}`,
    'other claims': `${head}.${encode({ ...claims, roles: ['admin'] })}.${signature}`,
    'no signature': `${head}.${payload}.`,
    'alg none': forge({ alg: 'none' }, {}, unsigned),
    'alg None, with the signature': `${encode({ ...header, alg: 'None' })}.${payload}.${signature}`,
    'HS256 with the public key as PEM': forge({ alg: 'HS256' }, {}, hs256(pem)),
    'HS256 with an empty key': forge({ alg: 'HS256' }, {}, hs256('')),
  }
}

/** Puts each library before the service, as one that knows the issuer and nothing else. */
async function putToTheTest(t: Test, service: Service, databaseUrl: string, issuer: string): Promise<void> {
  const ann = await register(service.ask)
  const left = await register(service.ask)
  const { access_token: good } = ann
  t.equal(claimsOf(good).iss, issuer)
  const key = await signingKeyOf(good, databaseUrl, settingsOf(databaseUrl))
  const other = await startApp(t, createEngine(t, 'sqlite'), { ISSUER: 'https://another.example' })
  const bad = badTokens(good, key, (await other.register('eve')).tokens.access_token)
  const otherType = badType(good, key)
  t.match(await service.ask('POST /user/logout', undefined, bearer(left)), { status: 200 })

  for (const { name, skip, start } of JUDGES) {
    await t.test(name, { skip }, async (t) => {
      const judge = await start(t, { issuer, audience: AUDIENCE, client: SERVICE })
      // At once, and before it has any key: what an answer says belongs to its own token.
      const several = await Promise.all([good, bad['another signature']!, good, good].map(judge))
      t.match(several, ['accepted', /^refused: /, 'accepted', 'accepted'], 'some together')
      t.equal(await judge(good), 'accepted', 'a good token')
      for (const [what, token] of Object.entries(bad)) t.match(await judge(token), /^refused: /, what)
      t.match(await judge(ann.refresh_token), /^refused: /, 'a refresh token')
      t.match(await judge(otherType), name === BLIND_TO_TYP ? 'accepted' : /^refused: /, 'of another type')
      t.match(await judge(left.access_token), name === ASKS ? /^refused: / : 'accepted', 'of an ended session')
      t.equal(await judge(good), 'accepted', 'the good one again')
    })
  }
}

/** The only one to which no `typ` comes: docs/verifying.md says it. */
const BLIND_TO_TYP = 'passport-jwt'
/** The only one that asks Latchkey about each token, and so knows of its session. */
const ASKS = 'openid-client'

/** Right in all but its `typ`. */
function badType(token: string, key: KeyObject): string {
  const text = `${encode({ ...headerOf(token), typ: 'JWT' })}.${token.split('.')[1]}`
  return `${text}.${es256(text, key)}`
}

const SERVICE_CLIENTS = `${SERVICE.id}:${SERVICE.secret}`

t.test('at its own origin', async (t) => {
  const databaseUrl = await createEngine(t, 'sqlite').databaseUrl()
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const service = await serve(t, databaseUrl, { PORT: String(port), ISSUER: issuer, SERVICE_CLIENTS })
  await putToTheTest(t, service, databaseUrl, issuer)
})

t.test('behind nginx, under a path', { skip: skipWithout('nginx') }, async (t) => {
  const databaseUrl = await createEngine(t, 'sqlite').databaseUrl()
  const port = await freePort()
  const { origin } = await startNginx(t, port)
  const issuer = `${origin}/latchkey`
  const settings = { PORT: String(port), ISSUER: issuer, SERVICE_CLIENTS, TRUSTED_PROXIES: '127.0.0.1' }
  const service = await serve(t, databaseUrl, settings)
  await putToTheTest(t, { ...service, ask: client(issuer) }, databaseUrl, issuer)
})
