// Access tokens checked by jsonwebtoken, with the keys that jwks-rsa brings. Gives a function that takes a token and
// gives its claims, or throws.
import { promisify } from 'node:util'
import jwt from 'jsonwebtoken'
import jwksClient from 'jwks-rsa'
import { metadataOf } from './metadata.js'

export async function createCheck({ issuer, audience, maxAge = 300 }) {
  const { jwks_uri, id_token_signing_alg_values_supported: algorithms } = await metadataOf(issuer)
  const keys = jwksClient({
    jwksUri: jwks_uri,
    cacheMaxAge: maxAge * 1000,
    // While Latchkey is away, with the keys of last time, until they are an hour old.
    cacheMaxAgeFallback: (3600 - maxAge) * 1000,
    timeout: 5000,
  })
  const keyOf = ({ kid }, done) => keys.getSigningKey(kid, (error, key) => done(error, key?.getPublicKey()))
  const options = { issuer, audience, algorithms, complete: true }
  return async (token) => {
    const { header, payload } = await promisify(jwt.verify)(token, keyOf, options)
    // It looks at neither by itself.
    if (header.typ !== 'at+jwt' || typeof payload.exp !== 'number') throw new Error('no access token')
    return payload
  }
}
