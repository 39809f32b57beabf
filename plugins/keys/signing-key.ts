/**
 * One signing key: an EC key on P-256 for ES256, an RSA key of 2,048 bits for RS256 (RFC 7518, sections 3.3 and 3.4). It
 * is made, sealed for the database, and opened again. All that is told of it is derived from its private part, so that
 * who can write into the table cannot publish a key.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import { promisify } from 'node:util'
import type { StoredKey } from '../db/keys.ts'
import { open, seal } from './seal.ts'

/** What a key of our own signs by; HS256 has no such key. */
export type Alg = 'ES256' | 'RS256'

/** A public key as the JWK set shows it (RFC 7517): `crv`, `x` and `y` of an EC key, `n` and `e` of an RSA key. */
export interface PublicJwk {
  kty: string
  crv?: string
  x?: string
  y?: string
  n?: string
  e?: string
  kid: string
  alg: Alg
  use: string
}

/** A key that is open. */
export interface SigningKey {
  kid: string
  alg: Alg
  privatePem: string
  publicPem: string
  publicJwk: PublicJwk
}

type SealedKey = Pick<StoredKey, 'kid' | 'privateSealed'>

const generate = promisify(generateKeyPair)

/** Makes a key and seals it. Off the main thread: an RSA key takes its time. */
export async function makeKey(wanted: Alg, sealing: Buffer, nonce: Buffer) {
  const { kid, alg, privatePem, publicJwk } = await generateKey(wanted)
  return { kid, alg, privateSealed: seal(privatePem, kid, sealing, nonce), publicJwk: JSON.stringify(publicJwk) }
}

/** Never one whose id begins with `-`: on a command line it would be taken for an option. */
async function generateKey(alg: Alg): Promise<SigningKey> {
  for (;;) {
    const { privateKey } =
      alg === 'RS256' ? await generate('rsa', { modulusLength: 2048 }) : await generate('ec', { namedCurve: 'P-256' })
    const key = describe(privateKey)
    if (!key.kid.startsWith('-')) return key
  }
}

/** Opens a key by whichever entry of SECRET fits; undefined where none does, or where its name is not its own. */
export function openKey({ kid, privateSealed }: SealedKey, sealing: Buffer[]): SigningKey | undefined {
  const pem = open(privateSealed, kid, sealing)
  const key = pem === undefined ? undefined : describe(createPrivateKey(pem))
  return key?.kid === kid ? key : undefined
}

/** Seals a key anew under the first entry of SECRET. Undefined where it is sealed by that already. */
export function resealKey({ kid, privateSealed }: SealedKey, sealing: [Buffer, ...Buffer[]], nonce: Buffer) {
  const [first, ...others] = sealing
  const pem = open(privateSealed, kid, others)
  return pem === undefined ? undefined : seal(pem, kid, first, nonce)
}

function describe(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey)
  const members = publicKey.export({ format: 'jwk' })
  const kid = thumbprint(members)
  const alg = members.kty === 'RSA' ? 'RS256' : 'ES256'
  return {
    kid,
    alg,
    privatePem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    publicPem: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    publicJwk: { ...members, kid, alg, use: 'sig' } as PublicJwk,
  }
}

/** RFC 7638: over the members that a key of its kind must have, in the order of their names. */
function thumbprint({ kty, crv, x, y, n, e }: JsonWebKey): string {
  const members = kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y }
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url')
}
