/** What the verifier throws. The codes are those of Latchkey's own answers. */

const STATUS = { UNAUTHENTICATED: 401, TOKEN_EXPIRED: 401, INVALID_TOKEN: 401, UNAVAILABLE: 503 } as const

const MESSAGES: Record<VerifierCode, string> = {
  UNAUTHENTICATED: 'This needs an access token.',
  TOKEN_EXPIRED: 'The access token has expired. Refresh it.',
  INVALID_TOKEN: 'The access token is not valid. Log in again.',
  UNAVAILABLE: 'The access token cannot be judged right now. Try again shortly.',
}

/**
 * UNAUTHENTICATED: no token. TOKEN_EXPIRED: all is right but `exp`, as far as can be told where its key is gone.
 * INVALID_TOKEN: all else that is wrong with a token, an ended session too. UNAVAILABLE: Latchkey could not be asked for its keys or ended sessions for too long.
 */
export type VerifierCode = keyof typeof STATUS

/** Has what Fastify's and Express's own error handlers look for: the status, and headers for the answer. */
export class VerifierError extends Error {
  override readonly name = 'VerifierError'
  readonly code: VerifierCode
  readonly statusCode: number
  /** RFC 6750, section 3: the challenge with a 401; RFC 9110, section 10.2.3: when to come again with a 503. */
  readonly headers: Record<string, string>

  constructor(code: VerifierCode, options?: ErrorOptions) {
    super(MESSAGES[code], options)
    this.code = code
    this.statusCode = STATUS[code]
    this.headers = headersOf(code)
  }
}

function headersOf(code: VerifierCode): Record<string, string> {
  if (code === 'UNAVAILABLE') return { 'retry-after': '1' }
  return { 'www-authenticate': code === 'UNAUTHENTICATED' ? 'Bearer' : 'Bearer error="invalid_token"' }
}
