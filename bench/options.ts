/** The command line of the benchmark. */
import { parseArgs } from 'node:util'
import type { Scenario, Settings } from './bench.ts'

export interface Options extends Settings {
  scenarios: Scenario[]
  publish: boolean
  /** The file for the figures. */
  output: string
  help: boolean
}

/** What stands wrong on the command line, as a sentence. */
export class UsageError extends Error {}

const DEFAULTS = { duration: '4', rounds: '3', people: '10000000', output: 'bench/results/latest.json' }

/** Reads the arguments. Throws UsageError. */
export function readOptions(args: string[], all: Scenario[]): Options {
  const { values, positionals } = parse(args)
  const scenarios = positionals.map((name) => named(name, all))
  if (values.publish && scenarios.length > 0)
    throw new UsageError(
      '--publish writes the figures of docs/performance.md: it goes with all scenarios, so name none.',
    )
  return {
    scenarios: scenarios.length > 0 ? scenarios : all,
    seconds: whole('duration', values.duration, 1, 600),
    rounds: whole('rounds', values.rounds, 1, 100),
    people: whole('people', values.people, 1000, 10_000_000),
    publish: values.publish,
    output: values.output,
    help: values.help,
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        duration: { type: 'string', default: DEFAULTS.duration },
        rounds: { type: 'string', default: DEFAULTS.rounds },
        people: { type: 'string', default: DEFAULTS.people },
        output: { type: 'string', default: DEFAULTS.output },
        publish: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    // What follows its first sentence is advice for another case.
    throw new UsageError(`${(error as Error).message.split(/\. |\n/)[0]}.`)
  }
}

function named(name: string, all: Scenario[]): Scenario {
  const scenario = all.find((one) => one.name === name)
  if (!scenario)
    throw new UsageError(`There is no scenario ${name}. There are ${all.map((one) => one.name).join(', ')}.`)
  return scenario
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least || value > most)
    throw new UsageError(`--${name} is ${text}; it must be a whole number from ${least} to ${most}.`)
  return value
}

/** The help, with what a run of these options would take. */
export function usage(all: Scenario[], { scenarios, ...settings }: Options): string {
  const seconds = scenarios.reduce((sum, scenario) => sum + scenario.estimate(settings), 0)
  const bytes = Math.max(...scenarios.map((scenario) => scenario.space?.(settings) ?? 0))
  return `Usage: npm run bench -- [scenario …] [options]

Measures the built service on this machine beside bare Fastify and a plain Express service, and prints a table.
With these options it takes about ${Math.ceil(seconds / 60)} minutes, and for the while up to ${Math.ceil(bytes / 1e9)} GB of disk under bench/results/.

Options:
  --duration SECONDS   of one measurement at the least (${DEFAULTS.duration})
  --rounds N           of each measurement, one service after the other (${DEFAULTS.rounds})
  --people N           the most people in sizes (${DEFAULTS.people})
  --output FILE        for all figures, as JSON (${DEFAULTS.output})
  --publish            also writes docs/performance.md and its charts
  --help

Scenarios (all, if none is named):
${all.map(({ name, about }) => `  ${name.padEnd(11)}${about}`).join('\n')}
`
}
