/**
 * A process of its own that sends requests at an even rate, however long the answers take, as many independent people do.
 * autocannon's rates are no such thing: its connections send in bursts at each second's start, and wait for their answers.
 * What counts is what was sent in the measured time, whenever it is answered: who waits longest must not be missed.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { tool } from '../tools.ts'
import { createRecorder, type OpenLoad, type Request } from './recorder.ts'

/** undici's, the least of a client: what it takes of the machine is missing to the service. */
interface Pool {
  dispatch(
    request: Request,
    handler: {
      onRequestStart(): void
      onResponseStart(controller: unknown, status: number): void
      onResponseData(): void
      onResponseEnd(): void
      onResponseError(): void
    },
  ): void
}
interface Undici {
  Pool: new (origin: string, options: { headersTimeout: number }) => Pool
}

/** What is due is sent so often: each time wakes this process up, which costs the service as much as a request. */
const STEP_MS = 10
/** From the end of the measured time. Whoever has no answer then gets none. */
const ANSWERED_WITHIN_MS = 10_000
/** Without it, a service that never answers would never begin the measured time. */
const SILENT_MS = 60_000

process.once('message', (load: OpenLoad) => {
  const { record, measuring } = createRecorder(load, settle)
  const pool = new (tool<Undici>('undici').Pool)(load.origin, { headersTimeout: SILENT_MS })
  const begun = performance.now()
  let sent = 0
  let waiting = 0
  const timer = setInterval(sendDue, STEP_MS)

  function sendDue(): void {
    const passed = performance.now() - begun
    while (sent < (passed / 1000) * load.rate) ask(load.requests[sent++ % load.requests.length]!)
  }

  function ask(request: Request): void {
    const started = performance.now()
    const counted = measuring()
    if (counted) waiting++
    let status = 0
    const over = (result: number | 'failed') => {
      if (counted) waiting--
      record(result, performance.now() - started, counted)
    }
    pool.dispatch(request, {
      onRequestStart() {},
      onResponseStart(_, code) {
        status = code
      },
      onResponseData() {},
      onResponseEnd: () => over(status),
      onResponseError: () => over('failed'),
    })
  }

  async function settle(): Promise<void> {
    clearInterval(timer)
    const deadline = performance.now() + ANSWERED_WITHIN_MS
    while (waiting > 0 && performance.now() < deadline) await pause(5)
    for (; waiting > 0; waiting--) record('failed', ANSWERED_WITHIN_MS, true)
  }
})
