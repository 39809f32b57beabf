/** The OpenAPI document as its readers want it: every noun once and by its name, an example for each error. */
import type { OpenAPIV3_1 } from 'openapi-types'
import { CODES, type Code, ERRORS, errorBody, Failure } from '../../schemas/errors.ts'

export type OpenApi = OpenAPIV3_1.Document
type Response = OpenAPIV3_1.ResponseObject
type RequestBody = OpenAPIV3_1.RequestBodyObject | undefined
type Json = Record<string, unknown>

/** One example for each code, as it is answered; under /oauth/ by this prefix. */
const OAUTH = 'OAUTH_'
const EXAMPLES: Record<string, Json> = Object.fromEntries(
  CODES.flatMap((code) => [
    [code, example(code, '/email', false)],
    [OAUTH + code, example(code, '/token', true)],
  ]),
)

function example(code: Code, field: string, oauth: boolean): Json {
  const details = code === 'VALIDATION_FAILED' ? { details: [{ field, rule: 'required' }] } : {}
  return { summary: ERRORS[code].advice, value: errorBody(new Failure(code, details), 'en', oauth) }
}

const SECONDS = { description: 'Seconds after which to try again', schema: { type: 'integer' as const } }
const CHALLENGE = { description: 'RFC 6750, section 3, or RFC 7617, section 2', schema: { type: 'string' as const } }
const HEADERS: Record<string, Response['headers']> = {
  401: { 'WWW-Authenticate': CHALLENGE },
  429: { 'Retry-After': SECONDS },
  503: { 'Retry-After': SECONDS },
}

/** What a reader wants to see first, in the order in which a person does it. The rest follows as it comes. */
const FIRST = [
  ...['register', 'login', 'me', 'refresh', 'password', 'sessions', 'sessions/{id}', 'logout'],
  ...['/auth/verify', 'delete'],
]
const place = (path: string) => FIRST.indexOf(path.replace('/user/', '')) + 1 || FIRST.length + 1

/** Finishes what @fastify/swagger has made of the routes: their schemas stand inline, over and over. */
export function finish({ paths = {}, components, ...rest }: OpenApi): OpenApi {
  const schemas: Record<string, Json> = {}
  const named = byName(paths, schemas) as Record<string, Record<string, OpenAPIV3_1.OperationObject>>
  const responses: Record<string, Response> = {}
  const examples: Record<string, Json> = {}
  for (const { requestBody, responses: own = {} } of Object.values(named).flatMap((operations) =>
    Object.values(operations),
  )) {
    markOptional(requestBody as RequestBody)
    for (const [status, response] of Object.entries(own)) {
      const codes = describe(status, response as Response)
      for (const code of codes) examples[code] = EXAMPLES[code]!
      const [only = ''] = codes
      if (codes.length !== 1) continue
      responses[only] = response as Response
      own[status] = { $ref: `#/components/responses/${only}` }
    }
  }
  const sorted = Object.fromEntries(Object.entries(named).sort(([a], [b]) => place(a) - place(b)))
  return { ...rest, paths: sorted, components: { ...components, schemas, responses, examples } } as OpenApi
}

/** What holds values, not schemas. */
const DATA = new Set(['default', 'enum', 'example', 'examples'])

/** A schema with a `title` goes among the components, and a reference takes its place. */
function byName(value: unknown, schemas: Record<string, Json>): unknown {
  if (Array.isArray(value)) return value.map((one) => byName(one, schemas))
  if (typeof value !== 'object' || value === null) return value
  const { title, ...members } = value as Json
  const walk = ([name, member]: [string, unknown]) => [name, DATA.has(name) ? member : byName(member, schemas)]
  const walked = Object.fromEntries(Object.entries(members).map(walk))
  if (typeof title !== 'string') return walked
  schemas[title] = walked
  return { $ref: `#/components/schemas/${title}` }
}

/** A body of which no member is required may be left out (plugins/body.ts). */
function markOptional(requestBody: RequestBody): void {
  const { schema } = requestBody?.content['application/json'] ?? {}
  if (requestBody && schema && !('required' in schema)) requestBody.required = false
}

/** Adds to an error what its status promises, and an example of each code. Gives their names; none where all went well. */
function describe(status: string, response: Response): string[] {
  const media = response.content?.['application/json']
  const schema = media?.schema as { allOf?: [{ $ref: string }, { properties: { code: { enum: Code[] } } }] } | undefined
  if (!media || !schema?.allOf) return []
  const [shape, { properties }] = schema.allOf
  const codes = properties.code.enum.map((code) => (shape.$ref.endsWith('/OAuthError') ? OAUTH + code : code))
  if (HEADERS[status]) response.headers = HEADERS[status]
  media.examples = Object.fromEntries(codes.map((code) => [code, { $ref: `#/components/examples/${code}` }]))
  return codes
}
