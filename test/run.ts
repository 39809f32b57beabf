// The test run: `npm test`, or after a build `node dist/test/run.js [text …]` for the files whose path contains a text.
// It gives the tests a private MariaDB server, runs them under tap and judges tap's report.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Base, type Counts, t as tap } from 'tap'
import { type Mariadb, startMariadb } from './mariadb.ts'
import { find, installers } from './programs.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TAP = 'node_modules/.bin/tap'
/** tap puts what each test file printed here, in its machine-readable form. */
const REPORTS = '.tap/test-results'
/** And here what was covered. */
const COVERAGE = '.tap/report/coverage-summary.json'

let child: ChildProcess | undefined
let interrupted = false

// tap takes each process that loads it for a test, and ends it after 30 s.
tap.setTimeout(0)

process.chdir(ROOT)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted = true
    child?.kill(signal)
  })
}
process.exitCode = (await main(process.argv.slice(2))) && !interrupted ? 0 : 1

/** The whole run in its order. True where everything passed. */
async function main(filters: string[]): Promise<boolean> {
  const files = testFiles().filter((file) => filters.length === 0 || filters.some((text) => file.includes(text)))
  if (files.length === 0) return complain(`No test file's path contains ${filters.join(' or ')}.`)
  if (!(await install())) return false
  if (!(await buildTap())) return false

  const folder = mkdtempSync(join(tmpdir(), 'latchkey-run-'))
  let server: Mariadb | undefined
  try {
    server = find('mariadb') ? await startMariadb(join(folder, 'mariadb')) : undefined
    const judged = server !== undefined && filters.length === 0
    const options = coverageOptions(judged)
    rmSync(REPORTS, { recursive: true, force: true })
    const ran = await run([TAP, '--reporter=base', ...options, ...files.map(compiled)], environment(server?.url))
    const passed = ran && (!judged || allLoaded())
    return summarize(files, passed)
  } finally {
    await server?.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Tracked or merely there: a file that was deleted by accident counts as missing. */
function testFiles(): string[] {
  const present = readdirSync('test', { recursive: true, encoding: 'utf8' }).map((path) => join('test', path))
  return [...new Set([...present, ...trackedFiles()])]
    .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules'))
    .sort()
}

function trackedFiles(): string[] {
  if (!existsSync('.git')) return []
  return execFileSync('git', ['ls-files', 'test'], { encoding: 'utf8' }).split('\n')
}

function compiled(file: string): string {
  return join('dist', file.replace(/\.ts$/, '.js'))
}

/** A build machine has to have all that the tests need; a person's machine is left as it is. */
async function install(): Promise<boolean> {
  const buildMachine = process.env.CI === 'true'
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  for (const command of installers(buildMachine)) await run(command, env)
  const missing = installers(true).length > 0
  if (missing && buildMachine) return complain('Not all that the tests need could be installed.')
  if (missing) console.log('Tests that need a program which is not installed are skipped.')
  if (!find('mariadb')) console.log('Without a MariaDB server the coverage is not judged.')
  return true
}

/**
 * tap is a class that is generated from the list of plugins in .taprc, and its package brings one with its TypeScript
 * plugin inside. tap would notice by itself, but only after it has chosen the loaders, and then fails on Node 20.
 */
async function buildTap(): Promise<boolean> {
  if (!tap.pluginSignature.includes('@tapjs/typescript')) return true
  return (await run([TAP, 'build'])) || complain('tap could not be built.')
}

/** A full run fails with less than 100 % coverage. Without MariaDB or with a filter it is not judged. */
function coverageOptions(judged: boolean): string[] {
  return judged ? ['--coverage-report=text', '--coverage-report=json-summary'] : ['--disable-coverage']
}

/** A source file that no test loads or starts does not lower the coverage, so it has to be missed by name. */
function allLoaded(): boolean {
  const seen = Object.keys(JSON.parse(readFileSync(COVERAGE, 'utf8'))).map((path) => relative(ROOT, path))
  const sources = readdirSync('dist', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.js') && !path.startsWith('test'))
    // A file of types alone is nothing to run.
    .filter((path) => !/^export \{\};\s*(\/\/.*)?$/.test(withoutComments(join('dist', path))))
    .map((path) => path.replace(/\.js$/, '.ts'))
  const missed = sources.filter((path) => !seen.includes(path))
  return missed.length === 0 || complain(`No test loads ${missed.join(', ')}.`)
}

function withoutComments(file: string): string {
  return readFileSync(file, 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .trim()
}

function environment(url: string | undefined): NodeJS.ProcessEnv {
  // tap redraws its report in place, also where that is no terminal, unless it is told that nobody watches.
  const plain = process.stdout.isTTY ? {} : { CONTINUOUS_INTEGRATION: 'true' }
  return { ...process.env, ...plain, TEST_MYSQL_URL: url }
}

/** True where the command ended well. */
async function run([command = '', ...args]: string[], env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  if (interrupted) return false
  child = spawn(command, args, { stdio: 'inherit', env })
  const [code] = await once(child, 'exit')
  child = undefined
  return code === 0
}

/** The closing lines. A test file whose process vanishes may pass for tap, so each has to show what it ran. */
function summarize(files: string[], passed: boolean): boolean {
  let failed = 0
  const total = { pass: 0, skip: 0 }
  for (const file of files) {
    const counts = readReport(file)
    if (counts.total === 0) complain(`${file} ran no test.`)
    total.pass += counts.pass
    total.skip += counts.skip + counts.todo
    failed += counts.total === 0 ? 1 : counts.fail
  }
  // No assertion failed and yet the run did: a file's exit code or signal, or the coverage.
  if (!passed && failed === 0) failed = 1
  console.log(`${total.pass} passed, ${failed} failed${total.skip ? `, ${total.skip} skipped` : ''}`)
  return failed === 0
}

/** Counted by tap's own parser, hence as tap counts: assertions, not the subtests around them. */
function readReport(file: string): Counts {
  const path = join(REPORTS, `${compiled(file)}.tap`)
  const { parser, counts } = new Base({})
  parser.end(existsSync(path) ? readFileSync(path, 'utf8') : '')
  return counts
}

/** Beside the results, where it keeps its place among them. */
function complain(message: string): false {
  console.log(message)
  return false
}
