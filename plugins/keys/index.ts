/**
 * Signing keys (ES256, RFC 7518, section 3.4): they live in the database, sealed under SECRET. The first one is made by
 * the first instance; one that does not open stops the start and is never replaced.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../../parts.ts'
import { type Db, dbOf } from '../db/index.ts'
import type { StoredKey } from '../db/keys.ts'
import { open, seal } from './seal.ts'
import { createSecrets } from './secrets.ts'

const ALG = 'ES256'

/** A public key as the JWK set shows it (RFC 7517). */
export interface PublicJwk {
  kty: string
  crv: string
  x: string
  y: string
  kid: string
  alg: string
  use: string
}

interface SigningKey {
  kid: string
  privatePem: string
  publicPem: string
  publicJwk: PublicJwk
}

interface Needs extends Pick<Parts, 'config' | 'now' | 'randomBytes'> {
  db: Db
}

async function createKeys({ db, config, now, randomBytes }: Needs) {
  const derive = createSecrets(config)
  const sealing = derive('signing-key-seal')
  if ((await db.keys.all()).length === 0) {
    await db.withLease('setup', async (check) => {
      if ((await db.keys.all()).length > 0) return
      await check()
      await db.keys.insert(makeKey(sealing[0], randomBytes(12), now()))
    })
  }
  const keys = (await db.keys.all()).map((stored) => openKey(stored, sealing))
  const byKid = new Map(keys.map((key) => [key.kid, key]))
  return {
    derive,
    /** The key that signs: the newest. */
    current: () => keys[0]!,
    /** The public key of this id, as PEM. */
    find: (kid: unknown) => byKid.get(kid as string)?.publicPem,
    /** The public keys, for everyone. */
    published: () => keys.map(({ publicJwk }) => publicJwk),
  }
}

function makeKey(sealing: Buffer, nonce: Buffer, createdAt: number): StoredKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { crv = '', x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv, kty: 'EC', x, y }))
    .digest('base64url') // RFC 7638
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  const publicJwk: PublicJwk = { kty: 'EC', crv, x, y, kid, alg: ALG, use: 'sig' }
  return {
    kid,
    alg: ALG,
    publicJwk: JSON.stringify(publicJwk),
    privateSealed: seal(pem, kid, sealing, nonce),
    createdAt,
  }
}

function openKey(stored: StoredKey, sealing: Buffer[]): SigningKey {
  const privatePem = open(stored.privateSealed, stored.kid, sealing)
  if (privatePem === undefined) {
    throw new Error(
      `The signing key ${stored.kid} in the database does not open under SECRET. Start with the SECRET that sealed it (it may be the second one of a list).`,
    )
  }
  const publicPem = createPublicKey(createPrivateKey(privatePem)).export({ format: 'pem', type: 'spki' }).toString()
  return { kid: stored.kid, privatePem, publicPem, publicJwk: JSON.parse(stored.publicJwk) }
}

export type Keys = Awaited<ReturnType<typeof createKeys>>
export const keysOf = (app: FastifyInstance) => app.getDecorator<Keys>('keys')

export default fp<Parts>(
  async (app, parts) => {
    app.decorate('keys', await createKeys({ ...parts, db: dbOf(app) }))
  },
  { name: 'keys', dependencies: ['db'] },
)
