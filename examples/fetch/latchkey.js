// A client of Latchkey for browsers and Node.js: it keeps the two tokens, refreshes once for all calls that met an
// expired access token, and repeats each of them once. Copy it and make it yours: docs/clients.md says why it is so.

/** An answer that is no success. `code` is what to program against; a gateway's own answers have none. */
export class LatchkeyError extends Error {
  constructor({ status, headers }, { code, message = `HTTP ${status}`, details } = {}) {
    super(message)
    Object.assign(this, { status, code, details, retryAfter: Number(headers.get('Retry-After')) || undefined })
  }
}

/** A store that all tabs share, and that every script of the page can read. */
export const inLocalStorage = (name = 'latchkey') => ({
  get tokens() {
    return JSON.parse(localStorage.getItem(name))
  },
  set tokens(next) {
    localStorage.setItem(name, JSON.stringify(next))
  },
})

export class Latchkey {
  #origin
  #store
  #refreshing

  /** By default the tokens are in memory: gone with the page. */
  constructor(origin, store = { tokens: null }) {
    this.#origin = origin
    this.#store = store
  }

  register = (person) => this.#enter(this.#send('POST', '/user/register', person))
  login = (credentials) => this.#enter(this.#send('POST', '/user/login', credentials))
  changePassword = (passwords) => this.#enter(this.call('PUT', '/user/password', passwords))

  /** By the refresh token, which ends the session also when the access token has expired. */
  async logout() {
    const { tokens } = this.#store
    this.#store.tokens = null
    if (tokens) await this.#send('POST', '/user/logout', { refresh_token: tokens.refresh_token })
  }

  /** Asks as the person who is logged in: `call('GET', '/user/me')`. */
  async call(method, path, body) {
    const { tokens } = this.#store
    try {
      return await this.#send(method, path, body, tokens)
    } catch (error) {
      if (error.code === 'INVALID_TOKEN') this.#replace(tokens, null)
      if (error.code !== 'TOKEN_EXPIRED') throw error
    }
    await this.#refresh(tokens)
    return this.#send(method, path, body, this.#store.tokens)
  }

  /** One refresh for all calls that met the expiry. */
  #refresh(expired) {
    this.#refreshing ??= this.#renew(expired).finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #renew(expired) {
    // Another call or another tab was faster.
    if (!isSame(this.#store.tokens, expired)) return
    const { refresh_token } = expired
    try {
      this.#replace(expired, await patiently(() => this.#send('POST', '/user/refresh', { refresh_token })))
    } catch (error) {
      if (error.status === 401) this.#replace(expired, null)
      throw error
    }
  }

  /** Leaves alone what a login, a logout or another tab has written meanwhile. */
  #replace(tokens, next) {
    if (isSame(this.#store.tokens, tokens)) this.#store.tokens = next
  }

  async #enter(answer) {
    const tokens = await answer
    this.#store.tokens = tokens
    return tokens
  }

  async #send(method, path, body, tokens) {
    const headers = {}
    if (body) headers['Content-Type'] = 'application/json'
    if (tokens) headers.Authorization = `Bearer ${tokens.access_token}`
    const request = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(8000) }
    const response = await fetch(this.#origin + path, request)
    const isJson = response.headers.get('Content-Type')?.startsWith('application/json')
    const answer = isJson ? await response.json() : undefined
    if (!response.ok) throw new LatchkeyError(response, answer)
    return answer
  }
}

const isSame = (some, others) => some?.access_token === others?.access_token

/** A refresh whose answer was lost is asked again: within REFRESH_GRACE the same token gives the same next one. */
async function patiently(ask, tries = 3) {
  try {
    return await ask()
  } catch (error) {
    // No status: no answer came. From 500 on a gateway may have lost it.
    if (error.status < 500 || tries === 1) throw error
    // However long it says: three tries of 8 s and two pauses have to fit into the grace.
    const seconds = Math.min(error.retryAfter || 1, 2)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    return patiently(ask, tries - 1)
  }
}
