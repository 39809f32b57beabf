// Access tokens checked by jose. Gives a function that takes a token and gives its claims, or throws.
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose'
import { createFetch } from './fetch.js'
import { metadataOf } from './metadata.js'

export async function createCheck({ issuer, audience, maxAge = 300 }) {
  const { jwks_uri, id_token_signing_alg_values_supported: algorithms } = await metadataOf(issuer)
  const keys = createRemoteJWKSet(new URL(jwks_uri), {
    cacheMaxAge: maxAge * 1000,
    cooldownDuration: Math.min(maxAge, 30) * 1000,
    // While Latchkey is away, with the keys of last time.
    [customFetch]: createFetch(),
  })
  const options = { issuer, audience, algorithms, typ: 'at+jwt', requiredClaims: ['exp', 'sub', 'sid'] }
  return async (token) => (await jwtVerify(token, keys, options)).payload
}
