/** What a process that sends requests keeps of the answers: those of the measured time, by their status. */
import { type Latencies, latenciesOf } from '../statistics.ts'

export interface Request {
  method: string
  path: string
  headers: Record<string, string>
  body?: string
}

interface Times {
  /** Of the measured time; from the first answer up to it the load runs as long as `warmUp` says. */
  seconds: number
  warmUp: number
}

export interface ClosedLoad extends Times {
  origin: string
  connections: number
  requests: Request[]
  /**
   * `each`: a connection has one of the requests and sends it again and again. `cycle`: whichever connection is free sends
   * the next one. `refresh`: likewise, and the refresh token of its answer is sent when its turn comes again.
   */
  mode: 'each' | 'cycle' | 'refresh'
}

export interface OpenLoad extends Times {
  origin: string
  /** Requests a second, evenly spaced, however long the answers take. */
  rate: number
  requests: Request[]
}

export interface Measured {
  seconds: number
  /** By status; `failed` stands for connections that broke, and in an open load for answers that never came. */
  answers: Record<string, Latencies>
}

/**
 * Tells the parent process when the measured time begins, and at its end what came in it. Before it tells, it awaits
 * `settle`, in which what is still on its way may be recorded.
 */
export function createRecorder({ seconds, warmUp }: Times, settle: () => Promise<void> = async () => {}) {
  const answers: Record<string, number[]> = {}
  let running = false
  let measuring = false

  /** At the first answer: before it, on a busy machine, this process may have been loading for seconds. */
  function start(): void {
    running = true
    setTimeout(() => {
      measuring = true
      const begun = performance.now()
      process.send!('begun')
      setTimeout(() => void finish(begun), seconds * 1000)
    }, warmUp * 1000)
  }

  async function finish(begun: number): Promise<void> {
    measuring = false
    const elapsed = (performance.now() - begun) / 1000
    await settle()
    const entries = Object.entries(answers).map(([status, times]) => [status, latenciesOf(times)])
    const measured: Measured = { seconds: elapsed, answers: Object.fromEntries(entries) }
    process.send!(measured, () => process.exit())
  }

  return {
    measuring: () => measuring,
    /** An answer that took so many milliseconds, where it is `counted`: by the time at which it comes, unless told. */
    record(status: number | 'failed', milliseconds: number, counted = measuring): void {
      if (!running) start()
      if (!counted) return
      answers[status] ??= []
      answers[status].push(milliseconds)
    },
  }
}
