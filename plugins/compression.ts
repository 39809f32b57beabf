/**
 * Compressed answers, where a route says that its own may be large: so far only the list of ended sessions. (Not by
 * @fastify/compress, which brings a family of packages for streams and files to what are ten lines of node:zlib.)
 */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest, onSendAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import Negotiator from 'negotiator'
import { putFirst } from '../hooks.ts'
import { varyBy } from './headers.ts'

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
  if (reply.statusCode !== 200) return payload
  varyBy(reply, 'accept-encoding')
  const [encoding] = new Negotiator(request.raw).encodings(['gzip', 'identity'])
  if (encoding !== 'gzip' || Buffer.byteLength(payload) < LEAST_BYTES) return payload
  reply.header('content-encoding', 'gzip')
  return compress(payload)
}

export default fp(
  async (app) => {
    // On these routes alone, before what Fastify does to the answer of a HEAD.
    app.addHook('onRoute', (route) => {
      if (route.config?.compress) putFirst(route, 'onSend', compressed as onSendAsyncHookHandler)
    })
  },
  { name: 'compression' },
)
