// openid-client checks no access tokens by itself: it asks Latchkey, and so learns of ended sessions too. Gives a function
// that takes a token and gives what is told of it, or throws. `client` is one of SERVICE_CLIENTS.
import * as openid from 'openid-client'

export async function createCheck({ issuer, audience, client }) {
  const url = new URL(issuer)
  // Only to try it without TLS.
  const options = url.protocol === 'http:' ? { execute: [openid.allowInsecureRequests] } : {}
  const basic = openid.ClientSecretBasic(client.secret)
  const server = await openid.discovery(url, client.id, client.secret, basic, options)
  return async (token) => {
    const answer = await openid.tokenIntrospection(server, token)
    if (!answer.active || answer.token_use !== 'access_token' || answer.aud !== audience) throw new Error('not good')
    return answer
  }
}
