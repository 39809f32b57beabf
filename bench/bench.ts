/** What a scenario works with: services and databases that end with it, loads that are recorded as figures, its progress. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { cpus } from '../config.ts'
import { createDatabase, type Mariadb, startMariadb } from '../test/mariadb.ts'
import { startNginx } from '../test/nginx.ts'
import { find, type Program } from '../test/programs.ts'
import { expectStatuses, type RecordFigure, recordAnswers } from './answers.ts'
import { cpuOf, memoryOf, plainEnvironment, runLoad, type Service, startArguments, startService } from './children.ts'
import type { HashLoad } from './load/hashes.ts'
import type { ClosedLoad, Measured, OpenLoad, Request } from './load/recorder.ts'
import { COST, login, PEOPLE, someOf } from './people.ts'
import { seed } from './seed.ts'
import { ROOT } from './tools.ts'

export type Engine = 'sqlite' | 'mariadb'

export interface Settings {
  /** Of one measurement, at the least. */
  seconds: number
  rounds: number
  /** The most people in `sizes`. */
  people: number
}

export interface Scenario {
  name: string
  /** For --help: one line. */
  about: string
  /** Programs without which it is left out. */
  needs?: Program[]
  /** About how long it takes, in seconds. */
  estimate(settings: Settings): number
  /** Bytes of disk that it takes at the most, where they are many. */
  space?(settings: Settings): number
  run(bench: Bench): Promise<void>
}

export interface Tokens {
  access_token: string
  refresh_token: string
}

/** The load has to run before what is measured: connections, a compiler that warms up, caches. */
const WARM_UP = 1
/** Larger than the tests' server has it, which makes do with 64 MB and logs of 16. */
const MARIADB = ['--skip-ssl', '--innodb-buffer-pool-size=1G', '--innodb-log-file-size=512M']
/** git ignores it. */
const RESULTS = join(ROOT, 'bench/results')
/** More would wait for a core. */
const OPENS_AT_ONCE = 4

/** Those that are here: MariaDB needs its server installed. */
const ENGINES: Engine[] = find('mariadb') ? ['sqlite', 'mariadb'] : ['sqlite']

export type Bench = ReturnType<typeof createBench>

/** `record` gets one value of a figure, `say` a line of progress. */
export function createBench(settings: Settings, record: RecordFigure, say: (text: string) => void) {
  mkdirSync(RESULTS, { recursive: true })
  // Not in the system's temporary folder, which may lie in memory: ten million people take gigabytes.
  const folder = mkdtempSync(join(RESULTS, 'run-'))
  const services = new Set<Service>()
  let mariadb: Promise<Mariadb> | undefined
  let made = 0
  const endings: (() => unknown)[] = []

  function started(service: Service): Service {
    services.add(service)
    return service
  }

  async function emptyDatabase(engine: Engine): Promise<string> {
    if (engine === 'sqlite') return `sqlite:${join(folder, `${++made}.db`)}`
    mariadb ??= startMariadb(join(folder, 'mariadb'), MARIADB)
    return createDatabase((await mariadb).url)
  }

  return {
    ...settings,
    record,
    say,
    folder,
    engines: ENGINES,

    /** A database with so many people. */
    async database(engine: Engine, people = PEOPLE): Promise<string> {
      const url = await emptyDatabase(engine)
      const env = { ...plainEnvironment(), ...latchkeySettings(url) }
      await promisify(execFile)(process.execPath, [join(ROOT, 'dist/cli.js'), 'migrate'], { cwd: folder, env })
      await seed(url, people)
      return url
    },

    /** Latchkey as it is shipped, with its defaults but for these settings. */
    latchkey: async (databaseUrl: string, env: NodeJS.ProcessEnv = {}) =>
      started(
        await startService(startArguments(), '/health/ready', folder, { ...latchkeySettings(databaseUrl), ...env }),
      ),

    /** One on each engine, each with a database of its own. */
    async latchkeys(env: NodeJS.ProcessEnv = {}, engines = ENGINES): Promise<Record<string, Service>> {
      const each: Record<string, Service> = {}
      for (const engine of engines) each[engine] = await this.latchkey(await this.database(engine), env)
      return each
    },

    fastify: async () => started(await startService(['dist/bench/services/fastify.js'], '/auth/verify', folder)),

    express: async () =>
      started(
        await startService(['dist/bench/services/express.js'], '/auth/verify', folder, {
          PEOPLE: String(PEOPLE),
          BCRYPT_COST: String(COST),
        }),
      ),

    /** nginx as it is shipped, in front of the instances on these ports. */
    nginx: (ports: number[]) => startNginx({ teardown: (ending: () => unknown) => void endings.push(ending) }, ports),

    /** Logs in that many different people, at random out of `people`, and gives their tokens. */
    async logIn({ origin }: Service, count: number, people = PEOPLE): Promise<Tokens[]> {
      const numbers = someOf(people, count)
      const tokens: Tokens[] = []
      const one = async () => {
        for (let number = numbers.pop(); number !== undefined; number = numbers.pop())
          tokens.push(await logInOne(origin, number))
      }
      await Promise.all(Array.from({ length: OPENS_AT_ONCE }, one))
      return tokens
    },

    /**
     * Puts a load on a service and records its figures under `name`: rate, p50, p99, slowest, CPU a request in
     * microseconds and share of a core. They are of the first of these statuses; of the others, which a busy machine may
     * see, only the number. Throws where an answer has yet another.
     */
    async load(
      name: string,
      service: Service,
      load: Omit<ClosedLoad, 'origin' | 'warmUp' | 'seconds'> & { seconds?: number },
      statuses = [200],
    ): Promise<Measured> {
      let before = cpuOf(service.pids)
      const options: ClosedLoad = { seconds: settings.seconds, ...load, origin: service.origin, warmUp: WARM_UP }
      const measured = await runLoad<Measured>('closed', options, () => {
        before = cpuOf(service.pids)
      })
      const after = cpuOf(service.pids)
      expectStatuses(name, measured, statuses)
      recordAnswers(record, name, measured, statuses[0]!)
      const count = Object.values(measured.answers).reduce((sum, answers) => sum + answers.count, 0)
      if (before !== undefined && after !== undefined && count > 0) {
        record(`${name}/cpu`, ((after - before) * 1e6) / count)
        record(`${name}/cores`, (after - before) / measured.seconds)
      }
      return measured
    },

    /** Requests at an even rate, without a record of their own. */
    arrivals: (
      { origin }: Service,
      rate: number,
      requests: Request[],
      { seconds = settings.seconds, warmUp = WARM_UP } = {},
    ) => runLoad<Measured>('open', { origin, rate, requests, seconds, warmUp } satisfies OpenLoad),

    /** Remembers the resident memory of a service, where the system tells it. */
    recordMemory(name: string, service: Service): void {
      const memory = memoryOf(service)
      if (memory !== undefined) record(name, memory)
    },

    /** Hashes a second of all cores, and nothing else; at the lowest priority where others are to go before them. */
    async hashes(name: string, seconds: number, priority = 0): Promise<number> {
      const load: HashLoad = { threads: cpus(), cost: COST, seconds, priority }
      const rate = await runLoad<number>('hashes', load)
      record(`${name}/rate`, rate)
      return rate
    },

    /** Stops the services that a scenario started. */
    async stopAll(): Promise<void> {
      for (const ending of endings.splice(0)) await ending()
      await Promise.all([...services].map((service) => service.stop()))
      services.clear()
    },

    async close(): Promise<void> {
      try {
        await this.stopAll()
        await (await mariadb)?.stop()
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    },
  }
}

function latchkeySettings(databaseUrl: string): NodeJS.ProcessEnv {
  const mysql = { SECRET: 'the secret of a benchmark: thirty-two bytes or more', ISSUER: 'https://auth.example.com' }
  return { DATABASE_URL: databaseUrl, BCRYPT_COST: String(COST), ...(databaseUrl.startsWith('mysql:') && mysql) }
}

async function logInOne(origin: string, number: number): Promise<Tokens> {
  const { method, path, headers, body } = login(number)
  const answer = await fetch(origin + path, { method, headers, body: body! })
  if (answer.status === 200) return (await answer.json()) as Tokens
  const text = await answer.text()
  if (answer.status !== 503) throw new Error(`A login was answered ${answer.status}: ${text}`)
  // A busy machine, or the end of an overload.
  await pause(Number(answer.headers.get('retry-after')) * 1000)
  return logInOne(origin, number)
}
