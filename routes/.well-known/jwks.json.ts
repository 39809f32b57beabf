/** GET /.well-known/jwks.json: the public keys, by which every other service checks tokens by itself (RFC 7517). */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Parts } from '../../parts.ts'
import { keysOf } from '../../plugins/keys/index.ts'
import { errors } from '../../schemas/error-responses.ts'

const Jwk = Type.Object(
  {
    kty: Type.String(),
    crv: Type.Optional(Type.String()),
    x: Type.Optional(Type.String()),
    y: Type.Optional(Type.String()),
    n: Type.Optional(Type.String()),
    e: Type.Optional(Type.String()),
    kid: Type.String(),
    alg: Type.String(),
    use: Type.String(),
  },
  { title: 'Jwk', description: 'A public key (RFC 7517): `crv`, `x` and `y` of ES256, `n` and `e` of RS256' },
)
const Jwks = Type.Object({ keys: Type.Array(Jwk) }, { title: 'Jwks', description: 'A JWK set' })

const route: FastifyPluginAsyncTypebox<Parts> = async (app, { jwksMaxAge }) => {
  const keys = keysOf(app)
  const cache = `public, max-age=${jwksMaxAge}`

  app.route({
    method: 'GET',
    url: '/jwks.json',
    config: { access: 'public', limit: 'none' },
    schema: {
      operationId: 'jwks',
      summary: 'Public keys',
      description:
        'The keys that verify access tokens, each before it signs and until its last token is dead. May be cached. With HS256 there is none.',
      tags: ['keys'],
      response: { 200: Jwks, ...errors() },
    },
    handler: async (_request, reply) => {
      const published = await keys.published()
      return reply.code(200).header('cache-control', cache).send({ keys: published })
    },
  })
}

export default route
