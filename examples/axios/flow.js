// The life of a client: `npm install axios`, then `node examples/axios/flow.js [ORIGIN]`, where Latchkey was started with
// ACCESS_TOKEN_TTL=3, so that the access token expires while you look.
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from './latchkey.js'

const { http, ...latchkey } = connect(process.argv[2] ?? 'http://127.0.0.1:3000')
const ann = { username: 'ann', email: 'ann@example.com', password: 'correct horse battery' }

const { expires_in } = await latchkey.register(ann).catch((error) => {
  if (error.response?.data.code !== 'EMAIL_TAKEN') throw error
  return latchkey.login({ email: ann.email, password: ann.password })
})
const { data: me } = await http.get('/user/me')
console.log(`Logged in as ${me.username}`)

console.log(`Waiting ${expires_in} s: then the access token has expired`)
await pause(expires_in * 1000)

// Each of them meets the expiry, one refresh serves them all.
const answers = await Promise.all([
  http.get('/user/me'),
  http.get('/user/me'),
  http.get('/user/sessions'),
  http.patch('/user/me', { username: 'ann' }),
])
console.log(`${answers.length} calls at once, ${answers.length} answers`)

try {
  await http.patch('/user/me', { username: 'ann@home' })
} catch ({ response: { data } }) {
  console.log(data.code, ...data.details.map(({ field, message }) => `${field}: ${message}`))
}

await latchkey.logout()
await http.get('/user/me').catch(({ response }) => console.log(`Logged out: ${response.data.code}`))
