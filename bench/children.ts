/** Processes of the benchmark: services, and those that put load on them. */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Settings } from '../schemas/config.ts'
import { freePort, killWithUs } from '../test/mariadb.ts'
import { ROOT } from './tools.ts'

const READY_WITHIN_MS = 60_000
const STOPPED_WITHIN_MS = 15_000

export interface Service {
  origin: string
  port: number
  /** More than one where several processes answer behind one origin. */
  pids: number[]
  /** Milliseconds from the start of the process to its first answer. */
  startedIn: number
  stop(): Promise<void>
}

/** This process's environment without the settings that somebody may have set here: the shipped defaults are measured. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const names = new Set(Object.keys(Settings.properties).flatMap((name) => [name, `${name}_FILE`]))
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !names.has(name)))
}

/** The arguments of node by which `npm start` starts the service. */
export function startArguments(): string[] {
  const { start } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts
  return start.split(' node ')[1].split(' ')
}

/** Starts a program by node with these arguments, and waits until it answers `path` on PORT. What it prints goes to a file in `folder`. */
export async function startService(
  args: string[],
  path: string,
  folder: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Service> {
  const port = await freePort()
  const log = join(folder, `${port}.log`)
  const output = openSync(log, 'a')
  const begun = performance.now()
  const program = args.at(-1)!
  const child = spawn(process.execPath, [...args.slice(0, -1), join(ROOT, program)], {
    cwd: folder,
    env: { ...plainEnvironment(), NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), ...env },
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  killWithUs(child)
  const origin = `http://127.0.0.1:${port}`
  while (!(await answers(origin + path))) {
    if (child.exitCode !== null || performance.now() - begun > READY_WITHIN_MS)
      throw new Error(`${program} did not start:\n${readFileSync(log, 'utf8')}`)
    await pause(2)
  }
  return { origin, port, pids: [child.pid!], startedIn: performance.now() - begun, stop: () => stop(child) }
}

/** Any answer is one. */
const answers = (url: string) =>
  fetch(url).then(
    async (answer) => {
      await answer.arrayBuffer()
      return answer.status < 500
    },
    () => false,
  )

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS)
  await ended
  clearTimeout(timer)
}

/**
 * Runs one of bench/load/ with this load, and gives what it found. `begun` is called when its measured time begins.
 * Throws where it ends without.
 */
export async function runLoad<Result>(program: string, load: object, begun: () => void = () => {}): Promise<Result> {
  const child = fork(join(ROOT, 'dist/bench/load', `${program}.js`))
  killWithUs(child)
  child.send(load)
  return new Promise((resolve, reject) => {
    child.on('message', (message) => (message === 'begun' ? begun() : resolve(message as Result)))
    child.once('exit', () => reject(new Error(`The load ${program} ended without a result.`)))
  })
}

/** Seconds of CPU that these processes have used with all their threads; undefined where the system has no /proc. */
export function cpuOf(pids: number[]): number | undefined {
  const each = pids.map(cpuOfOne).filter((seconds) => seconds !== undefined)
  return each.length < pids.length ? undefined : each.reduce((sum, seconds) => sum + seconds, 0)
}

function cpuOfOne(pid: number): number | undefined {
  // After the name, which may hold anything: the state is field 3, utime and stime are 14 and 15.
  const fields = read(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ')
  return fields && (Number(fields[11]) + Number(fields[12])) / TICKS
}
/** Of the kernel's clock a second, on every Linux that Node.js runs on. */
const TICKS = 100

/** Resident memory in MB of the service, which is one process; undefined where the system has no /proc. */
export function memoryOf({ pids: [pid] }: Service): number | undefined {
  const kibibytes = /^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  return kibibytes === undefined ? undefined : (Number(kibibytes) * 1024) / 1e6
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
