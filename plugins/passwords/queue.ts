/**
 * Where hashes wait and run. Hashing is the physical limit of a login, so there is one queue with a few threads of its
 * own, and who would wait too long is refused at once, instead of being answered when nobody listens any more.
 * Who is admitted holds a place: from then on it counts, whether its job has come to the queue yet or not.
 */
import { Failure, fail } from '../../schemas/errors.ts'
import { createLine } from './line.ts'
import { createAverages, createLoad } from './load.ts'
import { createPool } from './pool.ts'
import { costsOf } from './stored.ts'
import type { Answer, Job } from './worker.ts'

/** Called when the job's turn has come and before anything is hashed. What it throws ends the job. */
export type Turn = () => Promise<void>

interface Options {
  workers: number
  maxWaitMs: number
  cost: number
  clock?: () => number
  keepMs?: number
}

/**
 * A network may have so many times the wait that is still free: 4/5 of all alone, 4/9 where two want it, and there is
 * always room for one more (Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches, 1998).
 */
const SHARE = 4

/** How long a place is kept for a job that does not come: long enough for a body and a lookup, and no longer than that. */
const KEEP_MS = 2000

/** What ends the work for a client that has gone away: nobody reads it, and it is no fault of the service. */
const gone = () => new Failure('BAD_REQUEST')

export function createQueue({ workers, maxWaitMs, cost, clock = () => performance.now(), keepMs = KEEP_MS }: Options) {
  const pool = createPool()
  const averages = createAverages(cost)
  const load = createLoad(averages)
  const line = createLine(workers)
  let admitted = 0
  let ending: Promise<void> | undefined

  function admit(network: string | undefined): number {
    if (ending) fail('UNAVAILABLE')
    const wait = load.total() / workers
    const own = load.of(network) / workers
    if (own > SHARE * (maxWaitMs - wait)) fail('OVERLOADED', { retryAfter: Math.ceil(wait / 1000) })
    return ++admitted
  }

  async function hash<J extends Job>(job: J, costs: number[], turn?: Turn): Promise<Answer<J>> {
    // The turn counts: it holds the thread as well.
    const begun = clock()
    await turn?.()
    const answer = await pool.ask({ ...job, cost })
    averages.learn(costs, clock() - begun)
    return answer as Answer<J>
  }

  /** A place that is not taken yet, for so many hashes of somebody in this network; of the command line where it is undefined. */
  function place(network?: string, hashes = 1) {
    /** By which it was admitted, as long as it is. */
    let number: number | undefined
    /** The costs of the hashes to come and of those that run. */
    let ahead: number[] = []
    /** The costs of those that run. */
    let running: number[] = []
    let left = false
    let timer: NodeJS.Timeout | undefined

    function expect(costs: number[]): void {
      load.remove(network, ahead)
      load.add(network, costs)
      ahead = costs
    }

    function forget(): void {
      number = undefined
      expect([])
    }

    /** Takes it, where it is not. Throws OVERLOADED where the wait is too long, UNAVAILABLE after the end. */
    function take(): number {
      if (left) throw gone()
      if (number !== undefined) return number
      number = admit(network)
      // Before a stored hash was read, its cost is not known.
      expect(Array(hashes).fill(cost))
      timer = setTimeout(forget, keepMs).unref()
      return number
    }

    return {
      take,

      /** Runs one job, taking the place where it is not. Throws as `take`; OVERLOADED where the thread dies; what `turn` throws. */
      async run<J extends Job>(job: J, turn?: Turn): Promise<Answer<J>> {
        const own = take()
        clearTimeout(timer)
        const costs = costsOf(job, cost)
        expect([...costs, ...ahead.slice(1)])
        await line.enter(own)
        running = costs
        try {
          return await hash(job, costs, turn)
        } finally {
          running = []
          expect(left ? [] : ahead.slice(costs.length))
          line.leave()
        }
      },

      /** Gives it up for good. A job that waits is not run; one that runs is finished. */
      leave(): void {
        left = true
        clearTimeout(timer)
        if (number !== undefined) line.withdraw(number, gone())
        expect(running)
      },
    }
  }

  return {
    place,
    run: <J extends Job>(job: J, turn?: Turn, on: Place = place()) => on.run(job, turn),

    /** Admits nobody any more, and ends the threads when all that was admitted is finished. */
    close(): Promise<void> {
      ending ??= line.close().then(pool.close)
      return ending
    },
  }
}

export interface Place {
  take(): number
  run<J extends Job>(job: J, turn?: Turn): Promise<Answer<J>>
  leave(): void
}
