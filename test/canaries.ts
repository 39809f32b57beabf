/**
 * Canaries: random texts that are told to the service, each for one field, and are looked for in all that it prints and
 * answers: whole or in part, as they stand or in another spelling.
 */
import { randomBytes } from 'node:crypto'

/** So many characters in a row are no chance, and they tell enough of a secret to be a leak. */
const PIECE = 12
/** Each canary begins with it, so that a shorter part of one is noticed too. */
const MARK = 'canary'

export function createCanaries() {
  /** Every piece of what is looked for, and the field that it was meant for. */
  const fieldOf = new Map<string, string>()

  /** Looks for a secret too that nobody made here: a token, a key. As bytes where it is no text. */
  function hide<T extends string | Buffer>(field: string, secret: T): T {
    for (const text of spellings(secret))
      for (let at = 0; at + PIECE <= text.length; at++) fieldOf.set(text.slice(at, at + PIECE), field)
    return secret
  }

  return {
    hide,
    make: (field: string) => hide(field, MARK + randomBytes(10).toString('hex')),
    /** The fields whose canaries stand in this text. */
    found(text: string): string[] {
      const plain = normal(text)
      const fields = new Set<string>()
      for (let at = 0; at + PIECE <= plain.length; at++) {
        const field = fieldOf.get(plain.slice(at, at + PIECE))
        if (field !== undefined) fields.add(field)
      }
      if (fields.size === 0 && plain.includes(MARK)) fields.add('a short part of one')
      return [...fields]
    },
  }
}

export type Canaries = ReturnType<typeof createCanaries>

/** Names are compared without case, and base64 has two alphabets. */
const normal = (text: string) => text.toLowerCase().replaceAll('+', '-').replaceAll('/', '_')

/** As it stands, in hexadecimal, in base64, and as JSON or Node.js itself writes a Buffer. */
function spellings(secret: string | Buffer): string[] {
  const bytes = Buffer.from(secret as string)
  const hex = bytes.toString('hex')
  const texts = [
    hex,
    hex.replace(/..(?=.)/g, '$& '),
    [...bytes].join(','),
    ...[0, 1, 2].map((at) => inBase64(bytes, at)),
  ]
  return [...(typeof secret === 'string' ? [secret] : []), ...texts].map(normal)
}

/** What base64 makes of bytes that stand `offset` bytes behind a border of three, without the characters at the ends, which depend on their neighbours. */
function inBase64(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64url')
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6))
}
