/**
 * A process of its own that sends requests at an even rate, however long the answers take, as many independent people do.
 * autocannon's rates are no such thing: its connections send in bursts at each second's start, and wait for their answers.
 * What counts is what was sent in the measured time, whenever it is answered: who waits longest must not be missed.
 */
import { Agent, type IncomingMessage, request as send } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { createRecorder, type OpenLoad, type Request } from './recorder.ts'

/** From the end of the measured time. Whoever has no answer then gets none. */
const ANSWERED_WITHIN_MS = 10_000
/** Without it, a service that never answers would never begin the measured time. */
const SILENT_MS = 60_000

process.once('message', (load: OpenLoad) => {
  const { record, measuring } = createRecorder(load, settle)
  const agent = new Agent({ keepAlive: true })
  const begun = performance.now()
  let sent = 0
  let waiting = 0
  const sending = setInterval(() => {
    const due = ((performance.now() - begun) / 1000) * load.rate
    while (sent < due) ask(load.requests[sent++ % load.requests.length]!)
  }, 1)

  function ask({ method, path, headers, body }: Request): void {
    const started = performance.now()
    const counted = measuring()
    if (counted) waiting++
    let answer: IncomingMessage | undefined
    const request = send(load.origin + path, { method, headers, agent, timeout: SILENT_MS })
    request.on('response', (response) => {
      answer = response.resume()
    })
    request.on('timeout', () => request.destroy())
    // What broke is told by the close, which comes once and always.
    request.on('error', () => {})
    request.on('close', () => {
      if (counted) waiting--
      record(answer?.complete ? answer.statusCode! : 'failed', performance.now() - started, counted)
    })
    request.end(body)
  }

  async function settle(): Promise<void> {
    clearInterval(sending)
    const deadline = performance.now() + ANSWERED_WITHIN_MS
    while (waiting > 0 && performance.now() < deadline) await pause(5)
    for (; waiting > 0; waiting--) record('failed', ANSWERED_WITHIN_MS, true)
  }
})
