/**
 * Strict bodies. JSON alone, or a form where a route says so, in valid UTF-8, no member twice; and none at all where none
 * is taken. What schemas ask of them: compilers.ts.
 */

import type { FastifyContextConfig, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { fail } from '../../schemas/errors.ts'
import { announcesBody } from '../headers.ts'
import { warmUp } from './compilers.ts'
import { parseForm } from './form.ts'
import { parseJson } from './json.ts'

/** Where a body is optional, it stands in for the token: with a token none is taken. */
const takesBody = ({ routeOptions: { schema, config }, session }: FastifyRequest) =>
  schema?.body !== undefined && !(config.bodyOptional && session)

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The media type of the body; JSON where nothing is said. */
    bodyType?: 'json' | 'form'
    /** The body may be left out although the route has a schema for one. */
    bodyOptional?: boolean
  }
}

/** What a body is read by; each in UTF-8. */
const TYPES = {
  json: { name: 'application/json', parse: parseJson },
  form: { name: 'application/x-www-form-urlencoded', parse: parseForm },
}
const typeOf = ({ bodyType = 'json' }: FastifyContextConfig) => TYPES[bodyType]
export const mediaTypeOf = (config: FastifyContextConfig) => typeOf(config).name

/** Of this type, and in UTF-8 where a charset is named. By splitting, since a pattern could be made to run long. */
function isOfType(name: string, contentType = ''): boolean {
  const [type, ...parameters] = contentType.toLowerCase().split(';')
  const charsets = parameters.map((text) => text.trim()).filter((text) => text.startsWith('charset'))
  return type?.trim() === name && charsets.every((text) => /^charset="?utf-?8"?$/.test(text))
}

/** A body of bytes as the route takes it; undefined where it is empty. */
function parseBody(request: FastifyRequest, bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined
  if (takesBody(request)) {
    const { name, parse } = typeOf(request.routeOptions.config)
    if (!isOfType(name, request.headers['content-type'])) fail('UNSUPPORTED_MEDIA_TYPE')
    return parse(bytes)
  }
  if (!/^[ \t\r\n]*\{[ \t\r\n]*\}[ \t\r\n]*$/.test(bytes.toString('latin1'))) fail('BAD_REQUEST')
  return undefined
}

async function demandBody({ body }: FastifyRequest): Promise<void> {
  if (body === undefined) fail('MALFORMED_BODY')
}

export default fp(
  async (app) => {
    // After the first answer, mostly to an orchestrator that asks whether it is ready; else the first person would wait.
    app.server.once('request', (_request, response) => response.once('close', () => setImmediate(warmUp)))
    // A body where none is taken is refused with GET and HEAD too.
    for (const method of ['GET', 'HEAD']) app.addHttpMethod(method, { hasBody: true, overrideExisting: true })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, bytes: Buffer) =>
      parseBody(request, bytes),
    )
    app.addHook('preParsing', (request, _reply, _payload, done) => {
      const { headers } = request
      // Where no body is taken or there is none, its type does not matter either, not even one that cannot be read.
      if (headers['content-type'] !== undefined && !(announcesBody(request) && takesBody(request)))
        delete headers['content-type']
      done()
    })
    app.addHook('onRoute', (route) => {
      if (route.schema?.body !== undefined && !route.config?.bodyOptional)
        route.preValidation = [...[route.preValidation ?? []].flat(), demandBody]
    })
  },
  { name: 'body' },
)
