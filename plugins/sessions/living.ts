/** How long a session lives, and whether it does. */
import type { Config } from '../../config.ts'
import type { Session } from '../../schemas/session.ts'
import type { Account } from '../../schemas/user.ts'
import type { SessionState } from '../db/sessions.ts'

/** An answer within the grace writes nothing, so its access token may be younger by as much than the row says. */
const LONGEST_GRACE = 300

/** A session that has not ended, of a person who may use it. */
export interface Living {
  session: Session
  account: Account
}

/** The session where it lives at `time`; undefined where it has ended or expired, or its person is disabled or gone. */
export function livingOf(state: SessionState | undefined, time: number): Living | undefined {
  if (!state?.account || state.ended || state.account.disabled || time >= state.session.expiresAt) return undefined
  return { session: state.session, account: state.account }
}

/** The ends of a session that began at `start` and is used at `time`: at whole seconds, so that a token's `exp` can reach them. */
export function lifetimes(config: Config, time: number, start: number): Pick<Session, 'expiresAt' | 'until'> {
  const seconds = Math.floor(time / 1000)
  const end = Math.min(seconds + config.REFRESH_TOKEN_TTL, Math.floor(start / 1000) + config.SESSION_MAX_AGE)
  const exp = Math.min(seconds + config.ACCESS_TOKEN_TTL, end)
  return { expiresAt: end * 1000, until: (exp + LONGEST_GRACE) * 1000 }
}
