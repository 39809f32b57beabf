// The database room by itself, as commands open it, with the engine below it for what no function of the room shows.

import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { buildApp } from '../../app.ts'
import { readConfig } from '../../config.ts'
import type { Engine, Value } from '../../plugins/db/engine.ts'
import { type Db, dbOf } from '../../plugins/db/index.ts'
import { createEngine } from '../../plugins/db/mysql.ts'
import { openSqlite } from '../../plugins/db/sqlite.ts'
import { databaseAddress } from '../../schemas/config.ts'
import type { Session } from '../../schemas/session.ts'
import type { Account } from '../../schemas/user.ts'

/** Of the tests: far enough in the past that a real clock read by accident shows. */
export const T0 = 1_700_000_000_000
export const SECOND = 1000
export const DAY = 86_400 * SECOND

type MysqlApp = { mysql: { pool: { pool: Parameters<typeof createEngine>[0] } } }

/** Settings for a test's app on this database. */
export const configOf = (url: string, settings: Record<string, string> = {}) =>
  readConfig({
    DATABASE_URL: url,
    SECRET: 'a secret of this test: thirty-two bytes or more',
    ISSUER: 'https://auth.example.com',
    LOG_LEVEL: 'silent',
    // A machine that is busy is no fault of the service.
    DB_MAX_WAIT_MS: '60000',
    ...settings,
  })

export interface Room {
  db: Db
  engine: Engine
  /** Where the room's clock stands. */
  clock: { time: number }
  close: () => Promise<void>
}

/** Opens the room on this database; closed when the test ends. */
export async function openRoom(t: Test, url: string, settings: Record<string, string> = {}): Promise<Room> {
  const clock = { time: Date.now() }
  const app = await buildApp({ config: configOf(url, settings), routes: false, now: () => clock.time })
  const address = databaseAddress(url)!
  const engine =
    address.kind === 'sqlite'
      ? openSqlite(address.file, { maxWaitMs: 60_000, exclusive: false })
      : createEngine((app as unknown as MysqlApp).mysql.pool.pool, 'MySQL', 60_000)
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= engine.close().then(() => app.close())
    return closing
  }
  t.teardown(close)
  return { db: dbOf(app), engine, clock, close }
}

export const randomId = () => randomBytes(16).toString('hex')

/** An account that nothing else has the names of. */
export function account(own: Partial<Account> = {}): Account {
  const id = own.id ?? randomId()
  return {
    id,
    username: `u${id}`,
    email: `u${id}@example.com`,
    emailVerified: false,
    roles: [],
    passwordHash: `hash of ${id}`,
    disabled: false,
    createdAt: T0,
    updatedAt: T0,
    ...own,
  }
}

/** A session of this person, as a login at `T0` opens it. */
export function session(userId: string, own: Partial<Session> = {}): Session {
  const time = own.createdAt ?? T0
  return {
    id: randomId(),
    userId,
    handleHash: randomId(),
    generation: 0,
    createdAt: time,
    lastUsedAt: time,
    rotatedAt: null,
    expiresAt: time + DAY,
    until: time + 1200 * SECOND,
    ip: '192.0.2.1',
    userAgent: 'test',
    ...own,
  }
}

/** Disables or enables an account, which has no function yet. */
export const disable = (engine: Engine, id: string, time: number | null = T0) =>
  engine.run('UPDATE users SET disabled_at = ? WHERE id = ?', [time, id])

/** The only value of the only row. */
export async function only(engine: Engine, sql: string, values: Value[] = []): Promise<unknown> {
  const rows = await engine.all<Record<string, unknown>>(sql, values)
  if (rows.length !== 1) throw new Error(`${rows.length} rows: ${sql}`)
  return Object.values(rows[0]!)[0]
}
