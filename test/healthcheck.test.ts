/** What the container's HEALTHCHECK runs: it asks the service at the address that the service itself was given. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createEngine } from './engines.ts'
import { node, serve } from './process.ts'

/** Its exit code, and what it says. */
async function check(t: Test, env: Record<string, string>): Promise<[number | string, string]> {
  const asked = node(t, ['dist/healthcheck.js'], env)
  return [await asked.ended, asked.stdout() + asked.stderr()]
}

t.test('it finds the service at whatever address it listens', async (t) => {
  const each = ['127.0.0.1', '0.0.0.0', '::'].map(async (HOST) => {
    const { port } = await serve(t, await createEngine(t, 'sqlite').databaseUrl(), { HOST })
    t.strictSame(await check(t, { HOST, PORT: String(port) }), [0, `${HOST}:${port} answered 200\n`])
    return port
  })
  const PORT_FILE = join(t.testdir(), 'port')
  writeFileSync(PORT_FILE, `${await each[0]}\n`)
  t.match(await check(t, { PORT: '', PORT_FILE }), [0, /answered 200/], 'also where the port stands in a file')
  await Promise.all(each)
})

t.test('another answer, or none, is no life', async (t) => {
  const server = createServer((_request, response) => response.writeHead(503).end()).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const PORT = String((server.address() as AddressInfo).port)
  t.match(await check(t, { PORT }), [1, /answered 503/])
  server.close()
  t.match(await check(t, { PORT }), [1, /ECONNREFUSED/])
})
