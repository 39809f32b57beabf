/** What a start loads: nothing that the first answer does not need. */
import t, { type Test } from 'tap'
import { createEngine } from './engines.ts'
import { listening, node, type Service, settingsOf, until } from './process.ts'

/** Prints at each SIGUSR2 which files of packages are loaded. All of LATER come as CommonJS, so that they are found there. */
const SPY = `import { Module } from 'node:module'
process.on('SIGUSR2', () => console.log(JSON.stringify({ turn: globalThis.turn = (globalThis.turn ?? 0) + 1, loaded: Object.keys(Module._cache) })))`

const DOCS = [
  '@fastify/helmet',
  '@fastify/swagger',
  '@fastify/swagger-ui',
  '@fastify/static',
  'yaml',
  'light-my-request',
]
// Fastify takes other files of the second for its own errors.
const SCHEMAS = ['ajv', 'fast-json-stringify/index.js']
const LATER = [...DOCS, ...SCHEMAS, '@fastify/mysql', 'mysql2', 'pino-pretty', 'commander', 'bcrypt', 'libsql']
async function serveWatched(t: Test, settings: Record<string, string> = {}) {
  const url = await createEngine(t, 'sqlite').databaseUrl()
  const program = ['--import', `data:text/javascript,${encodeURIComponent(SPY)}`, 'dist/server.js']
  const service = await listening(node(t, program, { ...settingsOf(url), ...settings }))
  let turn = 0
  return { ...service, later: () => laterOf(service, ++turn) }
}

/** Which of LATER are loaded by now. */
async function laterOf(service: Service, turn: number): Promise<string[]> {
  service.signal('SIGUSR2')
  const { loaded } = (await service.line(new RegExp(`^\\{"turn":${turn},`))) as { loaded: string[] }
  return LATER.filter((name) => loaded.some((file) => file.includes(`/node_modules/${name}`)))
}

/** Node 20 has no SQLite of its own. */
const brought = process.getBuiltinModule('node:module').isBuiltin('node:sqlite') ? [] : ['libsql']

t.test('before its first answer it loads no page, no compiler of schemas, no other database', async (t) => {
  const service = await serveWatched(t)
  t.strictSame(await service.later(), brought)
  t.equal((await service.ask('GET /health/ready')).status, 200)
  await until(async () => (await service.later()).length > brought.length)
  t.strictSame(await service.later(), [...SCHEMAS, ...brought], 'then what the next ones will need')
  for (const path of ['/docs', '/docs/json']) t.equal((await service.ask(`GET ${path}`)).status, 200)
  t.strictSame(await service.later(), [...DOCS, ...SCHEMAS, ...brought])
})

t.test('without /docs it never loads the pages', async (t) => {
  const service = await serveWatched(t, { DOCS: 'off' })
  for (const path of ['/docs', '/docs/json']) t.equal((await service.ask(`GET ${path}`)).status, 404)
  t.strictSame(
    (await service.later()).filter((name) => DOCS.includes(name)),
    [],
  )
})
