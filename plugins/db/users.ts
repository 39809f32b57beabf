/**
 * The table `users`, and the lists of statements in which an account changes. Canonical forms are applied here alone,
 * so that no caller can forget.
 */
import { canonicalEmail, canonicalUsername } from '../../schemas/identifiers.ts'
import type { Name } from '../../schemas/name.ts'
import type { Session } from '../../schemas/session.ts'
import type { Account } from '../../schemas/user.ts'
import { ACCOUNT_COLUMNS, type AccountRow, accountOf } from './accounts.ts'
import { type Engine, type Statement, UniqueViolation } from './engine.ts'
import { endAllOf, endOldest, insertSession } from './sessions.ts'
import { createTogether } from './together.ts'

export type Taken = 'EMAIL_TAKEN' | 'USERNAME_TAKEN'

const select = (condition: string) => `SELECT ${ACCOUNT_COLUMNS} FROM users u WHERE u.${condition}`
/** Made once: a text that is put together at each call is hashed at each call, to find its prepared statement. */
const BY = { email: select('email_canonical = ?'), username: select('username_canonical = ?') }

export function createUsers(engine: Engine, maxSessions: number) {
  async function one(sql: string, value: string | undefined): Promise<Account | undefined> {
    if (value === undefined) return undefined
    const row = await engine.first<AccountRow>(sql, [value])
    return row && accountOf(row)
  }

  const byId = createTogether<AccountRow>(
    engine,
    (marks) => select(`id IN (${marks})`),
    (row) => row.user_id,
  )

  const byEmail = (email: string) => one(BY.email, canonicalEmail(email))
  const byUsername = (username: string) => one(BY.username, canonicalUsername(username))

  return {
    /** Read together with others: GET /user/me is asked all the time. */
    async byId(id: string): Promise<Account | undefined> {
      const row = await byId(id)
      return row && accountOf(row)
    },

    /** The account of a name as somebody typed it; undefined too where no account can have such a name. */
    byName: (name: Name) => ('email' in name ? byEmail(name.email) : byUsername(name.username)),

    /** Which of the two names an account has already; the e-mail where both are, so it is asked for last: who is there by then has both. */
    async taken(email: string, username: string): Promise<Taken | undefined> {
      const namesake = await byUsername(username)
      if (await byEmail(email)) return 'EMAIL_TAKEN'
      return namesake && 'USERNAME_TAKEN'
    },

    /** Makes the account and its first session. The unique indexes judge whether a name is taken. */
    async register(account: Account, session: Session): Promise<Taken | undefined> {
      try {
        await engine.batch([insertUser(account), insertSession(session)])
        return undefined
      } catch (error) {
        if (!(error instanceof UniqueViolation)) throw error
        return (await this.taken(account.email, account.username)) ?? 'EMAIL_TAKEN'
      }
    },

    /**
     * Opens a session, only while the hash that was verified is still the account's and the account is not disabled;
     * stores `renewed` in its place where it is given. Gives undefined where that is no longer so, else how many
     * sessions beyond the bound were ended.
     */
    async login(account: Account, renewed: string | undefined, session: Session): Promise<number | undefined> {
      const counts = await engine.batch([
        {
          sql: 'UPDATE users SET logins = logins + 1, password_hash = ? WHERE id = ? AND password_hash = ? AND disabled_at IS NULL',
          values: [renewed ?? account.passwordHash, account.id, account.passwordHash],
          expect: 1,
        },
        insertSession(session),
        endOldest(session, maxSessions),
      ])
      return counts?.[2]
    },

    /** Changes the password, ends every session and opens a new one, while the hash and the asking session still hold. */
    async changePassword(account: Account, asking: string, hash: string, session: Session): Promise<boolean> {
      const time = session.createdAt
      const counts = await engine.batch([
        {
          sql: 'UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ? AND password_hash = ? AND disabled_at IS NULL',
          values: [hash, time, account.id, account.passwordHash],
          expect: 1,
        },
        endOne(asking, time),
        endAllOf(account.id, time),
        insertSession(session),
      ])
      return counts !== undefined
    },

    /** Deletes the account and ends its sessions, while the hash and the asking session still hold. */
    async remove(account: Account, asking: string, time: number): Promise<boolean> {
      const counts = await engine.batch([
        {
          sql: 'DELETE FROM users WHERE id = ? AND password_hash = ? AND disabled_at IS NULL',
          values: [account.id, account.passwordHash],
          expect: 1,
        },
        endOne(asking, time),
        endAllOf(account.id, time),
      ])
      return counts !== undefined
    },

    /** Gives the account another username. */
    async rename(id: string, username: string, time: number): Promise<Taken | undefined> {
      try {
        await engine.run('UPDATE users SET username = ?, username_canonical = ?, updated_at = ? WHERE id = ?', [
          username,
          canonicalUsername(username) ?? null,
          time,
          id,
        ])
        return undefined
      } catch (error) {
        if (error instanceof UniqueViolation) return 'USERNAME_TAKEN'
        throw error
      }
    },
  }
}

function insertUser(account: Account): Statement {
  return {
    sql: `INSERT INTO users (id, email, email_canonical, email_verified, username, username_canonical, password_hash, roles, logins, created_at, updated_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)`,
    values: [
      account.id,
      account.email,
      canonicalEmail(account.email) ?? null,
      Number(account.emailVerified),
      account.username,
      canonicalUsername(account.username) ?? null,
      account.passwordHash,
      account.roles.join(' '),
      account.createdAt,
      account.updatedAt,
    ],
  }
}

/** The asking session must be alive still: a log-out that came first wins. */
function endOne(id: string, time: number): Statement {
  return { sql: 'UPDATE sessions SET ended_at = ? WHERE id = ? AND ended_at IS NULL', values: [time, id], expect: 1 }
}
