/**
 * What makes functions of schemas, each at its first use: a start compiles none, and ajv and fast-json-stringify are
 * loaded after the first answer. No lone surrogate, no NUL, nothing coerced, nothing stripped; every fault is told.
 */
import { createRequire } from 'node:module'
import type { ErrorObject } from 'ajv'
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify'
import { Failure, type Fault } from '../../schemas/errors.ts'
import { formats } from '../../schemas/identifiers.ts'

const require = createRequire(import.meta.url)

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

const loadAjv = () => require('ajv') as typeof import('ajv')
const loadSerializers = () => require('fast-json-stringify') as typeof import('fast-json-stringify')

/** Loads what compiles, which takes most of the time of the first use. */
export function warmUp(): void {
  loadAjv()
  loadSerializers()
}

function createAjv() {
  const { Ajv } = loadAjv()
  return new Ajv({
    allErrors: true,
    coerceTypes: false,
    useDefaults: false,
    removeAdditional: false,
    strict: true,
    strictRequired: false,
    formats,
  })
}

/** Makes the value when it is first asked for. */
function lazy<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

function buildValidator(): FastifySchemaCompiler<object> {
  const ajv = lazy(createAjv)
  return ({ schema, httpPart }) => {
    const validator = lazy(() => ajv().compile(schema))
    return (value: unknown) => {
      const validate = validator()
      const characters = httpPart === 'body' ? characterFaults(value) : []
      const faults = validate(value) ? [] : faultsOf(validate.errors!, httpPart)
      const details = [...characters, ...faults]
      return details.length === 0 ? { value } : { error: new Failure('VALIDATION_FAILED', { details }) }
    }
  }
}

function buildSerializer(): FastifySerializerCompiler<object> {
  return ({ schema }) => {
    const serializer = lazy(() => loadSerializers()(schema))
    return (value: unknown) => serializer()(value)
  }
}

/** Fastify's option `schemaController.compilersFactory`: given there, its own two are not loaded either. */
export const compilers = {
  // Its type is that of Fastify's own ajv alone.
  buildValidator: buildValidator as never,
  buildSerializer,
}
