/**
 * What a refresh token means: the next generation, the same again for a retry, or reuse (RFC 9700, section 4.14.2; FAPI
 * 2.0, section 5.3.2.1, item 10: rotation only where a retry after a lost answer succeeds).
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../../config.ts'
import { fail } from '../../schemas/errors.ts'
import type { Session } from '../../schemas/session.ts'
import type { Db } from '../db/index.ts'
import type { SessionState } from '../db/sessions.ts'
import { type Living, lifetimes, livingOf } from './living.ts'

interface Needs {
  db: Db
  config: Config
  log: FastifyBaseLogger
  /** Has this instance refuse what ended at that time. */
  note: (userId: string, time: number, known: string[]) => Promise<void>
}

/**
 * What a token of this generation is to a living session at `time`: `next` moves it on, `again` gets the same answer,
 * `reused` was used before, `ahead` is of a time that a restored backup does not know.
 */
export function meaningOf(session: Session, generation: number, time: number, { REFRESH_GRACE }: Config) {
  const { rotatedAt } = session
  // An age below 0 is another instance's clock.
  const isRecent = REFRESH_GRACE > 0 && rotatedAt !== null && time - rotatedAt < REFRESH_GRACE * 1000
  if (generation > session.generation) return 'ahead'
  if (isRecent && generation >= session.generation - 1) return 'again'
  return generation < session.generation ? 'reused' : 'next'
}

export function createJudge({ db, config, log, note }: Needs) {
  /**
   * Judges a token of this generation at `time`. Gives the session that the answer shows, or undefined where another
   * request was faster: then it is to be read and judged anew. Throws INVALID_REFRESH_TOKEN and REFRESH_TOKEN_REUSED.
   */
  return async (state: SessionState | undefined, generation: number, time: number): Promise<Living | undefined> => {
    const living = livingOf(state, time) ?? fail('INVALID_REFRESH_TOKEN')
    const { session } = living
    const meaning = meaningOf(session, generation, time, config)
    if (meaning === 'ahead') {
      log.warn({ sessionId: session.id }, 'a refresh token is ahead of its session')
      fail('INVALID_REFRESH_TOKEN')
    }
    if (meaning === 'again') return living
    if (meaning === 'reused') return endReused(session, time)
    const next = await rotate(session, time)
    return next && { ...living, session: next }
  }

  async function rotate(session: Session, time: number): Promise<Session | undefined> {
    const moved = { generation: session.generation + 1, rotatedAt: time, lastUsedAt: time }
    const next = { ...session, ...moved, ...lifetimes(config, time, session.createdAt) }
    return (await db.sessions.rotate(session, next)) ? next : undefined
  }

  async function endReused({ id, userId }: Session, time: number): Promise<undefined> {
    if (!(await db.sessions.end(userId, id, time))) return undefined
    log.warn({ sessionId: id }, 'a refresh token was used again, so its session has been ended')
    await note(userId, time, [id])
    return fail('REFRESH_TOKEN_REUSED')
  }
}
