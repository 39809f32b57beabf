// A service that trusts Latchkey's access tokens, in Fastify: `node examples/service-fastify/service.js`. Everything that
// differs from place to place is in the environment.
import Fastify from 'fastify'
import latchkey from 'latchkey/verifier/fastify'

const { ISSUER = 'http://localhost:3000', AUDIENCE = 'latchkey', LATCHKEY_URL = ISSUER } = process.env
const { SERVICE_ID, SERVICE_SECRET, POLL_SECONDS = '2', PORT = '4000' } = process.env

const app = Fastify({ logger: { level: 'warn' } })

app.get('/health', async () => ({ status: 'ok' }))

app.register(async (orders) => {
  // Every route of this scope asks for a token; its claims are `request.claims`.
  orders.register(latchkey, {
    issuer: ISSUER,
    audience: AUDIENCE,
    // Where Latchkey is reached from here, past the gateway.
    url: LATCHKEY_URL,
    // One of Latchkey's SERVICE_CLIENTS, who may read which sessions have ended.
    sessions: { clientId: SERVICE_ID, clientSecret: SERVICE_SECRET },
    pollSeconds: Number(POLL_SECONDS),
  })

  orders.get('/orders', async ({ claims }) => ({ of: claims.sub, orders: [] }))
  orders.get('/admin/orders', { onRequest: needsRole('admin') }, async () => ({ orders: [] }))
})

/** After the token was judged: the hooks of a route run after those of its scope. */
function needsRole(role) {
  return async ({ claims }) => {
    if (claims.roles.includes(role)) return
    throw Object.assign(new Error(`This needs the role ${role}.`), { statusCode: 403, code: 'FORBIDDEN' })
  }
}

console.log(`Orders listen at ${await app.listen({ port: Number(PORT) })}`)
