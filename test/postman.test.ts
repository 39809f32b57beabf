/** The Postman collection: what its script makes of the OpenAPI document, run by newman from top to bottom. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { operationsOf } from './document.ts'
import { createEngine } from './engines.ts'
import { SERVICE, startApp } from './helper.ts'
import { ROOT } from './process.ts'
import { need, skipWithout } from './programs.ts'
import { listen } from './raw.ts'

const run = promisify(execFile)
const COLLECTION = join(ROOT, 'docs/latchkey.postman_collection.json')

interface Failure {
  source?: { name: string }
  error: { message: string }
}

interface Execution {
  item: { name: string }
  request: { method: string }
  response: { code: number }
}

t.test('the collection is the one that its script makes', async (t) => {
  const { stdout } = await run(process.execPath, ['dist/scripts/postman.js'], { cwd: ROOT })
  t.equal(await readFile(COLLECTION, 'utf8'), stdout, '`npm run postman` writes it anew')
})

t.test('it runs from top to bottom, and again', { skip: skipWithout('newman') }, async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const operations = operationsOf((await app.anon.get('/docs/json')).body)
  const address = `http://127.0.0.1:${await listen(app.server)}`
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-postman-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const report = join(folder, 'report.json')
  const variables = { base_url: address, client_id: SERVICE.id, client_secret: SERVICE.secret }
  const given = Object.entries(variables).flatMap(([name, value]) => ['--env-var', `${name}=${value}`])
  const twice = ['--iteration-count', '2', ...given]
  const reporter = ['--reporters', 'json', '--reporter-json-export', report]
  // It exits with 1 where something failed; the report says what.
  await run(need('newman'), ['run', COLLECTION, ...twice, ...reporter]).catch(() => {})
  const { stats, failures, executions } = JSON.parse(await readFile(report, 'utf8')).run

  const failed = (failures as Failure[]).map(({ source, error }) => `${source?.name}: ${error.message}`)
  t.strictSame(failed, [])
  t.equal(stats.assertions.total, executions.length, 'each request asserts something')
  const flow = (executions as Execution[])
    .slice(0, 8)
    .map(({ request, response }) => `${request.method} ${response.code}`)
  const expected = 'POST 201, POST 200, GET 200, GET 200, POST 200, PUT 200, DELETE 200, GET 401'
  t.equal(flow.join(', '), expected, 'register, login, me, sessions, refresh, password, logout, and me is refused')
  const names = new Set((executions as Execution[]).map(({ item }) => item.name))
  for (const { summary } of operations) t.ok(names.has(summary), summary)
})
