/** The table `signing_keys`. The private part arrives sealed and leaves sealed. */
import type { Engine } from './engine.ts'

export interface StoredKey {
  kid: string
  alg: string
  publicJwk: string
  privateSealed: string
  createdAt: number
}

export function createKeysTable(engine: Engine) {
  return {
    /** All keys, the newest first. */
    all: () =>
      engine.all<StoredKey>(
        'SELECT kid, alg, public_jwk AS publicJwk, private_sealed AS privateSealed, created_at AS createdAt FROM signing_keys ORDER BY created_at DESC, kid',
      ),

    async insert(key: StoredKey): Promise<void> {
      await engine.run(
        'INSERT INTO signing_keys (kid, alg, public_jwk, private_sealed, created_at) VALUES (?, ?, ?, ?, ?)',
        [key.kid, key.alg, key.publicJwk, key.privateSealed, key.createdAt],
      )
    },
  }
}
