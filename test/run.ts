// The test run: `npm test`, or after a build `node dist/test/run.js [--on=20,24] [text …]` for the files whose path
// contains a text and for these lines of Node.js. It gives the tests a private MariaDB server, runs them under tap on
// one Node.js after the other and judges tap's reports.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Base, type Counts, t as tap } from 'tap'
import { coverageOptions, coverageReport, forgetCoverage, keepCoverage, neverLoaded } from './coverage.ts'
import { type Mariadb, startMariadb } from './mariadb.ts'
import { bring, type Node, usualLines } from './nodes.ts'
import { find, installers } from './programs.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TAP = 'node_modules/.bin/tap'
/** tap puts what each test file printed here, in its machine-readable form. */
const REPORTS = '.tap/test-results'

/**
 * What a second Node.js would not judge in another way: documents, files for other programs, whole sweeps of the surface,
 * and rules that are ours alone. What rests on HTTP, cryptography, threads or a database's driver runs on each.
 */
const ONCE = [
  ...[
    'bench',
    'browser',
    'caches',
    'canary',
    'docs',
    'examples',
    'libraries',
    'load',
    'openapi',
    'operating',
    'postman',
    'production',
  ],
  ...['reviewed', 'services', 'commands/keys', 'plugins/body', 'plugins/clients'],
  ...['plugins/keys/life', 'plugins/keys/rotation', 'routes/metadata', 'routes/oauth/', 'routes/user/'],
  ...['verifier/ended', 'verifier/keys', 'verifier/package'],
  ...['deploy/compose', 'deploy/gateways', 'deploy/kubernetes', 'deploy/nginx'],
].map((name) => (name.endsWith('/') ? `test/${name}` : `test/${name}.test.ts`))
const runsOnce = (file: string) => ONCE.some((name) => file.startsWith(name))

interface Result {
  pass: number
  fail: number
  skip: number
}

const FAILED: Result = { pass: 0, fail: 1, skip: 0 }

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
async function main(args: string[]): Promise<boolean> {
  const filters = args.filter((word) => !word.startsWith('--on='))
  const lines =
    args
      .find((word) => word.startsWith('--on='))
      ?.slice('--on='.length)
      .split(',') ?? usualLines()
  const files = testFiles().filter((file) => filters.length === 0 || filters.some((text) => file.includes(text)))
  if (files.length === 0) return complain(`No test file's path contains ${filters.join(' or ')}.`)
  if (!(await install())) return false
  if (!(await buildTap())) return false
  const nodes = await bringNodes(lines)
  if (!nodes) return false

  const folder = mkdtempSync(join(tmpdir(), 'latchkey-run-'))
  let server: Mariadb | undefined
  try {
    server = find('mariadb') ? await startMariadb(join(folder, 'mariadb')) : undefined
    const judged = filters.length === 0 && canReachAll(nodes, server)
    forgetCoverage()
    const results: Result[] = []
    for (const node of nodes) {
      const own = node === nodes[0] ? files : files.filter((file) => !runsOnce(file))
      if (own.length > 0) results.push(interrupted ? FAILED : await runOn(node, own, judged, server?.url))
    }
    if (judged && !(await allCovered())) results.push(FAILED)
    return summarize(results)
  } finally {
    await server?.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function bringNodes(lines: string[]): Promise<Node[] | undefined> {
  const nodes: Node[] = []
  for (const line of new Set(lines)) {
    const node = await bring(line, run)
    if (!node) return void complain(`npm cannot bring a Node.js ${line} that runs here.`)
    nodes.push(node)
  }
  return nodes
}

/** Whether these runs can execute every line there is. */
function canReachAll(nodes: Node[], server: Mariadb | undefined): boolean {
  const bothDrivers = new Set(nodes.map(({ sqlite }) => sqlite)).size === 2
  if (!server) console.log('Without a MariaDB server the coverage is not judged.')
  else if (!bothDrivers)
    console.log('The coverage is judged where the runs use both drivers of SQLite, as `npm run test:nodes` does.')
  return server !== undefined && bothDrivers
}

async function runOn(node: Node, files: string[], judged: boolean, url: string | undefined): Promise<Result> {
  console.log(`Tests on Node.js ${node.version}`)
  rmSync(REPORTS, { recursive: true, force: true })
  const command = [node.path, TAP, '--reporter=base', ...coverageOptions(judged), ...files.map(compiled)]
  const passed = await run(command, environment(node, url))
  if (judged) keepCoverage()
  return count(files, passed)
}

/** By all runs together. A full run fails with less than 100 %. */
async function allCovered(): Promise<boolean> {
  if (!(await run([process.execPath, TAP, ...coverageReport()]))) return false
  const missed = neverLoaded()
  return missed.length === 0 || complain(`No test loads ${missed.join(', ')}.`)
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
  return true
}

/**
 * tap is a class that is generated from the list of plugins in .taprc, and its package brings one with its TypeScript
 * plugin inside. tap would notice by itself, but only after it has chosen the loaders, and then fails on Node 20.
 */
async function buildTap(): Promise<boolean> {
  if (!tap.pluginSignature.includes('@tapjs/typescript')) return true
  return (await run([process.execPath, TAP, 'build'])) || complain('tap could not be built.')
}

function environment({ path }: Node, url: string | undefined): NodeJS.ProcessEnv {
  // tap redraws its report in place, also where that is no terminal, unless it is told that nobody watches.
  const plain = process.stdout.isTTY ? {} : { CONTINUOUS_INTEGRATION: 'true' }
  // Scripts that start with `env node`, such as npm itself, are to run on the same Node.js.
  const PATH = `${dirname(path)}${delimiter}${process.env.PATH}`
  return { ...process.env, ...plain, PATH, TEST_MYSQL_URL: url }
}

/** True where the command ended well. */
async function run([command = '', ...args]: string[], env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  if (interrupted) return false
  child = spawn(command, args, { stdio: 'inherit', env })
  const [code] = await once(child, 'exit')
  child = undefined
  return code === 0
}

/** What one run came to. A test file whose process vanishes may pass for tap, so each has to show what it ran. */
function count(files: string[], passed: boolean): Result {
  const result: Result = { pass: 0, fail: 0, skip: 0 }
  for (const file of files) {
    const counts = readReport(file)
    if (counts.total === 0) complain(`${file} ran no test.`)
    result.pass += counts.pass
    result.skip += counts.skip + counts.todo
    result.fail += counts.total === 0 ? 1 : counts.fail
  }
  // No assertion failed and yet the run did: a file's exit code or signal.
  if (!passed && result.fail === 0) result.fail = 1
  return result
}

/** The closing line, for all runs together. */
function summarize(results: Result[]): boolean {
  const sum = (name: keyof Result) => results.reduce((total, result) => total + result[name], 0)
  const [passed, failed, skipped] = [sum('pass'), sum('fail'), sum('skip')]
  console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
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
