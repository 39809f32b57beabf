/** HTTP as bytes on a socket, for what no client library would send. */
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { App } from '../app.ts'
import type { Answer } from './helper.ts'

/** Listens on a free port or the given one, and gives it. */
export async function listen(server: App, port = 0): Promise<number> {
  await server.listen({ port, host: '127.0.0.1' })
  return (server.server.address() as AddressInfo).port
}

/** A connection on which bytes are sent, and answers read one after the other. */
export async function openWire(port: number) {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const incoming = answersOn(socket)
  return {
    socket,
    send: (bytes: string | Buffer) => socket.write(bytes),
    /** The next answer; undefined where the connection ends without one. */
    next: async (): Promise<Answer | undefined> => (await incoming.next()).value ?? undefined,
  }
}

/** The first answer to these bytes. */
export async function exchange(port: number, bytes: string | Buffer): Promise<Answer | undefined> {
  const wire = await openWire(port)
  wire.send(bytes)
  const answer = await wire.next()
  wire.socket.destroy()
  return answer
}

async function* answersOn(socket: Socket): AsyncGenerator<Answer, undefined> {
  let text = ''
  for await (const bytes of socket) {
    text += (bytes as Buffer).toString('latin1')
    for (let read = firstOf(text); read; read = firstOf(text)) {
      text = text.slice(read.length)
      yield read.answer
    }
  }
  return undefined
}

/** The first whole answer at the start of a text. */
function firstOf(text: string): { answer: Answer; length: number } | undefined {
  const end = text.indexOf('\r\n\r\n') + 4
  if (end < 4) return undefined
  const [line = '', ...lines] = text.slice(0, end - 4).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((header) => [header.split(':')[0]!.toLowerCase(), header.replace(/^[^:]*: */, '')]),
  )
  const length = end + Number(headers['content-length'] ?? 0)
  if (text.length < length) return undefined
  const body = Buffer.from(text.slice(end, length), 'latin1').toString()
  const json = headers['content-type']?.startsWith('application/json') && body !== ''
  const status = Number(line.split(' ')[1])
  return { answer: { status, headers, text: body, body: json ? JSON.parse(body) : undefined }, length }
}
