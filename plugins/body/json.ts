/** Strict JSON: what JSON.parse would take silently is refused. */
import { fail } from '../../schemas/errors.ts'

export const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Strict JSON (RFC 8259; I-JSON, RFC 7493, for members given twice). Throws MALFORMED_BODY. */
export function parseJson(bytes: Buffer): unknown {
  try {
    const text = utf8.decode(bytes)
    const value: unknown = JSON.parse(text)
    if (hasDuplicate(text)) fail('MALFORMED_BODY')
    return value
  } catch (cause) {
    return fail('MALFORMED_BODY', { cause })
  }
}

/** Whether an object of this well-formed JSON names a member twice. By hand and without recursion: JSON.parse takes the last one silently, and deep nesting must not overflow the stack. */
function hasDuplicate(text: string): boolean {
  const open: (Set<string> | undefined)[] = []
  for (const { 0: token } of text.matchAll(/[{}[\]]|"[^"\\]*(?:\\.[^"\\]*)*"\s*:?/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    else if (token === '}' || token === ']') open.pop()
    else if (token.endsWith(':')) {
      const names = open.at(-1)
      const name = JSON.parse(token.slice(0, -1))
      if (names?.has(name)) return true
      names?.add(name)
    }
  }
  return false
}
