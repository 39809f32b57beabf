/** What a process that sends requests keeps of the answers: those within the measured time, by their status. */
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
  /** By status; `failed` stands for connections that broke. */
  answers: Record<string, Latencies>
}

/** Tells the parent process when the measured time begins, and at its end what came in it. */
export function createRecorder({ seconds, warmUp }: Times) {
  const answers: Record<string, number[]> = {}
  let running = false
  let measuring = false
  let begun = 0

  /** At the first answer: before it, on a busy machine, this process may have been loading for seconds. */
  function start(): void {
    running = true
    setTimeout(() => {
      measuring = true
      begun = performance.now()
      process.send!('begun')
      setTimeout(finish, seconds * 1000)
    }, warmUp * 1000)
  }

  function finish(): void {
    measuring = false
    const elapsed = (performance.now() - begun) / 1000
    const entries = Object.entries(answers).map(([status, times]) => [status, latenciesOf(times)])
    const measured: Measured = { seconds: elapsed, answers: Object.fromEntries(entries) }
    process.send!(measured, () => process.exit())
  }

  return {
    /** An answer that took so many milliseconds. A failure counts whenever it happens. */
    record(status: number | 'failed', milliseconds: number): void {
      if (!running) start()
      if (!measuring && status !== 'failed') return
      answers[status] ??= []
      answers[status].push(milliseconds)
    },
  }
}
