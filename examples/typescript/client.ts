// A client whose types come from Latchkey's OpenAPI document: a wrong path, body or error code does not compile.
// In this folder, while Latchkey runs:
//
//   npm install
//   npx openapi-typescript http://127.0.0.1:3000/docs/json --output latchkey.ts
//   npx tsc
//   node client.js http://127.0.0.1:3000 ann

import createClient from 'openapi-fetch'
import type { components, paths } from './latchkey.js'

type Tokens = components['schemas']['TokenAnswer']

const [baseUrl = 'http://127.0.0.1:3000', username = 'ann'] = process.argv.slice(2)
const email = `${username}@example.com`
const password = 'correct horse battery'
const latchkey = createClient<paths>({ baseUrl })
let tokens: Tokens

const bearer = () => ({ headers: { authorization: `Bearer ${tokens.access_token}` } })

/** What was asked for; throws where it went wrong. */
function must<Data>({ data, error }: { data?: Data; error?: { code: string; message: string } }): Data {
  if (error) throw new Error(`${error.code}: ${error.message}`)
  return data as Data
}

/** Keep both tokens: the old refresh token is good for a short grace only. */
async function refresh() {
  tokens = must(await latchkey.POST('/user/refresh', { body: { refresh_token: tokens.refresh_token } }))
}

/** The codes of a call are a union, so the compiler checks each one that is named here. */
async function whoAmI(): Promise<string> {
  const { data, error } = await latchkey.GET('/user/me', bearer())
  if (data) return data.username
  switch (error.code) {
    case 'TOKEN_EXPIRED':
      await refresh()
      return whoAmI()
    case 'INVALID_TOKEN':
      return 'nobody: log in again'
    default:
      throw new Error(`${error.code}: ${error.message}`)
  }
}

const { error } = await latchkey.POST('/user/register', { body: { username, email, password } })
if (error && error.code !== 'EMAIL_TAKEN' && error.code !== 'USERNAME_TAKEN') throw new Error(error.message)

tokens = must(await latchkey.POST('/user/login', { body: { username, password } }))
console.log('logged in as', await whoAmI())

await refresh()
console.log('refreshed for', tokens.expires_in, 'seconds')

console.log('logged out:', must(await latchkey.DELETE('/user/logout', bearer())).result)
console.log('now I am', await whoAmI())
