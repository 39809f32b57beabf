// The life of a client: `node examples/fetch/flow.js [ORIGIN]`, where Latchkey was started with ACCESS_TOKEN_TTL=3, so
// that the access token expires while you look.
import { setTimeout as pause } from 'node:timers/promises'
import { Latchkey } from './latchkey.js'

const latchkey = new Latchkey(process.argv[2] ?? 'http://127.0.0.1:3000')
const ann = { username: 'ann', email: 'ann@example.com', password: 'correct horse battery' }

const { expires_in } = await latchkey.register(ann).catch((error) => {
  if (error.code !== 'EMAIL_TAKEN') throw error
  return latchkey.login({ email: ann.email, password: ann.password })
})
const me = await latchkey.call('GET', '/user/me')
console.log(`Logged in as ${me.username}`)

console.log(`Waiting ${expires_in} s: then the access token has expired`)
await pause(expires_in * 1000)

// Each of them meets the expiry, one refresh serves them all.
const answers = await Promise.all([
  latchkey.call('GET', '/user/me'),
  latchkey.call('GET', '/user/me'),
  latchkey.call('GET', '/user/sessions'),
  latchkey.call('PATCH', '/user/me', { username: 'ann' }),
])
console.log(`${answers.length} calls at once, ${answers.length} answers`)

try {
  await latchkey.call('PATCH', '/user/me', { username: 'ann@home' })
} catch (error) {
  console.log(error.code, ...error.details.map(({ field, message }) => `${field}: ${message}`))
}

await latchkey.logout()
await latchkey.call('GET', '/user/me').catch((error) => console.log(`Logged out: ${error.code}`))
