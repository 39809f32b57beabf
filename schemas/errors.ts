/**
 * The table of errors: each code with its status and its message in English and Korean, the one shape in which every
 * layer answers, and `fail`, the only way to raise one.
 */
import { STATUS_CODES } from './http.ts'

export type Language = 'en' | 'ko'

interface Entry {
  status: number
  /** RFC 6750, section 3.1: the `error` of the challenge where a token was sent. */
  challenge?: 'invalid_token'
  en: string
  ko: string
  /** What a client does about it: for docs/errors.md and the OpenAPI document. */
  advice: string
}

const entry = (status: number, en: string, ko: string, advice: string): Entry => ({ status, en, ko, advice })
const badToken = (en: string, ko: string, advice: string): Entry => ({
  ...entry(401, en, ko, advice),
  challenge: 'invalid_token',
})

export const ERRORS = {
  MALFORMED_BODY: entry(
    400,
    'The body is not well-formed, or not in UTF-8.',
    '본문의 형식이 올바르지 않거나 UTF-8이 아닙니다.',
    'Mend the program: send JSON (a form under `/oauth/`) without a byte order mark and no member twice.',
  ),
  VALIDATION_FAILED: entry(
    400,
    'The request does not have the expected form.',
    '요청이 정해진 형식과 다릅니다.',
    'Show each of `details` at its `field`; all faults are told at once.',
  ),
  PASSWORD_TOO_COMMON: entry(
    400,
    'This password is easy to guess. Choose another one.',
    '추측하기 쉬운 비밀번호입니다. 다른 비밀번호를 선택하세요.',
    'Ask for another password: it is a commonly used one, or one of the own names.',
  ),
  BAD_REQUEST: entry(
    400,
    'The request cannot be read.',
    '요청을 읽을 수 없습니다.',
    'Mend the program: the address or the HTTP itself is broken, or a body was sent where none is taken.',
  ),
  UNAUTHENTICATED: entry(
    401,
    'This needs authentication.',
    '인증이 필요합니다.',
    'Send `Authorization: Bearer` and the access token; without one, log in. A service sends its id and secret.',
  ),
  TOKEN_EXPIRED: badToken(
    'The access token has expired. Refresh it.',
    '액세스 토큰이 만료되었습니다. 토큰을 갱신하세요.',
    'Ask `POST /user/refresh`, then repeat the request with the new access token.',
  ),
  INVALID_TOKEN: badToken(
    'The access token is not valid. Log in again.',
    '유효하지 않은 액세스 토큰입니다. 다시 로그인하세요.',
    'Forget both tokens and log in: the session has ended, or the token is none of ours.',
  ),
  INVALID_CREDENTIALS: entry(
    401,
    'The name or the password is wrong.',
    '아이디 또는 비밀번호가 올바르지 않습니다.',
    'Let the person try again; which of the two is wrong is not told. A service: see `SERVICE_CLIENTS`.',
  ),
  INVALID_REFRESH_TOKEN: badToken(
    'The refresh token is not valid. Log in again.',
    '유효하지 않은 리프레시 토큰입니다. 다시 로그인하세요.',
    'Forget both tokens and log in.',
  ),
  REFRESH_TOKEN_REUSED: badToken(
    'The refresh token was used before, so its session has been ended. Log in again.',
    '이미 사용된 리프레시 토큰이어서 세션을 종료했습니다. 다시 로그인하세요.',
    'Forget both tokens and log in; somebody else may have had the token.',
  ),
  FORBIDDEN: entry(
    403,
    'This is not allowed.',
    '허용되지 않은 요청입니다.',
    'Do not try again: the person lacks the role.',
  ),
  WRONG_PASSWORD: entry(
    403,
    'The present password is wrong.',
    '현재 비밀번호가 올바르지 않습니다.',
    'Let the person type the present password again; the session goes on.',
  ),
  REGISTRATION_CLOSED: entry(
    403,
    'Registration is closed.',
    '지금은 회원 가입을 받지 않습니다.',
    'Hide the registration form.',
  ),
  NOT_FOUND: entry(404, 'There is nothing at this address.', '이 주소에는 아무것도 없습니다.', 'Mend the address.'),
  SESSION_NOT_FOUND: entry(
    404,
    'There is no such session.',
    '해당 세션이 없습니다.',
    'Read the list of sessions anew; this one has ended.',
  ),
  METHOD_NOT_ALLOWED: entry(
    405,
    'This address does not take this method.',
    '이 주소에서 지원하지 않는 메서드입니다.',
    'Use one of the methods in `Allow`.',
  ),
  REQUEST_TIMEOUT: entry(
    408,
    'The request did not arrive in time.',
    '요청이 제시간에 도착하지 않았습니다.',
    'Send it again, all of it within 15 s.',
  ),
  EMAIL_TAKEN: entry(
    409,
    'This e-mail address is taken.',
    '이미 사용 중인 이메일 주소입니다.',
    'Offer to log in, or ask for another address.',
  ),
  USERNAME_TAKEN: entry(
    409,
    'This username is taken.',
    '이미 사용 중인 사용자 이름입니다.',
    'Ask for another username.',
  ),
  BODY_TOO_LARGE: entry(413, 'The body is too large.', '본문이 너무 큽니다.', 'Send at most 32 KiB.'),
  UNSUPPORTED_MEDIA_TYPE: entry(
    415,
    'The body is not of the media type that this address takes, in UTF-8.',
    '본문의 미디어 타입이 이 주소에서 받는 UTF-8 형식이 아닙니다.',
    'Send `Content-Type: application/json`; under `/oauth/` `application/x-www-form-urlencoded`.',
  ),
  EXPECTATION_FAILED: entry(
    417,
    'This expectation cannot be met.',
    'Expect 헤더의 요구를 처리할 수 없습니다.',
    'Leave the `Expect` header out; only `100-continue` is understood.',
  ),
  RATE_LIMITED: entry(
    429,
    'There were too many attempts. Try again later.',
    '시도가 너무 많습니다. 잠시 후 다시 시도하세요.',
    'Wait for the seconds of `Retry-After`, and say so to the person.',
  ),
  HEADERS_TOO_LARGE: entry(
    431,
    'The head of the request is too large.',
    '요청 헤더가 너무 큽니다.',
    'Send fewer or shorter headers: at most 16 KiB with the address.',
  ),
  INTERNAL: entry(
    500,
    'Something went wrong here.',
    '서버에 문제가 발생했습니다.',
    'Report it with the `x-request-id`: that is a fault of Latchkey, and its log has the cause.',
  ),
  OVERLOADED: entry(
    503,
    'Too many people are logging in right now. Try again shortly.',
    '지금은 로그인 요청이 너무 많습니다. 잠시 후 다시 시도하세요.',
    'Try again after the seconds of `Retry-After`; nothing was changed.',
  ),
  UNAVAILABLE: entry(
    503,
    'The service is not available right now. Try again shortly.',
    '지금은 서비스를 사용할 수 없습니다. 잠시 후 다시 시도하세요.',
    'Try again after the seconds of `Retry-After`: the request may have been done or not. The tokens are still good.',
  ),
} as const satisfies Record<string, Entry>

export type Code = keyof typeof ERRORS
export const CODES = Object.keys(ERRORS) as Code[]

/** What a rule of validation says; the rules are ajv's keywords, and `characters` for lone surrogates and NUL. */
const RULES: Record<string, Record<Language, string>> = {
  required: { en: 'This member is missing.', ko: '필수 항목이 없습니다.' },
  additionalProperties: { en: 'This member is not known.', ko: '알 수 없는 항목입니다.' },
  type: { en: 'This has the wrong type.', ko: '자료형이 올바르지 않습니다.' },
  minLength: { en: 'This is too short.', ko: '너무 짧습니다.' },
  maxLength: { en: 'This is too long.', ko: '너무 깁니다.' },
  format: { en: 'This does not have the expected form.', ko: '형식이 올바르지 않습니다.' },
  enum: { en: 'This is not one of the allowed values.', ko: '허용된 값이 아닙니다.' },
  oneOf: { en: 'Give exactly one of the alternatives.', ko: '둘 중 하나만 보내야 합니다.' },
  characters: {
    en: 'This holds a NUL or half of a surrogate pair.',
    ko: 'NUL 문자 또는 짝이 없는 서로게이트가 들어 있습니다.',
  },
}

/** One fault of a request. `field` is a JSON Pointer, or `?name` for a member of the query. */
export interface Fault {
  field: string
  rule: string
}

interface Particulars {
  details?: Fault[]
  /** Seconds after which a try may succeed, for 429 and 503; 1 where nothing is known. */
  retryAfter?: number
  /** The methods that the address takes, for 405. */
  allow?: string
  cause?: unknown
}

/** An error with a place in the table. Raised by `fail`, turned into an answer by plugins/errors.ts. */
export class Failure extends Error {
  readonly code: Code
  readonly statusCode: number
  readonly particulars: Particulars

  constructor(code: Code, particulars: Particulars = {}) {
    // Where it was raised says nothing that its code does not: a stack would be the dearest part of a refusal.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(ERRORS[code].en, { cause: particulars.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.code = code
    this.statusCode = ERRORS[code].status
    this.particulars = particulars
  }
}

/** Raises the error of this code. */
export function fail(code: Code, particulars: Particulars = {}): never {
  throw new Failure(code, particulars)
}

/** RFC 6749, section 5.2, and 4.1.2.1 for those of the server: what OAuth calls an error of this status. */
export const OAUTH_ERRORS: Record<number, string> = {
  401: 'invalid_client',
  500: 'server_error',
  503: 'temporarily_unavailable',
}

/** How an error is called: under /oauth/ as OAuth has it, whose description takes ASCII alone, so it is in English. */
function nameOf(code: Code, oauth: boolean) {
  const { status, en } = ERRORS[code]
  if (!oauth) return { error: STATUS_CODES[status] }
  return { error: OAUTH_ERRORS[status] ?? 'invalid_request', error_description: en }
}

export const isOauth = (url: string) => url.startsWith('/oauth/')

/** The body of an error answer; another one under /oauth/. */
export function errorBody({ code, statusCode, particulars }: Failure, language: Language, oauth = false) {
  const body = { statusCode, code, ...nameOf(code, oauth), message: ERRORS[code][language] }
  if (!particulars.details) return body
  const details = particulars.details.map((fault) => ({
    ...fault,
    message: (RULES[fault.rule] ?? RULES.format!)[language],
  }))
  return { ...body, details }
}
