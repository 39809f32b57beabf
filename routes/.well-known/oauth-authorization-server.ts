/** GET /.well-known/oauth-authorization-server: what libraries ask for that know OAuth 2.0 (RFC 8414, section 3). */
import type { FastifyPluginAsync } from 'fastify'
import type { Parts } from '../../parts.ts'
import { stateMetadata } from '../../plugins/keys/metadata.ts'

const route: FastifyPluginAsync<Parts> = async (app, parts) => {
  stateMetadata(app, parts, '/oauth-authorization-server', {
    operationId: 'oauthMetadata',
    summary: 'Metadata, as OAuth libraries ask for it',
    description: 'The same document under the address of RFC 8414. May be cached.',
  })
}

export default route
