/** An installation without development packages (`npm ci --omit=dev`) has all that the service needs, and nothing that only its makers need. */
import { readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from './process.ts'

interface Locked {
  dev?: boolean
  devOptional?: boolean
}

const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), 'utf8'))
const manifest = read('package.json')
const locked: Record<string, Locked> = read('package-lock.json').packages
const installed = Object.entries(locked)
  .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
  .map(([path]) => path.split('node_modules/').at(-1)!)

/** What is compiled for the service: all but the tests and the benchmark. */
const files = readdirSync(join(ROOT, 'dist'), { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.js') && !/^(test|bench|scripts)\//.test(file),
)

const IMPORT = /^(?:import|export) (?:.* from )?'([^'./][^']*)'|\bimport\('([^'./][^']*)'\)/gm
const packageOf = (specifier: string) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

t.test('every package that the service imports is one of its own', async (t) => {
  const { dependencies, optionalDependencies } = manifest
  const own = new Set(Object.keys({ ...dependencies, ...optionalDependencies }))
  const imported = new Set<string>()
  for (const file of files)
    for (const [, now, later = ''] of readFileSync(join(ROOT, 'dist', file), 'utf8').matchAll(IMPORT))
      if (!isBuiltin(now ?? later)) imported.add(packageOf(now ?? later))
  t.strictSame(
    [...imported].filter((name) => !own.has(name)),
    [],
  )
  t.ok(imported.size > 15, `${imported.size} packages`)
})

t.test('none that only its makers need comes along', async (t) => {
  t.strictSame(
    installed.filter((name) => /^(typescript|tap|autocannon|esbuild|@tapjs\/.*|@biomejs\/.*)$/.test(name)),
    [],
  )
  t.ok(installed.length < 200, `${installed.length} packages`)
})
