/**
 * Where hashes wait and run. Hashing is the physical limit of a login, so there is one queue with a few threads of its
 * own, and who would wait too long is refused at once, instead of being answered when nobody listens any more.
 * Who is admitted holds a place: from then on it counts, whether its job has come to the queue yet or not.
 */
import { Failure, fail } from '../../schemas/errors.ts'
import { createBrake } from './brake.ts'
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
  slackMs?: number
}

/**
 * A network may have so many times the wait that is still free: 9/10 of all alone, 9/19 where two want it, and there is
 * always room for one more (Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches, 1998).
 */
const SHARE = 9

/**
 * How much longer than HASH_MAX_WAIT_MS a place is kept before its first hash begins. Then either the machine has become
 * slower since it was taken, or the job does not come: a body that is never sent must not keep others out.
 */
const SLACK_MS = 300

/** What ends the work for a client that has gone away: nobody reads it, and it is no fault of the service. */
const gone = () => new Failure('BAD_REQUEST')

export function createQueue({
  workers,
  maxWaitMs,
  cost,
  clock = () => performance.now(),
  slackMs = SLACK_MS,
}: Options) {
  const pool = createPool()
  const averages = createAverages(cost)
  const load = createLoad(averages)
  const line = createLine(workers)
  const brake = createBrake()
  let admitted = 0
  let ending: Promise<void> | undefined

  const overloaded = () => new Failure('OVERLOADED', { retryAfter: Math.ceil(load.total() / workers / 1000) })

  /** Whether one more would wait too long. Not where a thread is free, however little is allowed. */
  function isFull(network: string | undefined): boolean {
    const wait = load.count() < workers ? 0 : load.total() / workers
    const own = load.of(network) / workers
    return wait > 0 && own > SHARE * (maxWaitMs - wait)
  }

  async function hash<J extends Job>(job: J, costs: number[], turn?: Turn): Promise<Answer<J>> {
    // The turn counts: it holds the thread as well.
    const begun = clock()
    await turn?.()
    const answer = await pool.ask({ ...job, cost })
    averages.learn(costs, clock() - begun)
    return answer as Answer<J>
  }

  /** A place that is not taken yet, for so many hashes of somebody in this network. Without one nobody waits for an answer, and no share or time is set. */
  function place(network?: string, hashes = 1) {
    /** By which it was admitted, as long as it is. */
    let number: number | undefined
    /** The costs of the hashes to come and of those that run. */
    let ahead: number[] = []
    /** The costs of those that run. */
    let running: number[] = []
    let left = false
    let refused = false
    let timer: NodeJS.Timeout | undefined

    function expect(costs: number[]): void {
      load.remove(network, ahead)
      load.add(network, costs)
      ahead = costs
    }

    function expire(): void {
      line.withdraw(number!, overloaded())
      number = undefined
      expect([])
    }

    /** Takes it, where it is not. Throws OVERLOADED where the wait is too long, UNAVAILABLE after the end. */
    function take(): number {
      if (left) throw gone()
      if (number !== undefined) return number
      if (ending) fail('UNAVAILABLE')
      refused = isFull(network)
      if (refused) throw overloaded()
      number = ++admitted
      // Before a stored hash was read, its cost is not known.
      expect(Array(hashes).fill(cost))
      if (network !== undefined) timer = setTimeout(expire, maxWaitMs + slackMs)
      return number
    }

    return {
      take,

      /** Whether there was no room for it. */
      isRefused: () => refused,

      /** Runs one job, taking the place where it is not. Throws as `take`; OVERLOADED where the thread dies; what `turn` throws. */
      async run<J extends Job>(job: J, turn?: Turn): Promise<Answer<J>> {
        const own = take()
        const costs = costsOf(job, cost)
        expect([...costs, ...ahead.slice(1)])
        await line.enter(own)
        clearTimeout(timer)
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
    hold: () => brake(clock(), averages.of(cost) / workers),
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
  isRefused(): boolean
  run<J extends Job>(job: J, turn?: Turn): Promise<Answer<J>>
  leave(): void
}
