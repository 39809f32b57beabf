// A Fastify app whose every route asks for an access token, by @fastify/jwt with the keys that get-jwks brings.
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import buildGetJwks from 'get-jwks'
import { metadataOf } from './metadata.js'

export async function createApp({ issuer, audience, maxAge = 300 }) {
  const { id_token_signing_alg_values_supported: algorithms } = await metadataOf(issuer)
  const keys = buildGetJwks({ providerDiscovery: true, ttl: maxAge * 1000 })
  const app = Fastify()
  app.register(fastifyJwt, {
    decode: { complete: true },
    // From the configured issuer, never from the one that a token names.
    secret: (_request, { header }) =>
      keys.getPublicKey({ domain: issuer, kid: header.kid, alg: header.alg }).catch((error) => {
        // All else is a list that could not be had, which is no fault of the token's.
        throw Object.assign(error, { noKeys: error.code !== 'JWK_NOT_FOUND' })
      }),
    verify: {
      algorithms,
      allowedIss: issuer,
      allowedAud: audience,
      checkTyp: 'at+jwt',
      requiredClaims: ['iss', 'aud', 'exp', 'sub', 'sid'],
    },
  })
  app.addHook('onRequest', async (request, reply) => {
    // By itself it answers 500 to some forged tokens.
    await request.jwtVerify().catch(({ noKeys }) => {
      if (noKeys) return reply.code(503).header('retry-after', '1').send({ error: 'Service Unavailable' })
      return reply.code(401).send({ error: 'Unauthorized' })
    })
  })
  app.get('/', async ({ user }) => user)
  return app
}
