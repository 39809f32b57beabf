/**
 * Every error, from whatever layer, in the one shape: from handlers, schemas and parsers, for addresses and methods
 * that are not there, and from the HTTP parser below Fastify.
 */
import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, onResponseHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import FindMyWay, { type HTTPMethod } from 'find-my-way'
import Negotiator from 'negotiator'
import type { Config } from '../config.ts'
import type { Parts } from '../parts.ts'
import { type Code, ERRORS, errorBody, Failure, isOauth, type Language } from '../schemas/errors.ts'
import { METHODS, STATUS_CODES } from '../schemas/http.ts'
import { HEAD_LIMIT, HEADERS, lifeOf, linger, setHeaders, varyBy } from './headers.ts'

/** What Fastify's own errors are in our table; any other with a status below 500 is a request that cannot be read. */
const CODES_OF_FASTIFY: Record<string, Code> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
}

function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error
  const { code = '', statusCode = 500 } = error as Partial<FastifyError>
  const own = CODES_OF_FASTIFY[code] ?? (statusCode < 500 ? 'BAD_REQUEST' : 'INTERNAL')
  return new Failure(own, { cause: error })
}

function languageOf(request: FastifyRequest): Language {
  return (new Negotiator(request.raw).languages(['en', 'ko'])[0] as Language | undefined) ?? 'en'
}

/** Answers a URL that the router cannot read: no hook runs for it, so that what they set is set here. */
export function answerFrameworkError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  setHeaders(lifeOf(request.server), request, reply)
  answerError(error, request, reply)
}

/** Answers what a hook, a parser or a handler throws. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const failure = failureOf(error)
  const language = languageOf(request)
  log(failure, request)
  // The hook of the route that sets them may not have run yet, and /auth/verify has none.
  reply.headers(HEADERS)
  varyBy(reply, 'accept-language')
  reply.code(failure.statusCode).header('content-language', language).headers(headersOf(failure, request))
  const { url = request.url } = request.routeOptions
  reply.type('application/json; charset=utf-8').send(errorBody(failure, language, isOauth(url)))
}

/** RFC 6750, section 3, and for services RFC 7617, section 2. */
function challengeOf(code: Code, { routeOptions }: FastifyRequest): string {
  if (routeOptions.config.access === 'service') return 'Basic realm="latchkey", charset="UTF-8"'
  const { challenge } = ERRORS[code] as { challenge?: string }
  return challenge ? `Bearer error="${challenge}"` : 'Bearer'
}

function headersOf({ code, statusCode, particulars }: Failure, request: FastifyRequest): Record<string, string> {
  return {
    ...(statusCode === 401 && { 'www-authenticate': challengeOf(code, request) }),
    ...((statusCode === 429 || statusCode === 503) && { 'retry-after': String(particulars.retryAfter ?? 1) }),
    ...(particulars.allow && { allow: particulars.allow }),
  }
}

/** One line for each error answer, as LOG_REQUESTS says; for our own faults always. The route is logged, not the address: that can hold anything. */
function log({ code, statusCode, cause }: Failure, request: FastifyRequest): void {
  const isOurs = statusCode === 500 || (statusCode === 503 && cause !== undefined)
  const { level, overload } = request.server.getDecorator<RequestLog>('requestLog')
  if (!isOurs && level === 'none') return
  if (!isOurs && level === 'errors' && code === 'OVERLOADED') return void overload()
  const line = { reqId: request.id, code, statusCode, method: request.method, route: request.routeOptions.url }
  if (statusCode < 500) request.log.info(line, 'refused')
  else request.log[statusCode === 503 ? 'warn' : 'error']({ ...line, err: cause }, 'failed')
}

interface RequestLog {
  level: Config['LOG_REQUESTS']
  /** Takes note of a refusal for want of time to hash. */
  overload: () => void
}

/**
 * One line a second for all who are refused in a storm: hundreds of lines say no more than their number, and cost as much
 * as some of the logins.
 */
function createOverloadLog(app: FastifyInstance): () => void {
  let count = 0
  let timer: NodeJS.Timeout | undefined
  function tell(): void {
    clearTimeout(timer)
    if (count > 0) app.log.warn({ code: 'OVERLOADED', statusCode: 503, count }, 'failed')
    count = 0
    timer = undefined
  }
  app.addHook('onClose', async () => tell())
  return () => {
    count++
    timer ??= setTimeout(tell, 1000)
  }
}

const CODES_OF_PARSER: Record<string, Code> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
}

/** For what is no HTTP, or comes too late or too large: below Fastify, so the answer is written by hand. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  // The answer to the request that is on its way, where its head was read.
  const { _httpMessage: begun } = socket as Socket & { _httpMessage?: ServerResponse }
  if (error.code === 'ECONNRESET' || !socket.writable || begun?.headersSent) return void socket.destroy()
  const failure = new Failure(CODES_OF_PARSER[error.code ?? ''] ?? 'BAD_REQUEST')
  const answered = errorBody(failure, 'en', isOauth(begun?.req.url ?? ''))
  const body = JSON.stringify(answered)
  const head = [
    `HTTP/1.1 ${failure.statusCode} ${STATUS_CODES[failure.statusCode]}`,
    `x-request-id: ${randomUUID()}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'content-language: en',
    'vary: accept-language',
    ...Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}`),
    `date: ${new Date().toUTCString()}`,
    'connection: close',
  ]
  linger(socket, `${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Which methods each address takes: Fastify knows, but does not tell. */
function createAddresses() {
  // As long as app.ts lets parameters be; the head's limit bounds both.
  const router = FindMyWay({ maxParamLength: HEAD_LIMIT })
  return {
    add: (method: string | string[], url: string) => router.on(method as HTTPMethod | HTTPMethod[], url, () => {}),
    /** The methods of the address, or an empty list where there is nothing. */
    methods: (url: string) => METHODS.filter((method) => router.find(method as HTTPMethod, url)),
  }
}

/** One line for each answer that has none by `log`; with its milliseconds. */
const logAnswer: onResponseHookHandler = (request, reply, done) => {
  const { method, id: reqId } = request
  const { statusCode, elapsedTime } = reply
  const line = { reqId, statusCode, method, route: request.routeOptions.url, ms: Math.round(elapsedTime * 10) / 10 }
  if (statusCode < 400) request.log.info(line, 'answered')
  done()
}

export default fp<Parts>(
  async (app, { config: { LOG_REQUESTS } }) => {
    app.decorate('requestLog', { level: LOG_REQUESTS, overload: createOverloadLog(app) } satisfies RequestLog)
    if (LOG_REQUESTS === 'all') app.addHook('onResponse', logAnswer)
    // A tunnel is asked for: Node leaves its socket to whoever listens.
    app.server.on('connect', (_request, socket) => answerClientError(new Error('CONNECT'), socket as Socket))
    const addresses = createAddresses()
    app.addHook('onRoute', ({ method, url }) => {
      if (!addresses.methods(url).includes(String(method))) addresses.add(method, url)
    })
    // In callback style, like each hook that nearly every request passes: a promise would cost more than the hook does.
    app.addHook('onRequest', (request, reply, done) => {
      // The second is the address that @fastify/cors puts behind every OPTIONS; no preflight comes so far.
      if (!request.is404 && (request.method !== 'OPTIONS' || request.routeOptions.url !== '*')) return done()
      const methods = addresses.methods(request.url)
      if (methods.length === 0) throw new Failure('NOT_FOUND')
      const allow = [...methods, 'OPTIONS'].join(', ')
      if (request.method !== 'OPTIONS') throw new Failure('METHOD_NOT_ALLOWED', { allow })
      reply.code(204).header('allow', allow).send()
    })
  },
  // After headers: what is refused here carries them.
  { name: 'errors', dependencies: ['headers'] },
)
