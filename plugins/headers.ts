/**
 * What stands on every answer: the request's id, security headers, no-store. And what is refused before anything else:
 * requests while closing, without one Host, with an expectation that cannot be met.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { trustedProxies } from '../schemas/config.ts'
import { fail } from '../schemas/errors.ts'
import type { Client } from '../schemas/session.ts'

/** Bytes of a request's head. */
export const HEAD_LIMIT = 16 * 1024
const REQUEST_ID = /^[\w.-]{1,64}$/

/** OWASP REST Security Cheat Sheet: an API's answers are no documents. They may hold tokens or personal data, so nobody stores them. */
export const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
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

/** Sets the headers that stand on every answer; also for answers that no hook sees. */
export function setHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id).headers(HEADERS)
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

/** RFC 9112, section 3.2: exactly one Host in HTTP/1.1, and one that can be one. */
function hasOneHost({ raw }: FastifyRequest): boolean {
  const hosts = raw.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host')
  return (
    (hosts.length === 1 && HOST.test(String(raw.headers.host))) || (hosts.length === 0 && raw.httpVersion === '1.0')
  )
}

export default fp(
  async (app) => {
    let closing = false
    app.addHook('preClose', async () => {
      closing = true
    })
    app.addHook('onRequest', async (request, reply) => {
      setHeaders(request, reply)
      if (closing) fail('UNAVAILABLE')
      if (!hasOneHost(request)) fail('BAD_REQUEST')
      const { expect } = request.headers
      if (expect !== undefined && expect.toLowerCase() !== '100-continue') fail('EXPECTATION_FAILED')
    })
    // A connection that is kept after its last answer would hold up the stop.
    app.addHook('onSend', async (_request, reply) => {
      if (closing) reply.header('connection', 'close')
    })
  },
  { name: 'headers' },
)
