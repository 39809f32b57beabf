/** Who waits for a thread, in the order of admission: a job whose lookup took longer loses nothing by it. */
import { fail } from '../../schemas/errors.ts'

interface Waiting {
  number: number
  go: () => void
  refuse: (reason: Error) => void
}

export function createLine(threads: number) {
  const waiting: Waiting[] = []
  let running = 0
  let closed = false

  /** Waits for a thread; lower numbers go first. Throws UNAVAILABLE after the end. */
  async function enter(number: number): Promise<void> {
    if (closed) fail('UNAVAILABLE')
    if (running < threads) running++
    else {
      await new Promise<void>((go, refuse) => {
        const later = waiting.findIndex((other) => other.number > number)
        waiting.splice(later < 0 ? waiting.length : later, 0, { number, go, refuse })
      })
    }
  }

  return {
    enter,

    /** Hands the thread to whoever is first; a newcomer cannot slip in between, since `running` stays as it is. */
    leave(): void {
      const next = waiting.shift()
      if (next) next.go()
      else running--
    },

    /** Ends the waiting of this number, where it waits. */
    withdraw(number: number, reason: Error): void {
      const index = waiting.findIndex((one) => one.number === number)
      if (index >= 0) waiting.splice(index, 1)[0]!.refuse(reason)
    },

    /** Takes every thread behind all who wait: the last one comes free when they are finished. */
    async close(): Promise<void> {
      let taken = 0
      const take = async () => {
        await enter(Number.POSITIVE_INFINITY)
        closed = ++taken === threads
      }
      await Promise.all(Array.from({ length: threads }, take))
    },
  }
}
