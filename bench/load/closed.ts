/** A process of its own: autocannon with so many connections, each of which sends a request when it has its answer. */
import { tool } from '../tools.ts'
import { type ClosedLoad, createRecorder, type Request } from './recorder.ts'

interface Client {
  setRequests(requests: (Request & { onResponse?: (status: number, body: string) => void })[]): void
  setBody(body: string): void
  on(event: 'response', listener: (status: number, bytes: number, milliseconds: number) => void): void
  on(event: 'connError' | 'timeout', listener: () => void): void
}

type Autocannon = (
  options: {
    url: string
    connections: number
    duration: number
    timeout: number
    setupClient: (client: Client) => void
  },
  done: () => void,
) => void

process.once('message', (load: ClosedLoad) => {
  const { origin, connections, requests, mode, seconds, warmUp } = load
  const recorder = createRecorder(load)
  let next = 0
  const take = () => ({ ...requests[next++ % requests.length]! })

  function setupClient(client: Client): void {
    const request = take()
    const onResponse = (status: number, body: string) => {
      if (status === 200) client.setBody(refreshBody(body))
    }
    client.setRequests([mode === 'refresh' ? { ...request, onResponse } : request])
    client.on('response', (status, _, milliseconds) => {
      recorder.record(status, milliseconds)
      if (mode === 'cycle') client.setRequests([take()])
    })
    client.on('connError', () => recorder.record('failed', 0))
    client.on('timeout', () => recorder.record('failed', 0))
  }

  // Longer than the load: the recorder ends the process, so that autocannon cuts nothing off.
  const duration = warmUp + seconds + 60
  tool<Autocannon>('autocannon')({ url: origin, connections, duration, timeout: 60, setupClient }, () => {})
})

const refreshBody = (answer: string) => JSON.stringify({ refresh_token: JSON.parse(answer).refresh_token })
