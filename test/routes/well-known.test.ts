/** GET /.well-known/jwks.json: enough for every other service to verify an access token by itself. */
import { createPublicKey, type JsonWebKey, verify } from 'node:crypto'
import t from 'tap'
import { onEachEngine } from '../engines.ts'
import { claimsOf, headerOf, openApp, startApp } from '../helper.ts'

type Jwk = JsonWebKey & { kid: string; alg: string; use: string }

/** As another service does it, by nothing but RFC 7515, 7517 and 7518. */
function verifies(token: string, jwk: Jwk): boolean {
  const [header, payload, signature] = token.split('.') as [string, string, string]
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  const signed = Buffer.from(`${header}.${payload}`)
  return verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))
}

onEachEngine(t, 'the JWK set verifies an access token', async (t, engine) => {
  const app = await startApp(t, engine)
  const answer = await app.anon.get('/.well-known/jwks.json')
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(answer.headers['cache-control'], 'public, max-age=300')
  const keys: Jwk[] = answer.body.keys
  t.equal(keys.length, 2, 'the one that signs and the next one')
  t.strictSame(Object.keys(keys[0]!).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'], 'public parts only')
  t.match(keys[0], { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' })

  const { tokens } = await app.register('ann')
  const { alg, kid } = headerOf(tokens.access_token)
  t.equal(alg, 'ES256')
  const key = keys.find((jwk) => jwk.kid === kid)
  t.ok(verifies(tokens.access_token, key!))
  const [header, , signature] = tokens.access_token.split('.')
  const claims = Buffer.from(JSON.stringify({ ...claimsOf(tokens.access_token), roles: ['admin'] })).toString(
    'base64url',
  )
  t.notOk(verifies(`${header}.${claims}.${signature}`, key!), 'and no other')
  const forged = await app.anon.get('/user/me', { authorization: `Bearer ${header}.${claims}.${signature}` })
  t.equal(forged.body.code, 'INVALID_TOKEN')
})

onEachEngine(t, 'the key lives on after a restart, and is another one in another database', async (t, engine) => {
  const databaseUrl = await engine.databaseUrl()
  const first = await openApp(t, { DATABASE_URL: databaseUrl })
  const { body } = await first.anon.get('/.well-known/jwks.json')
  const ann = await first.register('ann')
  await first.server.close()
  const second = await openApp(t, { DATABASE_URL: databaseUrl })
  second.clock.time = first.clock.time
  t.strictSame((await second.anon.get('/.well-known/jwks.json')).body, body)
  t.equal((await second.as(ann.answer).get('/user/me')).status, 200)
  const other = await startApp(t, engine)
  t.notSame((await other.anon.get('/.well-known/jwks.json')).body, body)
  t.equal((await other.as(ann.answer).get('/user/me')).body.code, 'INVALID_TOKEN')
})
