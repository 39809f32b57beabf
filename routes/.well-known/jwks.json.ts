/** GET /.well-known/jwks.json: the public keys, by which every other service checks tokens by itself (RFC 7517). */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { keysOf } from '../../plugins/keys/index.ts'
import { errors } from '../../schemas/error-responses.ts'

const Jwk = Type.Object(
  {
    kty: Type.String(),
    crv: Type.String(),
    x: Type.String(),
    y: Type.String(),
    kid: Type.String(),
    alg: Type.String(),
    use: Type.String(),
  },
  { title: 'Jwk', description: 'A public key (RFC 7517)' },
)
const Jwks = Type.Object({ keys: Type.Array(Jwk) }, { title: 'Jwks', description: 'A JWK set' })

const CACHE = 'public, max-age=300'

const route: FastifyPluginAsyncTypebox = async (app) => {
  const keys = keysOf(app)

  app.route({
    method: 'GET',
    url: '/jwks.json',
    config: { access: 'public', limit: 'none' },
    schema: {
      operationId: 'jwks',
      summary: 'Public keys',
      description: 'The keys that verify access tokens. May be cached.',
      tags: ['keys'],
      response: { 200: Jwks, ...errors() },
    },
    handler: async (_request, reply) => reply.code(200).header('cache-control', CACHE).send({ keys: keys.published() }),
  })
}

export default route
