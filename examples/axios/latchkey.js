// Latchkey for axios: an instance whose interceptors send the access token, refresh once for all requests that met an
// expired one, and repeat each of them once. Copy it and make it yours: docs/clients.md says why it is so.
import axios from 'axios'

/** `http` is used like axios itself, as the person who is logged in. The tokens are kept in memory. */
export function connect(baseURL) {
  // Without the interceptors, for what is asked without an access token.
  const bare = axios.create({ baseURL, timeout: 8000 })
  const http = axios.create({ baseURL, timeout: 8000 })
  let tokens = null
  let refreshing

  http.interceptors.request.use((config) => {
    config.tokens = tokens
    if (tokens) config.headers.Authorization = `Bearer ${tokens.access_token}`
    else delete config.headers.Authorization
    return config
  })

  http.interceptors.response.use(undefined, async (error) => {
    const { config, response } = error
    const code = response?.data?.code
    if (code === 'INVALID_TOKEN' && config.tokens === tokens) tokens = null
    if (code !== 'TOKEN_EXPIRED' || config.repeated) throw error
    await refresh(config.tokens)
    return http.request({ ...config, repeated: true })
  })

  /** One refresh for all requests that met the expiry; none where one of them was faster. */
  async function refresh(expired) {
    if (tokens !== expired) return
    refreshing ??= renew(expired).finally(() => {
      refreshing = undefined
    })
    await refreshing
  }

  async function renew(expired) {
    let next = null
    try {
      next = await patiently(() => bare.post('/user/refresh', { refresh_token: expired.refresh_token }))
    } catch (error) {
      if (error.response?.status !== 401) throw error
    }
    // Not where somebody has logged out or in meanwhile.
    if (tokens === expired) tokens = next?.data ?? null
  }

  async function enter(answer) {
    tokens = (await answer).data
    return tokens
  }

  return {
    http,
    register: (person) => enter(bare.post('/user/register', person)),
    login: (credentials) => enter(bare.post('/user/login', credentials)),
    changePassword: (passwords) => enter(http.put('/user/password', passwords)),
    /** By the refresh token, which ends the session also when the access token has expired. */
    async logout() {
      const { refresh_token } = tokens ?? {}
      tokens = null
      if (refresh_token) await bare.post('/user/logout', { refresh_token })
    },
  }
}

/** A refresh whose answer was lost is asked again: within REFRESH_GRACE the same token gives the same next one. */
async function patiently(ask, tries = 3) {
  try {
    return await ask()
  } catch (error) {
    // No status: no answer came. From 500 on a gateway may have lost it.
    if (error.response?.status < 500 || tries === 1) throw error
    // However long it says: three tries of 8 s and two pauses have to fit into the grace.
    const seconds = Math.min(Number(error.response?.headers['retry-after']) || 1, 2)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    return patiently(ask, tries - 1)
  }
}
