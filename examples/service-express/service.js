// A service that trusts Latchkey's access tokens, in Express 5: `node service.js`, where express and latchkey are
// installed. Everything that differs from place to place is in the environment.
import express from 'express'
import { createVerifier } from 'latchkey/verifier'

const { ISSUER = 'http://localhost:3000', AUDIENCE = 'latchkey', LATCHKEY_URL = ISSUER } = process.env
const { SERVICE_ID, SERVICE_SECRET, POLL_SECONDS = '2', PORT = '4000' } = process.env

const verifier = createVerifier({
  issuer: ISSUER,
  audience: AUDIENCE,
  // Where Latchkey is reached from here, past the gateway.
  url: LATCHKEY_URL,
  // One of Latchkey's SERVICE_CLIENTS, who may read which sessions have ended.
  sessions: { clientId: SERVICE_ID, clientSecret: SERVICE_SECRET },
  pollSeconds: Number(POLL_SECONDS),
  onError: (error) => console.warn(error.message),
})

const app = express()

app.get('/health', (_request, response) => response.json({ status: 'ok' }))

// Every route from here on asks for a token; its claims are `request.claims`. Express 5 hands on what a promise throws.
app.use(async (request, _response, next) => {
  request.claims = await verifier.verifyHeader(request.headers.authorization)
  next()
})

app.get('/orders', ({ claims }, response) => response.json({ of: claims.sub, orders: [] }))
app.get('/admin/orders', needsRole('admin'), (_request, response) => response.json({ orders: [] }))

/** After the token was judged. */
function needsRole(role) {
  return ({ claims }, _response, next) => {
    if (claims.roles.includes(role)) return next()
    throw Object.assign(new Error(`This needs the role ${role}.`), { statusCode: 403, code: 'FORBIDDEN' })
  }
}

// The verifier's errors know their status and the headers that belong to it.
app.use((error, _request, response, next) => {
  const { statusCode, code, message, headers } = error
  if (!code) return next(error)
  return response
    .status(statusCode)
    .set(headers ?? {})
    .json({ statusCode, code, message })
})

const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`Orders listen at http://127.0.0.1:${server.address().port}`)
})
