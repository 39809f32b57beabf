/** The metadata document as a route: the same under each of its names (RFC 8414; OpenID Connect Discovery 1.0). */
import type { FastifyInstance } from 'fastify'
import type { Parts } from '../../parts.ts'
import { errors } from '../../schemas/error-responses.ts'
import { Metadata, metadataOf, wellKnown } from '../../schemas/metadata.ts'
import { keysOf } from './index.ts'

/** What a name of the document has of its own. */
interface Words {
  operationId: string
  summary: string
  description: string
}

/** States the routes of the document under this name: the plain one, and with the issuer's path behind it. */
export function stateMetadata(app: FastifyInstance, { config, jwksMaxAge }: Parts, name: string, words: Words): void {
  const keys = keysOf(app)
  // As long as the list of keys; it changes with the settings alone.
  const cache = `public, max-age=${jwksMaxAge}`

  for (const [place, url] of wellKnown(name, config).entries()) {
    app.route({
      method: 'GET',
      url,
      config: { access: 'public', limit: 'none' },
      // The others are for whoever stands before the gateway.
      schema: { ...words, tags: ['keys'], hide: place > 0, response: { 200: Metadata, ...errors() } },
      handler: async (_request, reply) =>
        reply.code(200).header('cache-control', cache).send(metadataOf(config, keys.algorithms())),
    })
  }
}
