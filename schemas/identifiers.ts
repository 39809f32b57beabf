/**
 * The two names that a person logs in with: what is accepted as an e-mail address or a username, and the canonical
 * form by which two of them are the same. What is shown is the text as typed; what is compared is only the canonical.
 */
import { domainToASCII, domainToUnicode } from 'node:url'
import { Type } from '@sinclair/typebox'

/**
 * For an address as typed, in code points, because a login takes no longer name. The 254 of the canonical form (RFC
 * 5321, section 4.5.3.1.3, without the angle brackets) decides: every ASCII address that passes that is shorter than
 * this. Only a decomposed spelling of a very long international domain can be longer, and its composed one is taken.
 */
const EMAIL_MAX_TYPED = 320
const EMAIL_MAX = 254
const USERNAME_MAX_TYPED = 80
const USERNAME_MAX_BYTES = 320

// WHATWG HTML, "valid e-mail address", its pattern cut at the @.
const LOCAL_PART = /^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+$/
const DOMAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/

/**
 * What may reach `domainToASCII`, which is the URL host parser: it drops tabs and newlines, ends at `/`, decodes `%61`
 * and takes `。` for a dot, so that different texts would come out as one mailbox. Default-ignorable marks and letters
 * (variation selectors, Hangul fillers) are invisible; UTS 46 drops them, some only since revision 33.
 */
const TYPED_DOMAIN = /^(?:(?!\p{Default_Ignorable_Code_Point})[\p{L}\p{M}\p{Nd}.-])+$/u
const EMPTY_LABEL = /^\.|\.\.|\.$/
// The host parser takes 127.1 and 0x7f for IPv4 and answers in dotted decimal, which ends in such a label too.
const NUMERIC_LAST_LABEL = /(?:^|\.)\p{Nd}+$/u
const UNDECODED_LABEL = /(?:^|\.)xn--/

/** The last two are refused after the conversion too; the parser is not to see them, whatever it makes of them. */
function isTypedDomain(domain: string): boolean {
  return TYPED_DOMAIN.test(domain) && !EMPTY_LABEL.test(domain) && !NUMERIC_LAST_LABEL.test(domain)
}

/**
 * Whether each `xn--` label decodes to a name that could have been typed. The parser of Node 24 (ada 4.0; not 2.9) lets
 * a domain that is all ASCII through unread; what the way back to Unicode leaves as it is, is no such label.
 */
function isGenuine(ascii: string): boolean {
  const shown = domainToUnicode(ascii)
  return !UNDECODED_LABEL.test(shown) && !NUMERIC_LAST_LABEL.test(shown)
}

/** UTS 46 as the URL standard applies it, without transitional processing: ß and ς stay themselves. */
function canonicalDomain(typed: string): string | undefined {
  if (!isTypedDomain(typed)) return undefined
  // ẞ was ss until UTS 46 revision 31 and is ß since: Node 22 and 24 differ, and an account would change its owner.
  const ascii = domainToASCII(typed.replaceAll('ẞ', 'ß'))
  return DOMAIN.test(ascii) && isGenuine(ascii) ? ascii : undefined
}

/** At most `max` code points, as JSON Schema counts; a huge text is not taken apart to know. */
const atMost = (max: number, text: string): boolean => text.length <= 2 * max && [...text].length <= max

/** The form by which two addresses are the same mailbox, or undefined where the text is no address. */
export function canonicalEmail(text: string): string | undefined {
  if (!atMost(EMAIL_MAX_TYPED, text)) return undefined
  const at = text.lastIndexOf('@')
  const local = text.slice(0, Math.max(at, 0))
  if (!LOCAL_PART.test(local)) return undefined
  const domain = canonicalDomain(text.slice(at + 1))
  if (domain === undefined) return undefined
  const canonical = `${local.toLowerCase()}@${domain}`
  return canonical.length <= EMAIL_MAX ? canonical : undefined
}

/**
 * \p{C}: control, format (zero-width, bidirectional), surrogate, private use, and unassigned, for which no normal form
 * is promised (UAX 15, section 3). The four fillers are letters by category and blank on the screen. No `@`, so that
 * no username looks like an address.
 */
const REFUSED = /[\p{C}\p{Zl}\p{Zp}\u115F\u1160\u3164\uFFA0@]/u
const SPACE_OUT_OF_PLACE = /^\p{Zs}|\p{Zs}$|\p{Zs}{2}/u

const isClean = (text: string): boolean => !REFUSED.test(text) && !SPACE_OUT_OF_PLACE.test(text)

/** JavaScript has no case folding: what lower case leaves apart though one upper case is ΣΑΣ or STRASSE is joined here. */
function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase().replaceAll('ς', 'σ').replaceAll('ß', 'ss').normalize('NFKC')
}

/**
 * The form by which two usernames are the same, or undefined where the text is none. Judged as typed and as folded:
 * NFKC makes @ of ＠, and a space and a mark of ¨; it never makes nothing of something.
 */
export function canonicalUsername(text: string): string | undefined {
  if (text === '' || !atMost(USERNAME_MAX_TYPED, text) || !isClean(text)) return undefined
  const canonical = folded(text)
  return isClean(canonical) && Buffer.byteLength(canonical) <= USERNAME_MAX_BYTES ? canonical : undefined
}

/**
 * For an ajv of our own. The one that Fastify makes adds ajv-formats after its `customOptions.formats`, so that this
 * `email` would be replaced without a word.
 */
export const formats: Record<'email' | 'username', (text: string) => boolean> = {
  email: (text) => canonicalEmail(text) !== undefined,
  username: (text) => canonicalUsername(text) !== undefined,
}

export const Email = Type.String({
  format: 'email',
  maxLength: EMAIL_MAX_TYPED,
  description: 'An address in whatever case: ASCII before the @, the domain may be international',
  examples: ['ann@example.com'],
})

export const Username = Type.String({
  format: 'username',
  minLength: 1,
  maxLength: USERNAME_MAX_TYPED,
  description:
    'Any script, compared without case or width; no @, nothing invisible, no space at an end or two together',
  examples: ['ann'],
})
