/** The container: the rules that the Dockerfile keeps, and its steps, run without an engine. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { VERSION } from '../../version.ts'
import { ROOT, start } from '../process.ts'
import { need, skipWithout } from '../programs.ts'
import { contextFiles } from './context.ts'
import { execForm, flags, pairs, readDockerfile, textsOf } from './dockerfile.ts'

const stages = readDockerfile(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))
const last = stages.at(-1)!

t.test('hadolint finds nothing in the Dockerfile', { skip: skipWithout('hadolint') }, async (t) => {
  t.equal(execFileSync(need('hadolint'), ['Dockerfile'], { cwd: ROOT, encoding: 'utf8' }), '')
})

t.test('it builds on a Node.js that has the fix of October 2026', async (t) => {
  const [, minor, patch] = /^node:24\.(\d+)\.(\d+)-/.exec(stages[0]!.base) ?? []
  t.ok(Number(minor) * 1000 + Number(patch) >= 22_001, stages[0]!.base)
})

t.test('the last stage runs nothing that installs, and copies from other stages what they made', async (t) => {
  t.match(last.base, /^debian:\w+-slim$/)
  t.strictSame(textsOf(last, 'RUN'), ['mkdir data && chown 10001:10001 data'])
  const copied = textsOf(last, 'COPY').map((text) => flags(text).rest.split(' ')[0])
  t.strictSame(copied, ['/usr/local/bin/node', '/usr/local/LICENSE', 'package.json', '/app/node_modules', '/app/dist'])
})

t.test('it runs as nobody in particular, and node gets the signals', async (t) => {
  t.strictSame(textsOf(last, 'USER'), ['10001:10001'])
  t.strictSame(textsOf(last, 'STOPSIGNAL'), ['SIGTERM'])
  t.strictSame(textsOf(last, 'VOLUME'), ['/app/data'])
  // Words, so that no shell stands between.
  t.strictSame(textsOf(last, 'ENTRYPOINT').map(execForm), [['node', 'dist/cli.js']])
  t.strictSame(textsOf(last, 'CMD').map(execForm), [['serve']])
  const own = { NODE_ENV: 'production', HOST: '0.0.0.0', SHUTDOWN_DELAY: '5' }
  const { start } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts
  t.strictSame(textsOf(last, 'ENV').map(pairs), [{ ...own, NODE_OPTIONS: start.split(' ')[2] }], 'as npm start has it')
})

t.test('its labels say what it is', async (t) => {
  const { version, license } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  t.match(pairs(textsOf(last, 'LABEL')[0]!), {
    'org.opencontainers.image.title': 'Latchkey',
    'org.opencontainers.image.description': /./,
    'org.opencontainers.image.licenses': license,
    'org.opencontainers.image.version': version,
  })
  t.equal(version, VERSION)
})

t.test('an engine is given the sources and nothing else', async (t) => {
  const files = contextFiles(ROOT)
  for (const path of [
    'package-lock.json',
    '.npmrc',
    'app.ts',
    'plugins/db/index.ts',
    'routes/.well-known/jwks.json.ts',
  ])
    t.ok(files.includes(path), path)
  const others = /^(test|docs|deploy|scripts|data|dist|node_modules|\.git|\.ci|\.env|README)|\.(db|log|png)$/
  t.strictSame(
    files.filter((path) => others.test(path)),
    [],
  )
})

// Once in a run on several lines of Node.js: what it does is the same on each.
const line = /^node:(\d+)/.exec(stages[0]!.base)![1]!
const skip = process.versions.node.startsWith(`${line}.`)
  ? false
  : `it is done on Node.js ${line}, or by npm run container:check`

t.test('its steps make a service that starts, serves and stops', { skip }, async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const [build, check] = scripts['container:check'].split(' && ')
  t.equal(build, 'npm run --silent build', 'which is done already')
  const checking = start(t, check.split(' '))
  t.equal(await checking.ended, 0, checking.stderr())
  t.match(checking.stdout(), /\nA person registered\..* ended after .* with 0\.\n/)
  t.match(checking.stdout(), / MB {2}\/app\/node_modules\n/)
  t.comment(checking.stdout())
})
