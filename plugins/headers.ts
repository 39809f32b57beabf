/**
 * What stands on every answer: the request's id, security headers, no-store, and what lets the pages of CORS_ORIGINS
 * read it. And what is refused before anything else: requests while closing, without one Host, with an expectation that
 * cannot be met.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isIP, type Socket } from 'node:net'
import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { putFirst } from '../hooks.ts'
import type { Parts } from '../parts.ts'
import { trustedProxies } from '../schemas/config.ts'
import { type Code, fail } from '../schemas/errors.ts'
import type { Client } from '../schemas/session.ts'

/** Bytes of a request's head. */
export const HEAD_LIMIT = 16 * 1024
/** How long a browser may remember what a preflight said. */
const PREFLIGHT_SECONDS = 600
const REQUEST_ID = /^[\w.-]{1,64}$/

/** OWASP REST Security Cheat Sheet: an API's answers are no documents. They may hold tokens or personal data, so nobody stores them. */
export const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Gateways ask here about requests of others: whatever came with those, such as a body or an Expect, is none of its business. */
    proxied?: boolean
  }
}

/** Whether more than nothing is to come after the head. */
export const announcesBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

const LINGER_MS = 1000

/**
 * Ends a connection, with some last bytes where they are given. What the client still sends is read for a while, so that
 * it gets to read the answer; one that keeps its side open must not hold up a stop.
 */
export function linger(socket: Socket, bytes = ''): void {
  socket.end(bytes)
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

/**
 * Answers without waiting for the body, which a proxy may announce and never send. So the answer is the last on its
 * connection, or the next request would be taken for the body. And nothing that comes is left unread for a while: else
 * the system would reset the connection, and the proxy might lose the answer (RFC 9112, section 9.6).
 */
function leaveBody(request: FastifyRequest, reply: FastifyReply): void {
  const { socket } = request.raw
  reply.raw.setHeader('connection', 'close')
  // What Node calls after the last answer on a connection.
  socket.destroySoon = () => linger(socket)
}

/**
 * Calls `over` once: when the answer is out, or nobody is there to take it. An answer that waits behind another on its
 * connection has no socket yet, and hears nothing of the end of the one that it would have had.
 */
export function whenOver({ raw, request }: FastifyReply, over: () => void): void {
  const { socket } = request.raw
  const once = () => {
    raw.off('close', once)
    socket.off('close', once)
    over()
  }
  raw.on('close', once)
  if (!raw.socket) socket.on('close', once)
  /* c8 ignore next -- it has come already: a client would have to go just while the gate asks the database */
  if (raw.destroyed || socket.destroyed) once()
}

/** Makes a request's id, or takes it from a trusted proxy. */
export function requestIds(config: Config): (request: IncomingMessage) => string {
  const trusted = trustedProxies(config.TRUSTED_PROXIES)
  return ({ headers, socket }) => {
    const given = headers['x-request-id']
    const fits = typeof given === 'string' && REQUEST_ID.test(given) && trusted(String(socket.remoteAddress))
    return fits ? given : randomUUID()
  }
}

/** Sets what stands on every answer that passes through Fastify's reply. */
export function setHeaders(life: Life, request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id)
  closeInStop(life, reply)
}

/** Adds what else an answer depends on; CORS may have written into Vary before. */
export function varyBy(reply: FastifyReply, name: string): void {
  reply.header('vary', [reply.getHeader('vary') ?? [], name].flat().join(', '))
}

/** Who asks: the address that trusted proxies vouch for, and the browser's own words, without control characters. */
export function clientOf(request: FastifyRequest): Client {
  // What a proxy passes on need not be an address; then the proxy itself is all that is known.
  const ip = isIP(request.ip) ? request.ip : String(request.socket.remoteAddress)
  const agent = (request.headers['user-agent'] ?? '').replace(/\p{Cc}/gu, '')
  return { ip: ip.slice(0, 255), userAgent: [...agent].slice(0, 255).join('') }
}

/** RFC 3986, section 3.2.2, and a port. */
const HOST = /^[\w.~!$&'()*+,;=%:[\]-]*$/

/** How often a header of this name, in lower case, was sent: of some Node.js keeps only the first. */
export function countOf({ raw: { rawHeaders } }: FastifyRequest, name: string): number {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const one = rawHeaders[index]!
    if (one.length === name.length && one.toLowerCase() === name) count++
  }
  return count
}

/** RFC 9112, section 3.2: exactly one Host in HTTP/1.1, and one that can be one. */
function hasOneHost(request: FastifyRequest): boolean {
  const { headers, httpVersion } = request.raw
  const hosts = countOf(request, 'host')
  return (hosts === 1 && HOST.test(String(headers.host))) || (hosts === 0 && httpVersion === '1.0')
}

/** What makes a request one that cannot be answered as it stands; undefined where nothing does. */
function unreadable(request: FastifyRequest): Code | undefined {
  if (!hasOneHost(request)) return 'BAD_REQUEST'
  const { expect } = request.headers
  return expect === undefined || expect.toLowerCase() === '100-continue' ? undefined : 'EXPECTATION_FAILED'
}

/** Private, shared, loopback and link-local addresses (RFC 1918, 6598, 1122, 3927, 4193, 4291): a gateway is likely to have one. */
const isPrivate = trustedProxies([
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16'],
  ...['::1', 'fc00::/7', 'fe80::/10'],
])

/** Says once, where a gateway's word on the client's address is not believed, which setting would change that. */
export function createHint(config: Pick<Config, 'TRUSTED_PROXIES'>, log: Pick<FastifyBaseLogger, 'warn'>) {
  const trusted = trustedProxies(config.TRUSTED_PROXIES)
  let given = false
  return ({ headers, socket }: Pick<FastifyRequest, 'headers' | 'socket'>): void => {
    if (given || headers['x-forwarded-for'] === undefined) return
    const proxy = String(socket.remoteAddress)
    if (trusted(proxy) || !isPrivate(proxy)) return
    given = true
    log.warn({ proxy }, 'X-Forwarded-For is not believed: name this address in TRUSTED_PROXIES if it is your gateway')
  }
}

/** How far the process has come in its stop. */
export interface Life {
  /** SIGTERM was heard: it goes on serving, but is not ready any more and keeps no connection. */
  stopping: boolean
  /** It serves nobody any more. */
  closing: boolean
}
export const lifeOf = (app: FastifyInstance) => app.getDecorator<Life>('life')

/** In a stop, makes this answer the last on its connection: one that is kept would hold it up. */
export function closeInStop({ stopping, closing }: Life, { raw }: FastifyReply): void {
  if (stopping || closing) raw.setHeader('connection', 'close')
}

/** Preflights are told apart by their header: an OPTIONS without it is asked for what the address takes. */
function corsFor(origins: readonly string[], { headers }: FastifyRequest): FastifyCorsOptions {
  if (!origins.includes(headers.origin ?? '')) return { origin: false }
  return {
    origin: [...origins],
    preflight: headers['access-control-request-method'] !== undefined,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type'],
    exposedHeaders: ['X-Request-Id', 'Retry-After', 'WWW-Authenticate'],
    maxAge: PREFLIGHT_SECONDS,
  }
}

const isProxied = ({ routeOptions }: FastifyRequest) => routeOptions.config.proxied === true

const secure: onRequestHookHandler = (_request, reply, done) => {
  reply.headers(HEADERS)
  done()
}

export default fp<Parts>(
  async (app, { config }) => {
    const life: Life = { stopping: false, closing: false }
    app.decorate('life', life)
    app.addHook('preClose', async () => {
      life.closing = true
    })
    const hint = createHint(config, app.log)
    // A gateway passes on what it was told to, and stores nothing.
    app.addHook('onRoute', (route) => {
      if (!route.config?.proxied) putFirst(route, 'onRequest', secure)
    })
    // Before anything can be refused, so that a page can read what is; only what is no readable request comes before.
    if (config.CORS_ORIGINS.length > 0) {
      await app.register(cors, {
        delegator: (request, done) => done(null, corsFor(config.CORS_ORIGINS, request)),
      })
    }
    // These in callback style: a promise would cost more than the hook does. And a look into a route's options costs as
    // much as both of them, so only who has to know takes it.
    app.addHook('onRequest', (request, reply, done) => {
      hint(request)
      if (announcesBody(request) && isProxied(request)) leaveBody(request, reply)
      if (life.closing) fail('UNAVAILABLE')
      const code = unreadable(request)
      if (code && !isProxied(request)) fail(code)
      done()
    })
    app.addHook('onSend', (request, reply, _payload, done) => {
      setHeaders(life, request, reply)
      // Answered before it comes to a route, whose own hook sets them.
      if (request.method === 'OPTIONS') reply.headers(HEADERS)
      done()
    })
  },
  { name: 'headers' },
)
