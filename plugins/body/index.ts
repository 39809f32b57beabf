/**
 * Strict bodies. JSON alone, or a form where a route says so, in valid UTF-8, no member twice, no lone surrogate, no
 * NUL, nothing coerced, nothing stripped; and none at all where none is taken. What a schema finds wrong is told with
 * every fault.
 */

import { Ajv, type ErrorObject } from 'ajv'
import type { FastifyContextConfig, FastifyRequest, FastifySchemaCompiler } from 'fastify'
import fp from 'fastify-plugin'
import { Failure, type Fault, fail } from '../../schemas/errors.ts'
import { formats } from '../../schemas/identifiers.ts'
import { announcesBody } from '../headers.ts'
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

/** A pointer into a deep nest would be as long as the nest; no schema goes deeper than this, and no answer grows by it. */
const LONGEST_POINTER = 100

/** Every string of a body that holds a NUL or half of a surrogate pair: bcrypt and UTF-8 would take different ones for the same. */
function characterFaults(body: unknown): Fault[] {
  const fields = new Set<string>()
  const waiting: [field: string, value: unknown][] = [['', body]]
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [field, value] = next
    if (typeof value === 'string' && isBroken(value)) fields.add(field || '/')
    if (typeof value !== 'object' || value === null) continue
    for (const [name, member] of Object.entries(value)) {
      const deeper = pointer(field, name)
      const shown = field !== '' && deeper.length > LONGEST_POINTER ? field : deeper
      if (isBroken(name)) fields.add(shown)
      waiting.push([shown, member])
    }
  }
  return [...fields].map((field) => ({ field, rule: 'characters' }))
}

const isBroken = (text: string) => /\0|\p{Cs}/u.test(text)

/** RFC 6901 */
const pointer = (parent: string, name: string) => `${parent}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`

/** Where ajv's fault lies, in the words of docs/errors.md. */
function faultOf({ instancePath, keyword, params }: ErrorObject, part: string | undefined): Fault {
  const name = params.missingProperty ?? params.additionalProperty
  const field = name === undefined ? instancePath : pointer(instancePath, name)
  return { field: part === 'querystring' ? `?${field.slice(1)}` : field || '/', rule: keyword }
}

/** The branches of a oneOf complain each for itself; that none or several fit is what there is to tell. */
function faultsOf(errors: ErrorObject[], part: string | undefined): Fault[] {
  return errors.filter(({ schemaPath }) => !schemaPath.includes('/oneOf/')).map((error) => faultOf(error, part))
}

/** Compiles schemas without coercion, defaults and stripping, and so that all faults are found. */
function createCompiler(): FastifySchemaCompiler<object> {
  const ajv = new Ajv({
    allErrors: true,
    coerceTypes: false,
    useDefaults: false,
    removeAdditional: false,
    strict: true,
    strictRequired: false,
    formats,
  })
  return ({ schema, httpPart }) => {
    const validate = ajv.compile(schema)
    return (value: unknown) => {
      const characters = httpPart === 'body' ? characterFaults(value) : []
      const faults = validate(value) ? [] : faultsOf(validate.errors!, httpPart)
      const details = [...characters, ...faults]
      return details.length === 0 ? { value } : { error: new Failure('VALIDATION_FAILED', { details }) }
    }
  }
}

async function demandBody({ body }: FastifyRequest): Promise<void> {
  if (body === undefined) fail('MALFORMED_BODY')
}

export default fp(
  async (app) => {
    app.setValidatorCompiler(createCompiler())
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
