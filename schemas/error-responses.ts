/** The errors of a route as its response schemas: what the OpenAPI document names on every route. */
import { type TSchema, Type } from '@sinclair/typebox'
import { CODES, type Code, ERRORS, OAUTH_ERRORS } from './errors.ts'
import { STATUS_CODES } from './http.ts'

const Details = Type.Array(
  Type.Object({
    field: Type.String({ description: 'JSON Pointer to the member, or `?name` for one of the query' }),
    rule: Type.String({ description: 'What it breaks, such as `required`, `format`, `minLength`' }),
    message: Type.String({ description: 'For people, in the language of Accept-Language' }),
  }),
  { description: 'With VALIDATION_FAILED: every fault' },
)

/** The one shape of all errors. */
const ErrorBody = Type.Object(
  {
    statusCode: Type.Integer(),
    code: Type.String({ description: 'What to program against: it never changes' }),
    error: Type.String({ description: 'The name of the status' }),
    message: Type.String({ description: 'For people, in the language of Accept-Language' }),
    details: Type.Optional(Details),
  },
  { title: 'Error', description: 'What went wrong, in the one shape of all errors' },
)

/** The same under /oauth/, where the standards name two of its members. */
const OAuthErrorBody = Type.Object(
  {
    ...ErrorBody.properties,
    error: Type.Unsafe<string>({
      type: 'string',
      enum: ['invalid_request', ...Object.values(OAUTH_ERRORS)],
      description: 'What OAuth calls it (RFC 6749, section 5.2)',
    }),
    error_description: Type.String({ description: 'The message in English, as RFC 6749 wants ASCII' }),
  },
  { title: 'OAuthError', description: 'What went wrong, in the shape of all errors and of RFC 6749' },
)

/** Any request can end in one of these. */
const ALWAYS: Code[] = [
  'BAD_REQUEST',
  'REQUEST_TIMEOUT',
  'BODY_TOO_LARGE',
  'EXPECTATION_FAILED',
  'HEADERS_TOO_LARGE',
  'INTERNAL',
  'UNAVAILABLE',
]

/** What a route adds that takes a body, one that asks for a token, and one that asks for a service's secret. */
const GROUPS = {
  body: ['MALFORMED_BODY', 'VALIDATION_FAILED', 'UNSUPPORTED_MEDIA_TYPE'],
  token: ['UNAUTHENTICATED', 'TOKEN_EXPIRED', 'INVALID_TOKEN'],
  client: ['UNAUTHENTICATED', 'INVALID_CREDENTIALS'],
} satisfies Record<string, Code[]>

type Group = keyof typeof GROUPS

/** The `response` schemas of a route's errors, one a status, each with its codes. What any request can meet comes by itself. */
export const errors = (...names: (Code | Group)[]) => responses(ErrorBody, names)

/** The same of a route under /oauth/. */
export const oauthErrors = (...names: (Code | Group)[]) => responses(OAuthErrorBody, names)

function responses(shape: TSchema, names: (Code | Group)[]): Record<number, TSchema> {
  const wanted = new Set([...ALWAYS, ...names.flatMap((name): Code[] => GROUPS[name as Group] ?? [name as Code])])
  const codes = CODES.filter((code) => wanted.has(code))
  const statuses = new Set(codes.map((code) => ERRORS[code].status))
  return Object.fromEntries(
    [...statuses].map((status) => [
      status,
      errorSchema(
        shape,
        status,
        codes.filter((code) => ERRORS[code].status === status),
      ),
    ]),
  )
}

function errorSchema(shape: TSchema, status: number, codes: Code[]): TSchema {
  return Type.Unsafe({
    description: `${STATUS_CODES[status]}: ${codes.join(', ')}`,
    allOf: [shape, { properties: { code: { enum: codes } } }],
  })
}
