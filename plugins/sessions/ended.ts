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
  const byId = new Map<string, Ended>()
  /** The oldest ending first. */
  let list: Ended[] = []
  let newest = 0
  let readAt = Number.NEGATIVE_INFINITY

  /** Sorted first, so that each of them goes to the end or near it. */
  function add(sessions: Ended[]): void {
    for (const session of sessions.toSorted((a, b) => a.endedAt - b.endedAt)) {
      const known = byId.get(session.id)
      // What was noted without the row may have to be remembered for longer.
      if (known) known.until = Math.max(known.until, session.until)
      else insert(session)
    }
  }

  function insert(session: Ended): void {
    byId.set(session.id, session)
    list.splice(list.findLastIndex(({ endedAt }) => endedAt <= session.endedAt) + 1, 0, session)
    newest = Math.max(newest, session.endedAt)
  }

  /** From when on to read, where all up to `time` is known. Not after now: a row from a clock that is ahead must not hide those of the others. */
  const readFrom = (time: number) => Math.min(time, now()) - OVERLAP_MS - maxWaitMs

  return {
    add,
    /** Reads what has ended since the last poll; all of it at the first. */
    async poll(): Promise<void> {
      const time = now()
      add(await db.sessions.endedSince(readFrom(newest), time))
      readAt = time
    },
    has: (id: string) => byId.has(id),
    /** The time of the last poll: all that others have ended before is here, but for the overlap. */
    readAt: () => readAt,
    /** What has ended, the oldest first; for somebody who asked at `since`, all that may be news. */
    since(since = 0): Ended[] {
      const time = now()
      const from = readFrom(since)
      return list.slice(list.findLastIndex(({ endedAt }) => endedAt <= from) + 1).filter(({ until }) => until > time)
    },
    /** Whether the list is young enough to be believed. */
    isFresh: () => now() - readAt <= stalenessMs,
    /** Forgets the sessions whose last access token is dead. */
    forget(): void {
      const time = now()
      for (const { id, until } of list) if (until <= time) byId.delete(id)
      list = list.filter(({ id }) => byId.has(id))
    },
  }
}
