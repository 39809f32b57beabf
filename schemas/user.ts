/** A person, as every answer shows one, and the account behind it. */
import { type Static, Type } from '@sinclair/typebox'

export const Timestamp = Type.String({ format: 'date-time', examples: ['2026-11-24T09:30:00.000Z'] })
export const Id = Type.String({ maxLength: 36, examples: ['019ab2c4-6f1e-7a31-9c55-2f6f0d3c1b7a'] })

/** What the name of a role looks like. */
export const ROLE = /^[a-z][a-z0-9_.-]{0,63}$/

export const User = Type.Object(
  {
    id: Id,
    username: Type.String({ examples: ['ann'] }),
    email: Type.String({ examples: ['ann@example.com'] }),
    email_verified: Type.Boolean({ examples: [false] }),
    roles: Type.Array(Type.String(), { examples: [[]] }),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'User', description: 'A person' },
)
export type User = Static<typeof User>

/** An account as the database holds it; times in milliseconds. */
export interface Account {
  id: string
  username: string
  email: string
  emailVerified: boolean
  roles: string[]
  passwordHash: string
  disabled: boolean
  createdAt: number
  updatedAt: number
}

/** What others may see of an account. */
export function userOf(account: Account): User {
  return {
    id: account.id,
    username: account.username,
    email: account.email,
    email_verified: account.emailVerified,
    roles: account.roles,
    created_at: new Date(account.createdAt).toISOString(),
    updated_at: new Date(account.updatedAt).toISOString(),
  }
}
