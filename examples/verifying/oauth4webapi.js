// Access tokens checked by oauth4webapi, by all rules of RFC 9068. Gives a function that takes a token and gives its
// claims, or throws.
import * as oauth from 'oauth4webapi'
import { createFetch } from './fetch.js'

export async function createCheck({ issuer, audience, maxAge = 300 }) {
  const url = new URL(issuer)
  const options = {
    // Only to try it without TLS.
    [oauth.allowInsecureRequests]: url.protocol === 'http:',
    // While Latchkey is away, with the keys of last time.
    [oauth.customFetch]: createFetch(),
  }
  const discover = async () =>
    oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { ...options, algorithm: 'oauth2' }))

  // It keeps the keys with this object, for 300 s; for less, take a new one.
  let server = await discover()
  let until = Date.now() + maxAge * 1000
  return async (token) => {
    if (Date.now() >= until) {
      server = await discover()
      until = Date.now() + maxAge * 1000
    }
    const request = new Request(url, { headers: { authorization: `Bearer ${token}` } })
    return oauth.validateJwtAccessToken(server, request, audience, options)
  }
}
