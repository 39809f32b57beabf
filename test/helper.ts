/**
 * The service as tests use it: the app that ships with a clock that is moved by hand, and people as its clients
 * (`app.anon`, `const ann = await app.register('ann')`, `ann.get('/user/me')`). Every answer is held against what each
 * answer must carry, and against the codes that the OpenAPI document names for its route.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import threads, { Worker } from 'node:worker_threads'
import type { InjectOptions } from 'fastify'
import type { Test } from 'tap'
import { type App, buildApp } from '../app.ts'
import { readConfig } from '../config.ts'
import { sessionsOf } from '../plugins/sessions/index.ts'
import type { ServiceClient } from '../schemas/config.ts'
import type { AccessClaims, TokenAnswer } from '../schemas/tokens.ts'
import { connect, type Engine } from './engines.ts'

// Each app has threads of its own that hash, and each would load what tap has preloaded into this process, which takes a
// multiple of their work. Those of test/plugins/passwords/queue.test.ts do, so that their lines are counted.
threads.Worker = class extends Worker {
  constructor(...[file, options]: ConstructorParameters<typeof Worker>) {
    super(file, { ...options, execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } })
  }
}
syncBuiltinESMExports()

export const PASSWORD = 'correct horse battery'
/** Less than BCRYPT_COST takes, since these tests make thousands of hashes. Those that run a process have 10. */
export const COST = 5
/** The one service that may ask about tokens. */
export const SERVICE: ServiceClient = { id: 'orders', secret: 'the-secret-of-the-orders' }
export const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

export const basicOf = ({ id, secret }: ServiceClient) => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
})

type Method = NonNullable<InjectOptions['method']>
type Headers = Record<string, string>

export interface Answer<Body = Record<string, unknown>> {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it by hand
  body: Body extends Record<string, unknown> ? any : Body
  text: string
  headers: Record<string, string | string[] | number | undefined>
}

/** The status, and the code of an error: `409 EMAIL_TAKEN`. */
export const codeOf = ({ status, body }: Answer): string => (status < 400 ? `${status}` : `${status} ${body.code}`)

/** How often each outcome came about. */
export function tally(answers: Answer[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const answer of answers) counts[codeOf(answer)] = (counts[codeOf(answer)] ?? 0) + 1
  return counts
}

type Settings = Record<string, string | undefined>

/** A fresh service on a fresh database of this engine. Closed when the test ends. */
export async function startApp(t: Test, engine: Engine, settings: Settings = {}) {
  return openApp(t, { DATABASE_URL: await engine.databaseUrl(), ...settings })
}

/** A service on this database; by the clock of another one where that is given. */
export async function openApp(t: Test, settings: Settings, clock = { time: Date.now() }) {
  const read = readConfig({
    SECRET: 'the secret of the tests has more than thirty-two bytes',
    ISSUER: 'https://auth.example.com',
    // A machine that is busy is no fault of the service.
    HASH_MAX_WAIT_MS: '60000',
    DB_MAX_WAIT_MS: '60000',
    LOG_LEVEL: 'silent',
    SERVICE_CLIENTS: `${SERVICE.id}:${SERVICE.secret}`,
    ...settings,
  })
  const config = Object.freeze({ ...read, BCRYPT_COST: COST })
  const server = await buildApp({ config, now: () => clock.time })
  t.teardown(() => server.close())
  const app = {
    server,
    config,
    clock,
    /** Moves the clock; what each second reads is read as if the service had gone on all the time. */
    async advance(seconds: number) {
      clock.time += seconds * 1000
      await sessionsOf(server).poll()
    },
    /** Asks the database itself, beside the app. */
    async sql<Row = Record<string, unknown>>(text: string, values: (string | number | null)[] = []): Promise<Row[]> {
      const connection = await connect(config.DATABASE_URL)
      try {
        return await connection.sql<Row>(text, values)
      } finally {
        await connection.close()
      }
    },
    anon: clientOf(t, server),
    service: clientOf(t, server, basicOf(SERVICE)),
    /** A person of this name, registered and logged in. */
    register: async (name: string) =>
      personOf(
        t,
        server,
        await app.anon.post('/user/register', { username: name, email: `${name}@example.com`, password: PASSWORD }),
      ),
    /** The same person, logged in once more. */
    login: async (name: string, password = PASSWORD) =>
      personOf(t, server, await app.anon.post('/user/login', { username: name, password })),
    /** A person by a token answer. */
    as: (answer: Answer) => personOf(t, server, answer),
  }
  return app
}

export type TestApp = Awaited<ReturnType<typeof openApp>>
export type Person = ReturnType<typeof personOf>
export type Client = ReturnType<typeof clientOf>

function personOf(t: Test, server: App, answer: Answer) {
  const tokens = answer.body as TokenAnswer
  if (tokens.result !== 'success') throw new Error(`no token answer: ${answer.text}`)
  return { ...clientOf(t, server, { authorization: `Bearer ${tokens.access_token}` }), tokens, answer }
}

function clientOf(t: Test, server: App, own: Headers = {}) {
  const ask = async (method: Method, url: string, body?: unknown, headers: Headers = {}): Promise<Answer> => {
    const options: InjectOptions = { method, url, headers: { 'user-agent': 'test', ...own, ...headers } }
    if (body !== undefined) options.payload = body as NonNullable<InjectOptions['payload']>
    const { statusCode, payload, headers: answered } = await server.inject(options)
    const json = String(answered['content-type']).startsWith('application/json') && payload !== ''
    const answer: Answer = {
      status: statusCode,
      text: payload,
      headers: answered,
      body: json ? JSON.parse(payload) : undefined,
    }
    holdAgainstContract(t, server, method, url, answer)
    return answer
  }
  return {
    ask,
    get: (url: string, headers?: Headers) => ask('GET', url, undefined, headers),
    post: (url: string, body?: unknown, headers?: Headers) => ask('POST', url, body, headers),
    /** A form, as `name=value&…` or by its members. */
    form: (url: string, members: string | Headers, headers?: Headers) =>
      ask('POST', url, String(new URLSearchParams(members)), { ...FORM, ...headers }),
    put: (url: string, body?: unknown, headers?: Headers) => ask('PUT', url, body, headers),
    patch: (url: string, body?: unknown, headers?: Headers) => ask('PATCH', url, body, headers),
    delete: (url: string, body?: unknown, headers?: Headers) => ask('DELETE', url, body, headers),
  }
}

/** Where services ask, who speak HTTP Basic. */
const BY_BASIC = /^\/(oauth\/|\.well-known\/revocations)/

/** RFC 6749, section 5.2: its codes, and a description in ASCII without quotes and backslashes. */
function holdAgainstOauth(t: Test, where: string, status: number, { body }: Answer): void {
  const codes: Record<number, string> = { 401: 'invalid_client', 500: 'server_error', 503: 'temporarily_unavailable' }
  if (body?.error !== (codes[status] ?? 'invalid_request')) t.fail(`${where} is not called as OAuth does`, { body })
  if (!/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(body?.error_description)) t.fail(`${where} is not described`, { body })
}

/** What every answer must carry, whatever it answers. */
export function holdAgainstContract(
  t: Test,
  server: App | undefined,
  method: string,
  url: string,
  answer: Answer,
): void {
  const { status, headers, body } = answer
  const where = `${method} ${url} → ${status}`
  if (!/^[\w.-]{1,64}$/.test(String(headers['x-request-id']))) t.fail(`${where} carries no request id`)
  if (server && method !== 'HEAD') holdAgainstDocument(t, method, url, status, body?.code)
  if (status < 400) return
  if (method !== 'HEAD') {
    const { statusCode, code, error, message, error_description, ...rest } = body ?? {}
    if (url.startsWith('/oauth/')) holdAgainstOauth(t, where, status, answer)
    else if (error_description !== undefined) t.fail(`${where} speaks OAuth`)
    if (statusCode !== status || ![code, error, message].every((text) => typeof text === 'string' && text !== ''))
      t.fail(`${where} is not of the one shape`, { body })
    const more = Object.keys(rest)
    if (more.length > (code === 'VALIDATION_FAILED' ? 1 : 0)) t.fail(`${where} says more than it should`, { body })
    if (!headers['content-language'] || !String(headers.vary).includes('accept-language'))
      t.fail(`${where} names no language`)
  }
  const challenge = BY_BASIC.test(url) ? /^Basic realm="latchkey", charset="UTF-8"$/ : /^Bearer/
  if (status === 401 && !challenge.test(String(headers['www-authenticate']))) t.fail(`${where} has no challenge`)
  if ((status === 429 || status === 503) && !/^\d+$/.test(String(headers['retry-after'])))
    t.fail(`${where} has no Retry-After`)
  if (status === 405 && !headers.allow) t.fail(`${where} has no Allow`)
  if (status === 500) t.fail(`${where}: nothing that a client sends gives a 500`, { body })
}

interface Response {
  $ref?: string
  content?: Record<string, { schema: { allOf?: [unknown, { properties: { code: { enum: string[] } } }] } }>
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>
  components: { responses: Record<string, Response> }
}

/** The codes that the OpenAPI document names for an answer of this status; undefined where it does not name the status. */
export function documentedCodes(
  { paths, components }: Document,
  method: string,
  path: string,
  status: number,
): string[] | undefined {
  const response = paths[path]?.[method.toLowerCase()]?.responses[status]
  const named = response?.$ref ? components.responses[response.$ref.split('/').at(-1)!] : response
  return named && (named.content?.['application/json']?.schema.allOf?.[1].properties.code.enum ?? [])
}

/** The reviewed page, which test/surface.test.ts holds against what is served. */
const DOCUMENT: Document = JSON.parse(readFileSync(join(import.meta.dirname, '../../test/openapi.json'), 'utf8'))

/** The document names each status of a route, and each code of a status. */
function holdAgainstDocument(t: Test, method: string, url: string, status: number, code: string | undefined): void {
  const path = url.split('?')[0]!.replace(/^(\/user\/sessions\/).+/, '$1{id}')
  if (!DOCUMENT.paths[path]?.[method.toLowerCase()]) return
  const codes = documentedCodes(DOCUMENT, method, path, status)
  if (!codes || (status >= 400 && !codes.includes(String(code))))
    t.fail(`the OpenAPI document does not name ${status} ${code} at ${method} ${path}`)
}

/** A wall that a test puts up in front of a function of a decorator, to stall it and see what others do meanwhile. */
export function stall<T extends object, K extends keyof T>(target: T, name: K, when: 'before' | 'after') {
  const real = target[name] as unknown as (...args: unknown[]) => Promise<unknown>
  let reached = () => {}
  let release = () => {}
  const arrival = new Promise<void>((resolve) => {
    reached = resolve
  })
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const stalled = async function (this: unknown, ...args: unknown[]) {
    // Only the first caller is stalled.
    target[name] = real as T[K]
    if (when === 'before') {
      reached()
      await gate
      return real.apply(target, args)
    }
    const result = await real.apply(target, args)
    reached()
    await gate
    return result
  }
  target[name] = stalled as T[K]
  return { arrival, release }
}

/** The names of all functions of these objects that are called from now on, in order. */
export function watchCalls(...targets: object[]): string[] {
  const calls: string[] = []
  for (const target of targets as Record<string, unknown>[]) {
    for (const [name, real] of Object.entries(target)) {
      if (typeof real !== 'function') continue
      target[name] = function (this: unknown, ...args: unknown[]) {
        calls.push(name)
        return real.apply(this, args)
      }
    }
  }
  return calls
}

const decoded = (token: string, part: number) =>
  JSON.parse(Buffer.from(token.split('.')[part]!, 'base64url').toString())

/** What an access token says, unverified: its header and its claims. */
export const headerOf = (token: string): Record<string, unknown> => decoded(token, 0)
export const claimsOf = (token: string): AccessClaims => decoded(token, 1)

export const randomName = () => `u${randomBytes(5).toString('hex')}`
