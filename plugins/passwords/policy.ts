/** Which passwords nobody may choose: the commonly used ones, and the person's own names (ASVS 5.0, 6.2.4; NIST SP 800-63B-4). */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

/**
 * Some 49,000 passwords in lower case, printable ASCII without quotes or backslashes, as one JSON array; a test holds it
 * to that. It is read at the first use and kept as the text that it is: parsed into a Set it takes four times the memory
 * and holds up the event loop for 30 ms, while a search of the text takes a quarter of one.
 */
const LIST = createRequire(import.meta.url).resolve('@zxcvbn-ts/language-common/src/passwords.json')
let list: string | undefined

const inAnyCase = (text: string): string => text.normalize('NFC').toLowerCase()

/** Whether the password is too easy to guess. `own` is how the person is called: e-mail and username, in each of their forms. */
export async function isCommon(password: string, own: string[]): Promise<boolean> {
  const wanted = inAnyCase(password)
  if (own.some((name) => inAnyCase(name) === wanted)) return true
  list ??= await readFile(LIST, 'utf8')
  // In quotes, hence a whole entry; and quotes within the password are escaped, so it cannot span two of them.
  return list.includes(JSON.stringify(wanted))
}
