// An Express app with a route that asks for an access token, by passport-jwt with the keys that jwks-rsa brings.
import express from 'express'
import { passportJwtSecret } from 'jwks-rsa'
import { Passport } from 'passport'
import { ExtractJwt, Strategy } from 'passport-jwt'
import { metadataOf } from './metadata.js'

export async function createApp({ issuer, audience, maxAge = 300 }) {
  const { jwks_uri, id_token_signing_alg_values_supported: algorithms } = await metadataOf(issuer)
  const strategy = new Strategy(
    {
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      secretOrKeyProvider: passportJwtSecret({ jwksUri: jwks_uri, cacheMaxAge: maxAge * 1000 }),
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
