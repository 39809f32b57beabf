/** The sessions that have ended, as Latchkey's feed tells them: what makes a token end before its `exp`. */
import { type Asker, askJson } from './http.ts'
import { createSource, NO_SOURCE, type Source } from './source.ts'

/** Ended sessions. */
export interface Ended extends Source {
  has: (sid: string) => boolean
}

interface Needs {
  asker: Asker
  url: string
  headers: Record<string, string>
  now: () => number
  staleAfterMs: number
  onError: (error: Error) => void
}

interface Feed {
  as_of: number
  sessions: { sid: string; until: number }[]
}

const FORGET_EVERY_MS = 60_000

export function createEnded({ asker, url, headers, now, staleAfterMs, onError }: Needs): Ended {
  /** Until when each has to be remembered, in seconds since 1970. */
  const untilOf = new Map<string, number>()
  let query = ''
  /** What was told as `as_of` of late, and when last. */
  const told = new Map<number, number>()
  let forgottenAt = now()
  const source = createSource({ read, now, staleAfterMs, onError })

  /**
   * It is newer where its `as_of` was not told of late: a Latchkey whose database is away tells again what it knew before,
   * several of them in turn, and so may a cache. Greater it need not be, since Latchkey's clock may be put back as well.
   */
  async function read(): Promise<boolean> {
    // What a clock that was ahead has forgotten may count again: the whole list is asked for.
    if (now() < forgottenAt) startAnew()
    const { as_of, sessions } = feedOf((await askJson(asker, url + query, headers)).body)
    // What is told again may have to be remembered for longer.
    for (const { sid, until } of sessions) untilOf.set(sid, Math.max(until, untilOf.get(sid) ?? 0))
    query = `?since=${as_of}`
    if (now() - forgottenAt >= FORGET_EVERY_MS) forget()
    const isNewer = !told.has(as_of)
    told.set(as_of, now())
    for (const [one, time] of told) if (now() - time > staleAfterMs) told.delete(one)
    return isNewer
  }

  function startAnew(): void {
    forgottenAt = now()
    query = ''
  }

  function forget(): void {
    forgottenAt = now()
    for (const [sid, until] of untilOf) if (until * 1000 <= forgottenAt) untilOf.delete(sid)
  }

  return { ...source, has: (sid) => untilOf.has(sid) }
}

/** Whole or not at all: half of an answer would pass for all that ended. */
function feedOf(body: unknown): Feed {
  const { as_of, sessions } = (body ?? {}) as Record<keyof Feed, unknown>
  const isFeed = isSeconds(as_of) && Array.isArray(sessions) && sessions.every(isEntry)
  if (!isFeed) throw new Error('this is no list of ended sessions')
  return { as_of, sessions }
}

const isSeconds = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isEntry = (entry: Feed['sessions'][number] | null) => typeof entry?.sid === 'string' && isSeconds(entry.until)

export const NOTHING_ENDED: Ended = { ...NO_SOURCE, has: () => false }
