/**
 * A process of its own that sends requests at an even rate, however long the answers take, as many independent people do.
 * autocannon's rates are no such thing: its connections send in bursts at each second's start, and wait for their answers.
 */
import { Agent, request as send } from 'node:http'
import { createRecorder, type OpenLoad, type Request } from './recorder.ts'

process.once('message', (load: OpenLoad) => {
  const { record } = createRecorder(load)
  const agent = new Agent({ keepAlive: true })
  const begun = performance.now()
  let sent = 0
  setInterval(() => {
    const due = ((performance.now() - begun) / 1000) * load.rate
    while (sent < due) ask(load.requests[sent++ % load.requests.length]!)
  }, 1)

  function ask({ method, path, headers, body }: Request): void {
    const started = performance.now()
    const request = send(load.origin + path, { method, headers, agent }, (answer) => {
      answer.resume().on('end', () => record(answer.statusCode!, performance.now() - started))
    })
    request.on('error', () => record('failed', 0))
    request.end(body)
  }
})
