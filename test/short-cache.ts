// Latchkey as server.ts runs it, but that the public keys may be cached for only so many seconds; or the rotation of
// its keys, by the same rule: `node short-cache.js 2 serve`, `node short-cache.js 2 rotate`. There is no such setting,
// since no installation wants it; without it five rotations would take a test half an hour.

import { buildApp } from '../app.ts'
import { readConfig } from '../config.ts'
import { keysOf } from '../plugins/keys/index.ts'

const [, , jwksMaxAge, command] = process.argv
const config = readConfig()
const app = await buildApp({ config, jwksMaxAge: Number(jwksMaxAge), routes: command === 'serve' })
if (command === 'serve') {
  const address = await app.listen({ host: config.HOST, port: config.PORT })
  process.stdout.write(`${JSON.stringify({ address })}\n`)
  process.once('SIGTERM', async () => {
    await app.close()
    process.exit(0)
  })
} else {
  await keysOf(app).set!.rotate()
  await app.close()
}
