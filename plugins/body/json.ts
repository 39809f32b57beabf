/** Strict JSON for bodies, by the same reader as for tokens. */
import { fail } from '../../schemas/errors.ts'
import { strictJson } from '../../verifier/json.ts'

/** The value of a body. Throws MALFORMED_BODY. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return strictJson(bytes)
  } catch (cause) {
    return fail('MALFORMED_BODY', { cause })
  }
}
