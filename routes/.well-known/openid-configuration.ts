/** GET /.well-known/openid-configuration: what libraries ask for that know OpenID Connect (Discovery 1.0, section 4). */
import type { FastifyPluginAsync } from 'fastify'
import type { Parts } from '../../parts.ts'
import { stateMetadata } from '../../plugins/keys/metadata.ts'

const route: FastifyPluginAsync<Parts> = async (app, parts) => {
  stateMetadata(app, parts, '/openid-configuration', {
    operationId: 'openidConfiguration',
    summary: 'Metadata, as OpenID libraries ask for it',
    description:
      'All that a stock library needs to check access tokens, given the issuer alone. This is no OpenID Provider: nobody logs in by OAuth here, and there are no ID tokens. May be cached.',
  })
}

export default route
