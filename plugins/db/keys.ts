/**
 * The table `signing_keys`. The private part arrives sealed and leaves sealed. Changes are lists that demand what was read
 * before: whoever comes late changes nothing.
 */
import type { Engine, Statement } from './engine.ts'

export interface StoredKey {
  kid: string
  alg: string
  privateSealed: string
  /** Milliseconds since 1970, like all times here. */
  createdAt: number
  /** From when on it signs; null where it is only published. */
  signsAt: number | null
  /** The longest life of an access token that any instance signs with it, in seconds. */
  tokenTtl: number
}

/** The version before this one knew no `signs_at`: its keys, 0 by the default of the column, signed from the first. */
const SIGNS_AT = 'CASE signs_at WHEN 0 THEN created_at ELSE signs_at END'

/** The key as it was read. */
const SAME = `kid = ? AND COALESCE(${SIGNS_AT}, -1) = ? AND private_sealed = ?`
const sameAs = ({ kid, signsAt, privateSealed }: StoredKey) => [kid, signsAt ?? -1, privateSealed]

export function createKeysTable(engine: Engine) {
  return {
    /** All keys, the newest first. */
    all: () =>
      engine.all<StoredKey>(
        `SELECT kid, alg, private_sealed AS privateSealed, created_at AS createdAt, ${SIGNS_AT} AS signsAt, token_ttl AS tokenTtl
          FROM signing_keys ORDER BY created_at DESC, kid`,
      ),

    /** Makes these changes together. False where a key is not any more as it was read: then nothing has changed. */
    change: async (changes: Statement[]): Promise<boolean> => (await engine.batch(changes)) !== undefined,

    /** Notes that tokens signed with this key may live for so many seconds. */
    async noteTtl(kid: string, seconds: number): Promise<void> {
      await engine.run('UPDATE signing_keys SET token_ttl = ? WHERE kid = ? AND token_ttl < ?', [seconds, kid, seconds])
    },
  }
}

/** `publicJwk` is for people who look into the table, and for the version before this one. */
export function insertKey(key: StoredKey, publicJwk: string): Statement {
  return {
    sql: 'INSERT INTO signing_keys (kid, alg, public_jwk, private_sealed, created_at, signs_at, token_ttl) VALUES (?, ?, ?, ?, ?, ?, ?)',
    values: [key.kid, key.alg, publicJwk, key.privateSealed, key.createdAt, key.signsAt, key.tokenTtl],
  }
}

/** Turns a key as it was read into what it is to be from now on. */
export function updateKey(before: StoredKey, after: Partial<StoredKey>): Statement {
  const { signsAt, privateSealed } = { ...before, ...after }
  return {
    sql: `UPDATE signing_keys SET signs_at = ?, private_sealed = ? WHERE ${SAME}`,
    values: [signsAt, privateSealed, ...sameAs(before)],
    expect: 1,
  }
}

export function deleteKey(key: StoredKey): Statement {
  return { sql: `DELETE FROM signing_keys WHERE ${SAME}`, values: sameAs(key), expect: 1 }
}
