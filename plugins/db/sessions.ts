/** The table `sessions`. What two requests can race for is decided by a conditional UPDATE and its count. */
import type { Session } from '../../schemas/session.ts'
import type { Account } from '../../schemas/user.ts'
import { ACCOUNT_COLUMNS, type AccountRow, accountOf } from './accounts.ts'
import type { Engine, Statement } from './engine.ts'
import { createTogether } from './together.ts'

/** A session that has ended, and until when an access token of its may be alive. */
export interface Ended {
  id: string
  until: number
  endedAt: number
}

/** A session with its person, and whether it has ended. */
export interface SessionState {
  session: Session
  ended: boolean
  /** Its person: undefined where the account is gone. */
  account: Account | undefined
}

interface Row {
  id: string
  session_user_id: string
  handle_hash: string
  generation: number
  created_at: number
  last_used_at: number
  rotated_at: number | null
  expires_at: number
  ended_at: number | null
  until: number
  ip: string
  user_agent: string
}

/** Joined: without the person's columns where the account is gone. */
type StateRow = Row & (AccountRow | { user_id: null })

const COLUMNS =
  's.id, s.user_id AS session_user_id, s.handle_hash, s.generation, s.created_at, s.last_used_at, s.rotated_at, s.expires_at, s.ended_at, s.until, s.ip, s.user_agent'

const sessionOf = (row: Row): Session => ({
  id: row.id,
  userId: row.session_user_id,
  handleHash: row.handle_hash,
  generation: row.generation,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
  rotatedAt: row.rotated_at,
  expiresAt: row.expires_at,
  until: row.until,
  ip: row.ip,
  userAgent: row.user_agent,
})

const stateOf = (row: StateRow): SessionState => ({
  session: sessionOf(row),
  ended: row.ended_at !== null,
  account: row.user_id === null ? undefined : accountOf(row),
})

/** Ids are made here and are ASCII: anything else names no session, and no collation is asked whether it does. */
const ID = /^[\x21-\x7e]{1,36}$/

const PURGE_BATCH = 200

const ENDED = 'SELECT id, until, ended_at AS endedAt FROM sessions'

/** With their persons. */
const select = (condition: string) =>
  `SELECT ${COLUMNS}, ${ACCOUNT_COLUMNS} FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.${condition}`
/** Made once, as in users.ts. */
const BY_ID = select('id = ?')

export function createSessionsTable(engine: Engine) {
  const byHandle = createTogether<StateRow>(
    engine,
    (marks) => select(`handle_hash IN (${marks})`),
    (row) => row.handle_hash,
  )

  const found = (row: StateRow | undefined) => row && stateOf(row)

  return {
    byId: async (id: string) => found(await engine.first<StateRow>(BY_ID, [id])),
    /** Read together with others: refreshes come in crowds. */
    byHandle: async (handleHash: string) => found(await byHandle(handleHash)),

    /** The living sessions of a person, the newest first. */
    async list(userId: string, time: number): Promise<Session[]> {
      const rows = await engine.all<Row>(
        `SELECT ${COLUMNS} FROM sessions s WHERE s.user_id = ? AND s.ended_at IS NULL AND s.expires_at > ? ORDER BY s.created_at DESC, s.id DESC`,
        [userId, time],
      )
      return rows.map(sessionOf)
    },

    /**
     * Moves a session from `before` to `after`, its next generation. False where another request was first: it was
     * rotated or has ended, or its person was disabled or is gone.
     */
    async rotate(before: Session, after: Session): Promise<boolean> {
      const count = await engine.run(
        `UPDATE sessions SET generation = ?, rotated_at = ?, last_used_at = ?, expires_at = ?, until = ?
          WHERE id = ? AND generation = ? AND ended_at IS NULL
            AND EXISTS (SELECT 1 FROM users WHERE users.id = sessions.user_id AND users.disabled_at IS NULL)`,
        [
          after.generation,
          after.rotatedAt,
          after.lastUsedAt,
          after.expiresAt,
          after.until,
          before.id,
          before.generation,
        ],
      )
      return count === 1
    },

    /** Ends one living session of a person. False where there is none of this id. */
    async end(userId: string, id: string, time: number): Promise<boolean> {
      if (!ID.test(id)) return false
      const count = await engine.run(
        'UPDATE sessions SET ended_at = ? WHERE id = ? AND user_id = ? AND ended_at IS NULL AND expires_at > ?',
        [time, id, userId, time],
      )
      return count === 1
    },

    /** Ends all living sessions of a person, but for `except`. */
    async endAll(userId: string, time: number, except = ''): Promise<void> {
      const { sql, values } = endAllOf(userId, time, except)
      await engine.run(sql, values)
    },

    /** The sessions of a person that ended at just this time. */
    endedOf: (userId: string, time: number) =>
      engine.all<Ended>(`${ENDED} WHERE user_id = ? AND ended_at = ?`, [userId, time]),

    /** The sessions that ended after `since` and whose access tokens may be alive still. */
    endedSince: (since: number, time: number) =>
      engine.all<Ended>(`${ENDED} WHERE ended_at > ? AND until > ?`, [since, time]),

    /** Deletes sessions that are over, some of each kind. Gives how many; 0 when there are no more. */
    async purge(time: number): Promise<number> {
      return (
        (await purgeWhere('ended_at <= ? AND until <= ?', time)) +
        (await purgeWhere('expires_at <= ? AND until <= ?', time))
      )
    },
  }

  /** By a list of ids, padded to one length: MariaDB takes no LIMIT here, and each length would be a prepared statement of its own. */
  async function purgeWhere(condition: string, time: number): Promise<number> {
    const rows = await engine.all<{ id: string }>(`SELECT id FROM sessions WHERE ${condition} LIMIT ${PURGE_BATCH}`, [
      time,
      time,
    ])
    if (rows.length === 0) return 0
    const ids = Array.from({ length: PURGE_BATCH }, (_, index) => rows[index]?.id ?? '')
    // The condition again: one of them may have been rotated since.
    return engine.run(`DELETE FROM sessions WHERE id IN (${ids.map(() => '?').join(', ')}) AND ${condition}`, [
      ...ids,
      time,
      time,
    ])
  }
}

export function insertSession(session: Session): Statement {
  return {
    sql: `INSERT INTO sessions (id, user_id, handle_hash, generation, created_at, last_used_at, expires_at, until, ip, user_agent)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    values: [
      session.id,
      session.userId,
      session.handleHash,
      session.generation,
      session.createdAt,
      session.lastUsedAt,
      session.expiresAt,
      session.until,
      session.ip,
      session.userAgent,
    ],
  }
}

export function endAllOf(userId: string, time: number, except = ''): Statement {
  return {
    sql: 'UPDATE sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL AND id <> ?',
    values: [time, userId, except],
  }
}

/**
 * Ends a person's sessions beyond the `most` last used ones; never the new one, whatever the clocks of the others said.
 * (The inner SELECT: MariaDB takes no LIMIT in an IN; the outer condition: without it MariaDB reads the whole table.)
 */
export function endOldest({ id, userId, createdAt }: Session, most: number): Statement {
  return {
    sql: `UPDATE sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL AND id IN (SELECT id FROM (
      SELECT id FROM sessions WHERE user_id = ? AND id <> ? AND ended_at IS NULL AND expires_at > ?
      ORDER BY last_used_at DESC, id DESC LIMIT 10000 OFFSET ${most - 1}) x)`,
    values: [createdAt, userId, userId, id, createdAt],
  }
}
