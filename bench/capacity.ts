/** The table of docs/capacity.md: what so many people need, reckoned from what a run measured. */
import { aligned, bySize, type Report } from './report.ts'

/** What somebody expects: `peak` is the share of a day's logins that comes in its busiest hour. */
export interface Demand {
  people: number
  logins: number
  peak: number
}

export interface Needs {
  /** Logins a second in the busiest hour. */
  rate: number
  /** At these costs of bcrypt. */
  cores: Record<10 | 12, number>
  /** Of two cores each, at cost 12. */
  instances: number
  /** Of the cores, in 30 days, at cost 12. */
  hours: number
  /** The database, with one session a person. */
  gigabytes: number
}

const EXAMPLES: Demand[] = [
  { people: 10_000, logins: 2000, peak: 0.2 },
  { people: 100_000, logins: 20_000, peak: 0.2 },
  { people: 1_000_000, logins: 200_000, peak: 0.2 },
  { people: 10_000_000, logins: 2_000_000, peak: 0.2 },
]

const HEAD = [
  ...['people', 'logins a day', 'a second, at the peak', 'cores, cost 10', 'cores, cost 12', 'instances'],
  ...['core-hours a month', 'database, GB'],
]

/** The part of what the cores can hash that is planned for: at the limit itself everybody waits. */
const PLANNED = 0.7
/** As it was measured. */
const CORES_AN_INSTANCE = 2
/** One may be stopped, or fail. */
const LEAST_INSTANCES = 2
/** Each step of bcrypt's cost doubles its work. */
const SLOWER = { 10: 1, 12: 4 }

/** What was measured: logins a second of a core at cost 10, and bytes of a person with a session, both on MariaDB. */
export interface Measured {
  loginsACore: number
  bytesAPerson: number
}

/** Undefined where the run had no MariaDB, or left out what is needed. */
export function measuredBy({ about, figures }: Report): Measured | undefined {
  const logins = figures['login/mariadb/rate']
  const largest = bySize(figures, 'mariadb', 'megabytes').toSorted((a, b) => b.people - a.people)[0]
  if (!logins || !largest) return undefined
  return { loginsACore: logins.median / Number(about.cores), bytesAPerson: (largest.value * 1e6) / largest.people }
}

/** Whole cores and instances, rounded up. */
export function needsOf({ people, logins, peak }: Demand, { loginsACore, bytesAPerson }: Measured): Needs {
  const rate = (logins * peak) / 3600
  const coresAt = (cost: 10 | 12) => Math.ceil((rate * SLOWER[cost]) / (loginsACore * PLANNED))
  return {
    rate,
    cores: { 10: coresAt(10), 12: coresAt(12) },
    instances: Math.max(LEAST_INSTANCES, Math.ceil(coresAt(12) / CORES_AN_INSTANCE)),
    hours: (logins * 30 * SLOWER[12]) / loginsACore / 3600,
    gigabytes: (people * bytesAPerson) / 1e9,
  }
}

/** The table, with what it is reckoned from. */
export function capacityTable(report: Report): string | undefined {
  const measured = measuredBy(report)
  if (!measured) return undefined
  const { loginsACore, bytesAPerson } = measured
  const rows = EXAMPLES.map((demand) => {
    const { rate, cores, instances, hours, gigabytes } = needsOf(demand, measured)
    return [demand.people, demand.logins, rate, cores[10], cores[12], instances, hours, gigabytes].map(shown)
  })
  return `Reckoned from the run of [performance.md](performance.md): one core logs in ${shown(loginsACore)} people a second at cost 10
and a quarter of that at cost 12, and a person with one session takes ${Math.round(bytesAPerson)} bytes in MariaDB.

${aligned([HEAD, ...rows])}`
}

const shown = (value: number) => Number(value.toPrecision(value < 10_000 ? 3 : 9)).toLocaleString('en-US')
