/**
 * The schema, as an ordered list of single statements. Additive only within a major version; each step may be run
 * again, since a schema change commits by itself and the process may die between two of them.
 */
import type { Types } from './engine.ts'

type Step = (types: Types) => string

export const MIGRATIONS: Step[] = [
  ({ id, canonical, text, long }) => `CREATE TABLE users (
    id ${id} NOT NULL PRIMARY KEY,
    email ${text(320)} NOT NULL,
    email_canonical ${canonical} NOT NULL UNIQUE,
    email_verified INTEGER NOT NULL,
    username ${text(80)} NOT NULL,
    username_canonical ${canonical} NOT NULL UNIQUE,
    password_hash ${text(255)} NOT NULL,
    roles ${long} NOT NULL,
    logins BIGINT NOT NULL,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
  )`,
  // No foreign key: an ended session is remembered after its person is gone.
  ({ id, text }) => `CREATE TABLE sessions (
    id ${id} NOT NULL PRIMARY KEY,
    user_id ${id} NOT NULL,
    handle_hash ${id} NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    rotated_at BIGINT,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    until BIGINT NOT NULL,
    ip ${text(255)} NOT NULL,
    user_agent ${text(255)} NOT NULL
  )`,
  () => 'CREATE INDEX sessions_of_user ON sessions (user_id, ended_at, last_used_at)',
  () => 'CREATE INDEX sessions_ended ON sessions (ended_at)',
  () => 'CREATE INDEX sessions_expiring ON sessions (expires_at)',
  ({ id, text, long }) => `CREATE TABLE signing_keys (
    kid ${id} NOT NULL PRIMARY KEY,
    alg ${text(16)} NOT NULL,
    public_jwk ${long} NOT NULL,
    private_sealed ${long} NOT NULL,
    created_at BIGINT NOT NULL
  )`,
  // Keys of the version before sign: 0 stands for their beginning. A new key that only waits is inserted with NULL.
  () => 'ALTER TABLE signing_keys ADD COLUMN signs_at BIGINT DEFAULT 0',
  // What an instance of the version before may have signed for so long is not known: as long as the setting allows.
  () => 'ALTER TABLE signing_keys ADD COLUMN token_ttl INTEGER NOT NULL DEFAULT 86400',
]
