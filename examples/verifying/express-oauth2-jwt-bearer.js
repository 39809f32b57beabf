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
  return app
}
