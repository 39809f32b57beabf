// An Express app whose every route asks for an access token, by express-oauth2-jwt-bearer.
import express from 'express'
import { auth } from 'express-oauth2-jwt-bearer'

export async function createApp({ issuer, audience, maxAge = 300 }) {
  const app = express()
  app.use(
    auth({
      issuerBaseURL: issuer,
      audience,
      // The rules of RFC 9068, `typ` among them.
      strict: true,
      cacheMaxAge: maxAge * 1000,
      cooldownDuration: Math.min(maxAge, 30) * 1000,
    }),
  )
  app.get('/', (request, response) => response.json(request.auth.payload))
  app.use((error, _request, response, next) => {
    // By itself it says that the token is invalid, where the issuer cannot be asked any more.
    if (error.message !== 'Failed to fetch authorization server metadata') return next(error)
    response.status(503).set('retry-after', '1').json({ error: 'Service Unavailable' })
  })
  return app
}
