/** A process of its own: autocannon with so many connections, each of which sends a request when it has its answer. */
import { tool } from '../tools.ts'
import { type ClosedLoad, createRecorder, type Request } from './recorder.ts'

type Sent = Request & { onResponse?: (status: number, body: string) => void }

interface Client {
  setRequests(requests: Sent[]): void
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

  function take(): Sent {
    if (mode === 'refresh') return refreshing(requests.shift()!)
    return { ...requests[next++ % requests.length]! }
  }

  /** A refresh token serves once: the one of the answer takes its place, behind all others. */
  function refreshing(request: Request): Sent {
    const onResponse = (status: number, body: string) => {
      if (status === 200) requests.push({ ...request, body: refreshBody(body) })
    }
    return { ...request, onResponse }
  }

  function setupClient(client: Client): void {
    client.setRequests([take()])
    client.on('response', (status, _, milliseconds) => {
      recorder.record(status, milliseconds)
      if (mode !== 'each') client.setRequests([take()])
    })
    client.on('connError', () => recorder.record('failed', 0))
    client.on('timeout', () => recorder.record('failed', 0))
  }

  // Longer than the load: the recorder ends the process, so that autocannon cuts nothing off.
  const duration = warmUp + seconds + 60
  tool<Autocannon>('autocannon')({ url: origin, connections, duration, timeout: 60, setupClient }, () => {})
})

const refreshBody = (answer: string) => JSON.stringify({ refresh_token: JSON.parse(answer).refresh_token })
