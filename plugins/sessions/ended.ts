/**
 * The list of ended sessions: what makes a self-contained token end (ASVS 5.0, 7.4.1) without a query on the way of a
 * request. Loaded at the start, polled each second.
 */
import type { Db } from '../db/index.ts'
import type { Ended } from '../db/sessions.ts'

/** Rows may be stamped by a slow clock: each poll reads so far back before the newest one seen. */
const OVERLAP_MS = 30_000

interface Needs {
  db: Db
  now: () => number
  stalenessMs: number
  /** How long after its stamp a row may be committed. */
  maxWaitMs: number
}

export function createEndedList({ db, now, stalenessMs, maxWaitMs }: Needs) {
  const untilOf = new Map<string, number>()
  let newest = 0
  let readAt = Number.NEGATIVE_INFINITY

  function add(sessions: Ended[]): void {
    for (const { id, until, endedAt } of sessions) {
      untilOf.set(id, until)
      newest = Math.max(newest, endedAt)
    }
  }

  return {
    add,
    /** Reads what has ended since the last poll; all of it at the first. */
    async poll(): Promise<void> {
      const time = now()
      // Not after now: a row from a clock that is ahead must not hide those of the others.
      add(await db.sessions.endedSince(Math.min(newest, time) - OVERLAP_MS - maxWaitMs, time))
      readAt = time
    },
    has: (id: string) => untilOf.has(id),
    /** Whether the list is young enough to be believed. */
    isFresh: () => now() - readAt <= stalenessMs,
    /** Forgets the sessions whose last access token is dead. */
    forget(): void {
      const time = now()
      for (const [id, until] of untilOf) if (until <= time) untilOf.delete(id)
    },
  }
}
