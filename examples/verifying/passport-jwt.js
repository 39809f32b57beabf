// An Express app with a route that asks for an access token, by passport-jwt with the keys that jwks-rsa brings.
import express from 'express'
import { passportJwtSecret } from 'jwks-rsa'
import { Passport } from 'passport'
import { ExtractJwt, Strategy } from 'passport-jwt'
import { metadataOf } from './metadata.js'

export async function createApp({ issuer, audience, maxAge = 300 }) {
  const { jwks_uri, id_token_signing_alg_values_supported: algorithms } = await metadataOf(issuer)
  const keyOf = passportJwtSecret({
    jwksUri: jwks_uri,
    cacheMaxAge: maxAge * 1000,
    // While Latchkey is away, with the keys of last time, until they are an hour old.
    cacheMaxAgeFallback: (3600 - maxAge) * 1000,
    timeout: 5000,
  })
  const strategy = new Strategy(
    {
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      // By itself it answers 401 where keys cannot be had: no fault of the token's. `this` is the strategy of the request.
      secretOrKeyProvider(request, token, done) {
        keyOf(request, token, (error, key) => {
          if (error) this.error(Object.assign(error, { status: 503, headers: { 'retry-after': '1' } }))
          else done(null, key)
        })
      },
      issuer,
      audience,
      algorithms,
    },
    // It looks at no `exp` that is missing. The header with its `typ` does not come here.
    (claims, done) => done(null, typeof claims.exp === 'number' && claims),
  )
  // By name: then each request has a strategy of its own. One that is passed along is shared, and answers are mixed up.
  const passport = new Passport().use('access-token', strategy)
  const app = express()
  app.get('/', passport.authenticate('access-token', { session: false }), (request, response) =>
    response.json(request.user),
  )
  return app
}
