/**
 * The benchmark: `npm run bench`, or `npm run bench -- verify --duration 5`. It runs scenario after scenario against the
 * built service, prints a table and writes bench/results/latest.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { find } from '../test/programs.ts'
import { VERSION } from '../version.ts'
import type { RecordFigure } from './answers.ts'
import { createBench, type Scenario, type Settings } from './bench.ts'
import { type Options, readOptions, UsageError, usage } from './options.ts'
import { publish } from './publish.ts'
import { figuresOf, linesOf, type Report, tableOf } from './report.ts'
import { instances } from './scenarios/instances.ts'
import { overload } from './scenarios/overload.ts'
import { login, register } from './scenarios/passwords.ts'
import { purge } from './scenarios/purge.ts'
import { refresh } from './scenarios/refresh.ts'
import { me, verify } from './scenarios/requests.ts'
import { sizes } from './scenarios/sizes.ts'
import { start } from './scenarios/start.ts'
import { stormScenario } from './scenarios/storm.ts'
import { installTools, ROOT } from './tools.ts'

const SCENARIOS: Scenario[] = [
  ...[verify, me, login, refresh, register, stormScenario, overload, instances, start, purge, sizes],
]
/** The share of the cores that others may use without a warning. */
const QUIET = 0.1
const INTERRUPTED = new Error('Interrupted.')

try {
  const options = readOptions(process.argv.slice(2), SCENARIOS)
  if (options.help) process.stdout.write(usage(SCENARIOS, options))
  else await main(options)
} catch (error) {
  // What the scenario still awaits would keep the process alive.
  if (error === INTERRUPTED) process.exit(130)
  console.error(error instanceof UsageError ? `${error.message} See --help.` : error)
  process.exitCode = 1
}

async function main(options: Options): Promise<void> {
  installTools()
  const disturbed = await disturbance()
  if (disturbed > QUIET)
    console.log(`Other processes use ${percent(disturbed)} of the cores: these figures will say little.`)
  const values = new Map<string, number[]>()
  let complete = false
  try {
    complete = await measure(options, (figure, value) => values.set(figure, [...(values.get(figure) ?? []), value]))
  } finally {
    const report = writeReport(options, { ...about(options), disturbed: percent(disturbed) }, values)
    if (!complete) process.exitCode = 1
    else if (options.publish) publish(report, join(ROOT, 'docs'))
  }
}

/** Writes what was measured so far, all of it or not, and prints the table. */
function writeReport(options: Options, about: Report['about'], values: Map<string, number[]>): Report {
  const report: Report = { about, figures: figuresOf(values) }
  const output = resolve(ROOT, options.output)
  mkdirSync(dirname(output), { recursive: true })
  writeFileSync(output, `${JSON.stringify(report, null, 2)}\n`)
  console.log(`\n${tableOf(linesOf(report.figures))}\n\nAll figures, with their least and most: ${options.output}`)
  return report
}

/** What others use of all cores, from 0 to 1, as seen for a second. */
async function disturbance(): Promise<number> {
  const before = cpus()
  await pause(1000)
  const after = cpus()
  const spent = (kind: (times: ReturnType<typeof cpus>[number]['times']) => number) =>
    after.reduce((sum, { times }, index) => sum + kind(times) - kind(before[index]!.times), 0)
  const all = spent(({ user, nice, sys, idle, irq }) => user + nice + sys + idle + irq)
  return 1 - spent(({ idle }) => idle) / all
}

/**
 * Runs the scenarios one after the other, also after one that failed, and gives whether none did. Throws INTERRUPTED on
 * Ctrl-C, when all that was started has ended.
 */
async function measure(options: Options, record: RecordFigure): Promise<boolean> {
  const progress = createProgress(options)
  const bench = createBench(options, record, progress.say)
  let complete = true
  const interrupted = new Promise<never>((_, reject) => {
    const interrupt = () => reject(INTERRUPTED)
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  })
  // Between two scenarios nobody awaits it.
  interrupted.catch(() => {})
  try {
    for (const scenario of options.scenarios) {
      progress.begin(scenario)
      const missing = scenario.needs?.filter((program) => find(program) === undefined) ?? []
      if (missing.length > 0) {
        progress.say(`left out, not installed: ${missing.join(', ')}`)
        continue
      }
      try {
        await Promise.race([interrupted, scenario.run(bench)])
      } catch (error) {
        if (error === INTERRUPTED) throw error
        complete = false
        progress.say(`failed: ${(error as Error).message}`)
      }
      await bench.stopAll()
    }
    return complete
  } finally {
    await bench.close()
  }
}

/** A line a step: what is measured, and about how long all will take from here. */
function createProgress({ scenarios, ...settings }: Options) {
  let current = scenarios[0]!
  let begun = performance.now()
  const left = () => {
    const later = scenarios.slice(scenarios.indexOf(current) + 1)
    const rest = Math.max(0, current.estimate(settings) - (performance.now() - begun) / 1000)
    return later.reduce((sum, scenario) => sum + scenario.estimate(settings), rest)
  }
  return {
    begin(scenario: Scenario): void {
      current = scenario
      begun = performance.now()
      this.say(scenario.about)
    },
    say: (text: string): void => console.log(`${clock(left())} left  ${current.name}: ${text}`),
  }
}

function clock(seconds: number): string {
  return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function about({ seconds, rounds }: Settings): Report['about'] {
  return {
    latchkey: VERSION,
    measured: new Date().toISOString().slice(0, 10),
    node: process.versions.node,
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
    system: `${process.platform} ${process.arch}`,
    seconds,
    rounds,
  }
}
