/** How Latchkey is asked: JSON by GET, within a time, without following anybody elsewhere. */

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface Asker {
  fetch: Fetch
  timeoutMs: number
  /** Aborted when the verifier is closed: ends what is on its way. */
  closing: AbortSignal
}

interface Content {
  body: unknown
  headers: Headers
}

/** The JSON and the headers of a 200. Throws, with the address in the message, where there is none within the time. */
export async function askJson(asker: Asker, url: string, headers: Record<string, string> = {}): Promise<Content> {
  try {
    return await ask(asker, url, headers)
  } catch (cause) {
    throw new Error(`GET ${url} failed: ${(cause as Error).message}`, { cause })
  }
}

async function ask(
  { fetch, timeoutMs, closing }: Asker,
  url: string,
  headers: Record<string, string>,
): Promise<Content> {
  // By hand: AbortSignal.any() with a signal that lives long leaks in some lines of Node.js.
  const ending = new AbortController()
  const close = () => ending.abort(new Error('the verifier was closed'))
  const timer = setTimeout(() => ending.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  closing.addEventListener('abort', close)
  try {
    // What is answered elsewhere is not Latchkey's word, and the credentials are for Latchkey alone.
    const init: RequestInit = { headers: { accept: 'application/json', ...headers }, redirect: 'error' }
    return await contentOf(await fetch(url, { ...init, signal: ending.signal }))
  } finally {
    clearTimeout(timer)
    closing.removeEventListener('abort', close)
  }
}

async function contentOf(response: Response): Promise<Content> {
  if (response.status === 200) return { body: await response.json(), headers: response.headers }
  await response.body?.cancel()
  throw new Error(`the answer was ${response.status}`)
}
