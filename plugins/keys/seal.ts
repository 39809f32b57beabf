/** Seals the private parts of signing keys for the database: AES-256-GCM (NIST SP 800-38D), bound to the key's id. */
import { createCipheriv, createDecipheriv } from 'node:crypto'

const VERSION = 'v1'

/** Gives `v1.nonce.ciphertext.tag`, each base64url. */
export function seal(text: string, kid: string, key: Buffer, nonce: Buffer): string {
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(kid))
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return [VERSION, ...[nonce, sealed, cipher.getAuthTag()].map((part) => part.toString('base64url'))].join('.')
}

/** Opens what `seal` made, by whichever of the keys fits; undefined where none does. */
export function open(sealed: string, kid: string, keys: Buffer[]): string | undefined {
  const [version, ...parts] = sealed.split('.')
  const [nonce, text, tag] = parts.map((part) => Buffer.from(part, 'base64url'))
  if (version !== VERSION || !nonce || !text || tag?.length !== 16) return undefined
  for (const key of keys) {
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 })
        .setAAD(Buffer.from(kid))
        .setAuthTag(tag)
      return Buffer.concat([decipher.update(text), decipher.final()]).toString('utf8')
    } catch {
      // Sealed under another entry of SECRET.
    }
  }
  return undefined
}
