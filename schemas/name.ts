/** A name as somebody types it to log in: one of the two, and perhaps none that an account could have. */
import { canonicalEmail, canonicalUsername } from './identifiers.ts'

export type Name = { email: string } | { username: string }

/** The form by which guesses for one name are counted together, also for a name that no account can have. */
export function comparable(name: Name): string {
  if ('email' in name) return canonicalEmail(name.email) ?? name.email.toLowerCase()
  return canonicalUsername(name.username) ?? name.username.toLowerCase()
}

/** All the spellings of a person's own names, which are no passwords. */
export function spellings(email: string, username: string): string[] {
  return [email, username, comparable({ email }), comparable({ username })]
}
