// Latchkey as a process of its own, as people run it: what it prints, how it ends, and clients that talk to it over
// real connections. Whatever a test starts ends with the test.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { TokenAnswer } from '../schemas/tokens.ts'
import { PASSWORD, randomName } from './helper.ts'
import { killWithUs } from './mariadb.ts'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const ENDED_WITHIN = 15_000

type Environment = Record<string, string | undefined>
/** A line of the log, or the text of a line that is none. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into it by hand
type Line = any

export interface Running {
  child: ChildProcess
  /** All that it has printed so far. */
  stdout: () => string
  stderr: () => string
  /** The first line on stdout that matches, printed already or not yet. Fails where the process ends without it. */
  line: (pattern: RegExp) => Promise<Line>
  /** Its exit code, or the name of the signal that ended it, once all its output was read. */
  ended: Promise<number | string>
  signal: (name: NodeJS.Signals) => void
}

/** Starts a program, in the folder of the package where no other is named. */
export function start(
  t: Test,
  [program = '', ...args]: string[],
  env: Environment = {},
  { group = false, cwd = ROOT } = {},
): Running {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, detached: group })
  killWithUs(child, group)
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  let over = false
  const wake = () => {
    for (const look of waiting) look()
  }
  createInterface(child.stdout).on('line', (text) => {
    stdout += `${text}\n`
    lines.push(text)
    wake()
  })
  const ended = once(child, 'close').then(([code, signal]) => {
    over = true
    wake()
    return (code ?? signal) as number | string
  })

  const signal = (name: NodeJS.Signals) => {
    try {
      if (group) process.kill(-child.pid!, name)
      else child.kill(name)
    } catch {
      // It is gone.
    }
  }
  t.teardown(async () => {
    if (over) return
    signal('SIGTERM')
    const timer = setTimeout(() => signal('SIGKILL'), ENDED_WITHIN)
    await ended
    clearTimeout(timer)
  })

  const line = (pattern: RegExp) =>
    new Promise<Line>((resolve, reject) => {
      const look = () => {
        const found = lines.find((text) => pattern.test(text))
        if (found === undefined && !over) return
        waiting.delete(look)
        if (found === undefined) reject(new Error(`It ended without a line like ${pattern}:\n${stdout}${stderr}`))
        else resolve(found.startsWith('{') ? JSON.parse(found) : found)
      }
      waiting.add(look)
      look()
    })
  return { child, stdout: () => stdout, stderr: () => stderr, line, ended, signal }
}

export const node = (t: Test, args: string[], env?: Environment) => start(t, [process.execPath, ...args], env)

/** Settings of a service for a test: any port, a cheap hash. */
export const settingsOf = (databaseUrl: string): Environment => ({
  DATABASE_URL: databaseUrl,
  PORT: '0',
  SECRET: 'a secret of this test: thirty-two bytes or more',
  ISSUER: 'https://auth.example.com',
  BCRYPT_COST: '10',
  // A machine that is busy is no fault of the service.
  HASH_MAX_WAIT_MS: '60000',
  DB_MAX_WAIT_MS: '60000',
})

export interface Service extends Running {
  origin: string
  port: number
  ask: Ask
}

/** Starts the service and waits until it listens. */
export async function serve(t: Test, databaseUrl: string, env: Environment = {}): Promise<Service> {
  return listening(node(t, ['dist/server.js'], { ...settingsOf(databaseUrl), ...env }))
}

/** Waits until a service that was started listens. */
export async function listening(running: Running): Promise<Service> {
  const { address } = await running.line(/"address"/)
  return { ...running, origin: address, port: Number(new URL(address).port), ask: client(address) }
}

export interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it by hand
  body: any
  headers: Headers
}

export type Ask = (call: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>

/** Asks `POST /user/login` and the like over a real connection. */
export function client(origin: string): Ask {
  return async (call, body, headers = {}) => {
    const [method = 'GET', path] = call.split(' ')
    const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
    const response = await fetch(origin + path, { method, headers: { ...type, ...headers }, ...sent })
    const text = await response.text()
    const json = response.headers.get('content-type')?.startsWith('application/json')
    return { status: response.status, headers: response.headers, body: json && text ? JSON.parse(text) : text }
  }
}

export const bearer = ({ access_token }: TokenAnswer) => ({ authorization: `Bearer ${access_token}` })

/** A person who was not there yet. */
export async function register(ask: Ask, username = randomName()): Promise<TokenAnswer> {
  const answer = await ask('POST /user/register', { username, email: `${username}@example.com`, password: PASSWORD })
  if (answer.status !== 201) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** Asks until the answer is the wanted one. What never comes ends with the file's own timeout. */
export async function until(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) await pause(20)
}

/** A connection whose every byte the test sees. */
export interface Wire {
  socket: Socket
  write: (text: string) => void
  /** What has arrived, once it matches. */
  arrives: (pattern: RegExp) => Promise<string>
  /** All that arrived, once the other side has closed. */
  closed: Promise<string>
}

export async function wire(t: Test, port: number): Promise<Wire> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.setEncoding('utf8').on('data', (part) => {
    text += part
  })
  socket.on('error', () => {})
  const closed = once(socket, 'close').then(() => text)
  await once(socket, 'connect')
  const arrives = async (pattern: RegExp) => {
    while (!pattern.test(text)) {
      if (socket.closed) throw new Error(`It closed without ${pattern}: ${text}`)
      await Promise.race([once(socket, 'data'), closed])
    }
    return text
  }
  return { socket, write: (part) => void socket.write(part), arrives, closed }
}

/** A POST of which only the head is sent, once the service has taken it; `finish` sends the body. */
export async function slowPost(t: Test, port: number, path: string, body: unknown) {
  const one = await wire(t, port)
  const text = JSON.stringify(body)
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: test',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Expect: 100-continue',
  ]
  one.write(`${head.join('\r\n')}\r\n\r\n`)
  await one.arrives(/^HTTP\/1.1 100 /)
  return { ...one, finish: () => one.write(text) }
}
