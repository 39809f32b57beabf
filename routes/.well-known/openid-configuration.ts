/** GET /.well-known/openid-configuration: what libraries ask for that know OpenID Connect (Discovery 1.0, section 4). */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Parts } from '../../parts.ts'
import { keysOf } from '../../plugins/keys/index.ts'
import { errors } from '../../schemas/error-responses.ts'
import { METADATA_CACHE, Metadata, metadataOf, wellKnown } from '../../schemas/metadata.ts'

const route: FastifyPluginAsyncTypebox<Parts> = async (app, { config }) => {
  const keys = keysOf(app)

  for (const [place, url] of wellKnown('/openid-configuration', config).entries()) {
    app.route({
      method: 'GET',
      url,
      config: { access: 'public', limit: 'none' },
      schema: {
        operationId: 'openidConfiguration',
        summary: 'Metadata, as OpenID libraries ask for it',
        description:
          'All that a stock library needs to check access tokens, given the issuer alone. This is no OpenID Provider: nobody logs in by OAuth here, and there are no ID tokens. May be cached.',
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
