/** The OpenAPI document in other hands: a linter's, a person's who sends its examples, a TypeScript compiler's. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { exampleOf, formExampleOf, operationsOf } from './document.ts'
import { createEngine } from './engines.ts'
import { startApp } from './helper.ts'
import { ROOT } from './process.ts'
import { need, skipWithout } from './programs.ts'
import { listen } from './raw.ts'

const run = promisify(execFile)

const start = (t: Test) => startApp(t, createEngine(t, 'sqlite'))

async function emptyFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-openapi-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

t.test("it passes redocly's recommended rules, without an exception", { skip: skipWithout('redocly') }, async (t) => {
  const app = await start(t)
  // Empty, so that no configuration or list of exceptions is found.
  const cwd = await emptyFolder(t)
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  for (const type of ['json', 'yaml']) {
    const file = `openapi.${type}`
    await writeFile(join(cwd, file), (await app.anon.get(`/docs/${type}`)).text)
    const lint = ['lint', '--extends=recommended', '--format=json', file]
    const { stdout } = await run(need('redocly'), lint, { cwd, env }).catch((failed) => failed)
    const { totals, problems } = JSON.parse(stdout)
    t.strictSame(problems, [], type)
    t.strictSame(totals, { errors: 0, warnings: 0, ignored: 0 }, type)
  }
})

t.test('each example works as it stands, in the order of the document', async (t) => {
  const app = await start(t)
  const operations = operationsOf((await app.anon.get('/docs/json')).body)
  const login = exampleOf(operations.find(({ operationId }) => operationId === 'login')!)
  const authorized = async () => app.as(await app.anon.post('/user/login', login))

  for (const operation of operations) {
    const { operationId, method, path, requestBody, security, responses } = operation
    const good = Number(Object.keys(responses)[0])
    const form = formExampleOf(operation)
    if (security.some((scheme) => 'basic' in scheme)) {
      const answer = form ? app.service.form(path, form) : app.service.ask(method, path)
      t.equal((await answer).status, good, `${method} ${path}`)
      continue
    }
    const client = security.length === 0 ? app.anon : await authorized()
    const id = path.includes('{id}') ? (await client.get('/user/sessions')).body.sessions[0].id : ''
    const url = path.replace('{id}', id)
    let example = exampleOf(operation)
    if (operationId === 'refresh') {
      const answer = await client.ask(method, url, example)
      t.match(answer, { body: { code: 'INVALID_REFRESH_TOKEN' } }, 'no token could stand there; its place is told')
      example = { refresh_token: (await authorized()).tokens.refresh_token }
    }
    t.equal((await client.ask(method, url, example)).status, good, `${method} ${path}`)
    if (requestBody?.required === false) t.equal((await (await authorized()).ask(method, url)).status, good, 'no body')
  }
})

/** What must not compile, each line of it. */
const WRONG = `
import createClient from 'openapi-fetch'
import type { paths } from './latchkey.js'
const latchkey = createClient<paths>({ baseUrl: '' })
// @ts-expect-error: no such path
latchkey.GET('/user/you')
// @ts-expect-error: no such member
latchkey.POST('/user/refresh', { body: { token: 'x' } })
// @ts-expect-error: no body
latchkey.POST('/user/refresh')
// @ts-expect-error: not of this type
latchkey.POST('/user/register', { body: { username: 'x', email: 'x', password: 5 } })
// @ts-expect-error: not one of the values
latchkey.DELETE('/user/logout', { params: { query: { scope: 'all' } } })
const { data, error } = await latchkey.GET('/user/me')
// @ts-expect-error: not a code of this call
if (error?.code === 'EMAIL_TAKEN') console.log(data)
`

t.test('the TypeScript example', { skip: skipWithout('openapi-typescript', 'tsc') }, async (t) => {
  const app = await start(t)
  const address = `http://127.0.0.1:${await listen(app.server)}`
  const cwd = await emptyFolder(t)
  await cp(join(ROOT, 'examples/typescript'), cwd, { recursive: true })
  await writeFile(join(cwd, 'wrong.ts'), WRONG)
  const told = (await readFile(join(cwd, 'client.ts'), 'utf8')).matchAll(/^\/\/ {3}(.+)$/gm)
  const [install, ...commands] = [...told].map(([, line]) => line!.replaceAll('http://127.0.0.1:3000', address))
  t.equal(install, 'npm install')
  await symlink(join(ROOT, 'test/tools/node_modules'), join(cwd, 'node_modules'))
  let printed = ''
  for (const command of commands) {
    const { code = 0, stdout } = await run('sh', ['-c', `${command} 2>&1`], { cwd }).catch((failed) => failed)
    t.equal(code, 0, command, { stdout })
    printed = stdout
  }
  t.equal(printed, 'logged in as ann\nrefreshed for 900 seconds\nlogged out: success\nnow I am nobody: log in again\n')
})
