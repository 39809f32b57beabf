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

export function createJudge({ db, config, log, note }: Needs) {
  const graceMs = config.REFRESH_GRACE * 1000

  /**
   * Judges a token of this generation at `time`. Gives the session that the answer shows, or undefined where another
   * request was faster: then it is to be read and judged anew. Throws INVALID_REFRESH_TOKEN and REFRESH_TOKEN_REUSED.
   */
  return async (state: SessionState | undefined, generation: number, time: number): Promise<Living | undefined> => {
    const living = livingOf(state, time) ?? fail('INVALID_REFRESH_TOKEN')
    const { session } = living
    if (generation > session.generation) {
      // A restored backup: the person has a token that the row has not reached.
      log.warn({ sessionId: session.id }, 'a refresh token is ahead of its session')
      fail('INVALID_REFRESH_TOKEN')
    }
    if (isRecent(session, time) && generation >= session.generation - 1) return living
    if (generation < session.generation) return endReused(session, time)
    const next = await rotate(session, time)
    return next && { ...living, session: next }
  }

  /** Whether the last rotation is within the grace. An age below 0 is another instance's clock. */
  function isRecent({ rotatedAt }: Session, time: number): boolean {
    return graceMs > 0 && rotatedAt !== null && time - rotatedAt < graceMs
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
