/** Strict JSON (RFC 8259; I-JSON, RFC 7493, for members given twice): what JSON.parse would take silently is refused. */

export const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The value of these bytes. Throws where they are no UTF-8, no JSON, begin with a BOM or name a member twice. */
export function strictJson(bytes: Uint8Array): unknown {
  const text = utf8.decode(bytes)
  const value: unknown = JSON.parse(text)
  if (hasDuplicate(text)) throw new SyntaxError('A member is there twice.')
  return value
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
