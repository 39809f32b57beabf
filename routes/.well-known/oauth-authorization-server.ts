/** GET /.well-known/oauth-authorization-server: what libraries ask for that know OAuth 2.0 (RFC 8414, section 3). */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Parts } from '../../parts.ts'
import { keysOf } from '../../plugins/keys/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { METADATA_CACHE, Metadata, metadataOf, wellKnown } from '../../schemas/metadata.ts'

const route: FastifyPluginAsyncTypebox<Parts> = async (app, { config }) => {
  const keys = keysOf(app)

  for (const [place, url] of wellKnown('/oauth-authorization-server', config).entries()) {
    app.route({
      method: 'GET',
      url,
      config: { access: 'public', limit: 'none' },
      schema: {
        operationId: 'oauthMetadata',
        summary: 'Metadata, as OAuth libraries ask for it',
        description: 'The same document under the address of RFC 8414. May be cached.',
        tags: ['keys'],
        // The others are for whoever stands before the gateway.
        hide: place > 0,
        response: { 200: Metadata, ...errors() },
      },
      handler: async (_request, reply) =>
        reply.code(200).header('cache-control', METADATA_CACHE).send(metadataOf(config, keys.algorithms())),
    })
  }
}

export default route
