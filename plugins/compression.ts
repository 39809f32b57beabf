/**
 * Compressed answers, where a route says that its own may be large: so far only the list of ended sessions. (Not by
 * @fastify/compress, which brings a family of packages for streams and files to what are ten lines of node:zlib.)
 */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import Negotiator from 'negotiator'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its answers are compressed where the client takes that. */
    compress?: boolean
  }
}

/** Below it an answer goes in one packet anyway. */
const LEAST_BYTES = 1024
const compress = promisify(gzip)

async function compressed(request: FastifyRequest, reply: FastifyReply, payload: string): Promise<string | Buffer> {
  reply.header('vary', [reply.getHeader('vary') ?? [], 'accept-encoding'].flat().join(', '))
  const [encoding] = new Negotiator(request.raw).encodings(['gzip', 'identity'])
  if (encoding !== 'gzip' || Buffer.byteLength(payload) < LEAST_BYTES) return payload
  reply.header('content-encoding', 'gzip')
  return compress(payload)
}

export default fp(
  async (app) => {
    // By a callback: no other answer waits for it.
    app.addHook<string>('onSend', (request, reply, payload, done) => {
      if (!request.routeOptions.config?.compress || reply.statusCode !== 200) return done(null, payload)
      compressed(request, reply, payload).then((shorter) => done(null, shorter), done)
    })
  },
  { name: 'compression' },
)
