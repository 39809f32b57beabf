/**
 * Where hashes wait and run. Hashing is the physical limit of a login, so there is one queue with a few threads of its
 * own, and a job that would wait too long is refused at once, instead of being answered when nobody listens any more.
 */
import { Worker } from 'node:worker_threads'
import { fail } from '../../schemas/errors.ts'
import type { Answer, Job, Message } from './worker.ts'

/** Called when the job's place has come and before anything is hashed. What it throws ends the job. */
export type Turn = () => Promise<void>

interface Options {
  workers: number
  maxWaitMs: number
  cost: number
  clock?: () => number
}

/** How much one measured hash counts in the average: enough to follow a change of load within some ten hashes. */
const WEIGHT = 0.1

/** Until something was measured: one core makes 18.8 hashes a second at cost 10, and each step of cost doubles the work. */
const guess = (cost: number): number => 53 * 2 ** (cost - 10)

export function createQueue({ workers, maxWaitMs, cost, clock = () => performance.now() }: Options) {
  const pool = createPool()
  const waiting: (() => void)[] = []
  let running = 0
  let average = guess(cost)
  let ending: Promise<void> | undefined

  function admit(): void {
    if (ending) fail('UNAVAILABLE')
    const wait = ((waiting.length + running) / workers) * average
    if (wait > maxWaitMs) fail('OVERLOADED', { retryAfter: Math.ceil(wait / 1000) })
  }

  async function enter(): Promise<void> {
    if (running < workers) running++
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }

  /** Hands the place to whoever waits longest; a newcomer cannot slip in between, since `running` stays as it is. */
  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else running--
  }

  async function run<J extends Job>(job: J, turn?: Turn): Promise<Answer<J>> {
    admit()
    await enter()
    try {
      // The turn counts: it holds the place as well.
      const begun = clock()
      await turn?.()
      const answer = await pool.ask({ ...job, cost })
      average += (clock() - begun - average) * WEIGHT
      return answer as Answer<J>
    } finally {
      leave()
    }
  }

  /** Takes every place: the last one comes free when all that was admitted is finished. */
  async function end(): Promise<void> {
    await Promise.all(Array.from({ length: workers }, enter))
    await pool.close()
  }

  return {
    run,
    close(): Promise<void> {
      ending ??= end()
      return ending
    },
  }
}

interface Thread {
  worker: Worker
  busy: boolean
  /** Takes the answer, or nothing where the thread is gone. */
  settle?: (answer?: unknown) => void
  cause?: unknown
}

/** As many threads as were ever asked at the same time; the queue bounds them. */
function createPool() {
  const threads = new Set<Thread>()

  function start(): Thread {
    const worker = new Worker(new URL('./worker.js', import.meta.url))
    const thread: Thread = { worker, busy: false }
    worker.on('message', (answer) => thread.settle?.(answer))
    worker.on('error', (cause) => {
      thread.cause = cause
    })
    // A thread counts until its exit, which follows an error: so there are never more of them than places.
    worker.on('exit', () => {
      threads.delete(thread)
      thread.settle?.()
    })
    threads.add(thread)
    return thread
  }

  /** A thread keeps the process alive while it is asked, and only then. */
  async function ask(message: Message): Promise<unknown> {
    const thread = [...threads].find(({ busy }) => !busy) ?? start()
    thread.busy = true
    thread.worker.ref()
    try {
      const answer = await new Promise((resolve) => {
        thread.settle = resolve
        thread.worker.postMessage(message)
      })
      return answer ?? fail('OVERLOADED', { cause: thread.cause })
    } finally {
      thread.worker.unref()
      thread.busy = false
    }
  }

  async function close(): Promise<void> {
    await Promise.all([...threads].map(({ worker }) => farewell(worker)))
  }

  return { ask, close }
}

function farewell(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.ref()
    worker.once('exit', () => resolve())
    worker.postMessage(null)
  })
}
