/**
 * `latchkey/verifier/fastify`: every route of the scope in which it is registered asks for an access token, whose claims
 * are `request.claims`. Takes the options of `createVerifier`.
 */
import fp from 'fastify-plugin'
import { type AccessClaims, createVerifier, type Verifier, type VerifierOptions } from './index.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Of `latchkey/verifier/fastify`: `ready()` is for a readiness probe. */
    verifier: Verifier
  }
  interface FastifyRequest {
    /** The claims of the access token; on the routes of a scope with `latchkey/verifier/fastify`. */
    claims: AccessClaims
  }
}

export default fp<VerifierOptions>(
  async (app, options) => {
    const verifier = createVerifier({
      onError: (err) => app.log.warn({ err }, 'Latchkey could not be asked'),
      ...options,
    })
    app.decorate('verifier', verifier)
    app.decorateRequest('claims', null as never)
    app.addHook('onRequest', async (request) => {
      request.claims = await verifier.verifyHeader(request.headers.authorization)
    })
    app.addHook('onClose', async () => verifier.close())
  },
  { name: 'latchkey-verifier', fastify: '5.x' },
)
