/** Something of Latchkey's that is read again and again: one read at a time, and how old what was read is. */

export interface Source {
  /** Reads it, or waits for the read that is on its way. Never throws. */
  refresh: () => Promise<void>
  isFresh: () => boolean
  /** Why the last read failed; undefined where it did not. */
  failure: () => Error | undefined
}

/** Of what never has to be read. */
export const NO_SOURCE: Source = { refresh: async () => {}, isFresh: () => true, failure: () => undefined }

interface Needs {
  /**
   * Reads it and takes it in; whether it is newer than what was there before. Throws where that fails, and then what was
   * there before stays.
   */
  read: () => Promise<boolean>
  /** Milliseconds since 1970. */
  now: () => number
  /** For how long what was read is believed. */
  staleAfterMs: number
  /** Hears the first of several failures in a row. */
  onError: (error: Error) => void
}

export function createSource({ read, now, staleAfterMs, onError }: Needs) {
  let readAt = Number.NEGATIVE_INFINITY
  let askedAt = Number.NEGATIVE_INFINITY
  let failure: Error | undefined
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    // Of the moment of the question: what came about while it was on its way is not known.
    const time = now()
    // Where the clock was put back, it is still as old as it was at the last look.
    if (time < askedAt) readAt -= askedAt - time
    askedAt = time
    try {
      if (await read()) readAt = time
      failure = undefined
    } catch (error) {
      const isFirst = !failure
      failure = error as Error
      if (isFirst) onError(failure)
    } finally {
      running = undefined
    }
  }

  return {
    refresh(): Promise<void> {
      running ??= run()
      return running
    },
    /** The read that is on its way. */
    running: () => running,
    askedAt: () => askedAt,
    failure: () => failure,
    /** A negative age is that of a clock that was put back: nothing is known of it before the next look. */
    isFresh(): boolean {
      const age = now() - readAt
      return age >= 0 && age <= staleAfterMs
    },
  }
}
