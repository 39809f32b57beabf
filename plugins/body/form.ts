/** Strict forms (RFC 6749, appendix B), which only the routes under /oauth/ take. */
import { fail } from '../../schemas/errors.ts'
import { utf8 } from '../../verifier/json.ts'

/** The members of a form; one without a value counts as left out (RFC 6749, section 3.2). Throws MALFORMED_BODY. */
export function parseForm(bytes: Buffer): Record<string, string> {
  try {
    const members = utf8.decode(bytes).split('&').filter(Boolean).map(parsePair)
    if (new Set(members.map(([name]) => name)).size < members.length) fail('MALFORMED_BODY')
    return Object.fromEntries(members.filter(([, value]) => value !== ''))
  } catch (cause) {
    return fail('MALFORMED_BODY', { cause })
  }
}

/** Throws where a percent sign stands alone, or for what is no UTF-8. */
function parsePair(pair: string): [name: string, value: string] {
  const [name = '', ...value] = pair.split('=')
  return [decode(name), decode(value.join('='))]
}

const decode = (text: string) => decodeURIComponent(text.replaceAll('+', ' '))
