/** What a stock library reads to check tokens, given the issuer alone (RFC 8414; OpenID Connect Discovery 1.0, section 3). */
import { type Static, Type } from '@sinclair/typebox'
import type { Config } from './config.ts'

/** How a service says who it is: by HTTP Basic, or in the form (RFC 6749, section 2.3.1). */
const SERVICE_AUTH = ['client_secret_basic', 'client_secret_post']

const address = (description: string, example: string) =>
  Type.String({ description, examples: [`https://auth.example.com${example}`] })
const list = (description: string, examples: string[]) =>
  Type.Array(Type.String(), { description, examples: [examples] })
const auth = () => list('How a service says who it is there', SERVICE_AUTH)

/** All that there is and no more: libraries that only check tokens demand no other member, and what logs people in would lead astray. */
export const Metadata = Type.Object(
  {
    issuer: address('The `iss` of every token', ''),
    jwks_uri: address('The public keys', '/.well-known/jwks.json'),
    introspection_endpoint: address('What is this token worth?', '/oauth/introspect'),
    introspection_endpoint_auth_methods_supported: auth(),
    revocation_endpoint: address('End the session of a token', '/oauth/revoke'),
    revocation_endpoint_auth_methods_supported: auth(),
    response_types_supported: list('None: nobody logs in by OAuth here', []),
    grant_types_supported: list('None, likewise', []),
    id_token_signing_alg_values_supported: list(
      'The algorithms of the access tokens; there are no ID tokens, but libraries take it from here',
      ['ES256'],
    ),
  },
  { title: 'Metadata', description: 'Where a service finds what it checks tokens with' },
)
export type Metadata = Static<typeof Metadata>

/**
 * The document. Its addresses are those of the issuer, under its path, and so those of the gateway. `algorithms` are those of
 * all tokens that may live: where the algorithm has been changed, tokens by a key of the other one are good too, for a while.
 */
export function metadataOf({ ISSUER }: Config, algorithms: string[]): Metadata {
  const base = ISSUER.replace(/\/$/, '')
  return {
    issuer: ISSUER,
    jwks_uri: `${base}/.well-known/jwks.json`,
    introspection_endpoint: `${base}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: SERVICE_AUTH,
    revocation_endpoint: `${base}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: SERVICE_AUTH,
    response_types_supported: [],
    grant_types_supported: [],
    id_token_signing_alg_values_supported: algorithms,
  }
}

/**
 * The addresses of a well-known document, the plain one first. Where the issuer has a path, a client may put the name
 * between host and path (RFC 8414, sections 3.1 and 5; the slash at its end is removed): a gateway hands that on whole.
 * Put behind the path, as OpenID has it, the gateway takes the path away, and what arrives is the plain one.
 */
export function wellKnown(name: string, { ISSUER }: Config): string[] {
  const path = new URL(ISSUER).pathname.replace(/\/$/, '')
  return path === '' ? [name] : [name, name + path]
}
