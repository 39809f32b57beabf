// What the runs on several Node.js versions cover together: some lines run on one of them alone. V8's own data of all
// runs is put together before anything is counted, so that a half of a line here and a half there are a whole one.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'

/** Where tap puts V8's data of a run; it empties the folder before the next one. */
const DATA = '.tap/coverage'
const KEPT = '.tap/coverage-of-runs'
const REPORT = '.tap/report/coverage-summary.json'

/** Options for tap: data alone, which `tap report` then judges, or none. */
export function coverageOptions(judged: boolean): string[] {
  const silent = ['statements', 'branches', 'functions', 'lines'].map((name) => `--${name}=0`)
  return judged ? ['--coverage-report=none', ...silent] : ['--disable-coverage']
}

export function forgetCoverage(): void {
  rmSync(KEPT, { recursive: true, force: true })
}

/** To be called after each run. The files have random names. */
export function keepCoverage(): void {
  move(DATA, KEPT)
}

/** Options for tap, after the last run: fails with less than 100 %. */
export function coverageReport(): string[] {
  rmSync(DATA, { recursive: true, force: true })
  move(KEPT, DATA)
  return ['report', '--no-show-full-coverage', 'text', 'json-summary']
}

function move(from: string, to: string): void {
  mkdirSync(from, { recursive: true })
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(from)) renameSync(join(from, name), join(to, name))
}

/** The source files that no test loads or starts. They do not lower the coverage, so they have to be missed by name. */
export function neverLoaded(): string[] {
  const seen = Object.keys(JSON.parse(readFileSync(REPORT, 'utf8'))).map((path) => relative('.', path))
  return readdirSync('dist', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.js') && !/^(test|bench)\//.test(path))
    .filter((path) => !hasTypesAlone(join('dist', path)))
    .map((path) => path.replace(/\.js$/, '.ts'))
    .filter((path) => !seen.includes(path))
}

/** A file that is nothing to run. */
function hasTypesAlone(file: string): boolean {
  const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
  return /^export \{\};\s*(\/\/.*)?$/.test(code.trim())
}
