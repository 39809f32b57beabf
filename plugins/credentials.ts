/**
 * Who knows the password of an account: joins the guard against guessing, the hash and the account, so that no handler
 * can verify a password without the guard.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { fail } from '../schemas/errors.ts'
import { comparable, type Name } from '../schemas/name.ts'
import type { Account } from '../schemas/user.ts'
import type { Bearer } from './access.ts'
import { type Db, dbOf } from './db/index.ts'
import { type Limits, limitsOf } from './limits.ts'
import { type Passwords, type Place, passwordsOf } from './passwords/index.ts'
import { type Sessions, sessionsOf } from './sessions/index.ts'

/** How often a deed is judged anew because its account was changed in between: a hash that a login beside it renewed. */
const TRIES = 3

interface Needs {
  db: Db
  limits: Limits
  passwords: Passwords
  sessions: Sessions
}

/** Who gives a password: the address, and the request's place in the queue. */
interface Asker {
  ip: string
  place: Place
}

/** Does something with an account whose password was right. Gives undefined where the account was changed since. */
type Deed<T> = (account: Account, renewed: string | undefined) => Promise<T | undefined>

function createCredentials({ db, limits, passwords, sessions }: Needs) {
  async function verify(account: Account | undefined, name: Name, password: string, { ip, place }: Asker) {
    return limits.guess({ name: comparable(name), ip }, async (turn) => {
      const { ok, renewed } = await passwords.verify(password, account?.passwordHash ?? null, turn, place)
      return { ok: ok && account !== undefined && !account.disabled, renewed }
    })
  }

  return {
    /** Does `deed` with the account of this name and password. Throws INVALID_CREDENTIALS, RATE_LIMITED, OVERLOADED. */
    asAnyone: <T>(name: Name, password: string, asker: Asker, deed: Deed<T>) =>
      untilDone(async () => {
        const account = await db.users.byName(name)
        const { ok, renewed } = await verify(account, name, password, asker)
        if (!account || !ok) return fail('INVALID_CREDENTIALS')
        return deed(account, renewed)
      }),

    /** Does `deed` with the account of a session, whose password is asked for again. Throws WRONG_PASSWORD, RATE_LIMITED, OVERLOADED. */
    asOneself: <T>({ id }: Bearer, password: string, asker: Asker, deed: Deed<T>) =>
      untilDone(async () => {
        const { account } = (await sessions.live(id)) ?? fail('INVALID_TOKEN')
        const { ok, renewed } = await verify(account, { email: account.email }, password, asker)
        if (!ok) fail('WRONG_PASSWORD')
        return deed(account, renewed)
      }),
  }
}

async function untilDone<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const result = await attempt()
    if (result !== undefined) return result
  }
  return fail('UNAVAILABLE')
}

export type Credentials = ReturnType<typeof createCredentials>
export const credentialsOf = (app: FastifyInstance) => app.getDecorator<Credentials>('credentials')

export default fp(
  async (app) => {
    const needs = { db: dbOf(app), limits: limitsOf(app), passwords: passwordsOf(app), sessions: sessionsOf(app) }
    app.decorate('credentials', createCredentials(needs))
  },
  { name: 'credentials', dependencies: ['db', 'limits', 'passwords', 'sessions'] },
)
