/** A row of `users` as an account: by itself, or joined to another table. */
import type { Account } from '../../schemas/user.ts'

export interface AccountRow {
  user_id: string
  username: string
  email: string
  email_verified: number
  roles: string
  password_hash: string
  disabled_at: number | null
  user_created_at: number
  user_updated_at: number
}

/** For a SELECT from `users u`. */
export const ACCOUNT_COLUMNS =
  'u.id AS user_id, u.username, u.email, u.email_verified, u.roles, u.password_hash, u.disabled_at, u.created_at AS user_created_at, u.updated_at AS user_updated_at'

export const accountOf = (row: AccountRow): Account => ({
  id: row.user_id,
  username: row.username,
  email: row.email,
  emailVerified: row.email_verified === 1,
  roles: row.roles === '' ? [] : row.roles.split(' '),
  passwordHash: row.password_hash,
  disabled: row.disabled_at !== null,
  createdAt: row.user_created_at,
  updatedAt: row.user_updated_at,
})
