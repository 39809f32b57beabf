/** latchkey/verifier as a package: what another service installs, imports and compiles against. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../process.ts'

/** What a TypeScript service writes; each line with an error has to have it. */
const CONSUMER = `
import Fastify from 'fastify'
import { type AccessClaims, createVerifier, VerifierError } from 'latchkey/verifier'
import latchkey from 'latchkey/verifier/fastify'

const options = { issuer: 'https://auth.example.com', audience: 'latchkey', sessions: 'public' } as const
const verifier = createVerifier(options)
const claims: AccessClaims = await verifier.verify('x')
const roles: string[] = claims.roles
// @ts-expect-error -- an option that is needed
createVerifier({ issuer: 'https://auth.example.com' })
// @ts-expect-error -- no such option
createVerifier({ ...options, sessions: true })
// @ts-expect-error -- no such code
const isOdd = (error: VerifierError) => error.code === 'ODD'

const app = Fastify()
app.register(latchkey, options)
app.get('/', async ({ claims }) => ({ sub: claims.sub.toUpperCase(), ready: app.verifier.ready(), roles, isOdd }))
`

t.test('its types', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-types-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  symlinkSync(ROOT, join(modules, 'latchkey'))
  for (const name of ['fastify', '@types']) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'service.ts'), CONSUMER)
  const flags = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--types',
    'node',
  ]
  const tsc = [process.execPath, join(ROOT, 'node_modules/.bin/tsc'), ...flags, 'service.ts']
  // A test's parent slips NODE_OPTIONS into each child that it sees.
  const words = ['-u', 'NODE_OPTIONS', ...tsc]
  const { status, stdout, stderr } = spawnSync('env', words, { cwd: folder, encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
})

t.test('what is packed: all that is built but the tests', async (t) => {
  const words = ['pack', '--dry-run', '--ignore-scripts', '--json', '--offline']
  const [{ files }] = JSON.parse(execFileSync('npm', words, { cwd: ROOT, encoding: 'utf8' }))
  const packed = files.map(({ path }: { path: string }) => path) as string[]
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, string>
  }
  for (const path of Object.values(exports).map((path) => path.slice(2))) {
    t.ok(packed.includes(path), path)
    if (path.endsWith('.js')) t.ok(packed.includes(path.replace(/\.js$/, '.d.ts')), `the types of ${path}`)
  }
  t.ok(packed.includes('dist/cli.js'))
  t.strictSame(
    packed.filter((path) => /^(dist\/(test|scripts)|test|verifier|data)\//.test(path)),
    [],
  )
})

t.test('it imports nothing of the service', async (t) => {
  const folder = join(ROOT, 'verifier')
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.ts'))) {
    const imports = readFileSync(join(folder, name), 'utf8').matchAll(/from '([^']+)'/g)
    const foreign = [...imports]
      .map(([, path = '']) => path)
      .filter((path) => !/^(\.\/[\w-]+\.ts|node:\w+|jose|fastify-plugin)$/.test(path))
    t.strictSame(foreign, [], name)
  }
})
