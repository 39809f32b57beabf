/** The process: builds the app, listens, and stops without losing what is under way. `latchkey serve` is this too. */
import { realpathSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { styleText } from 'node:util'
import { type App, buildApp } from './app.ts'
import { type Config, readConfig } from './config.ts'
import { dbOf } from './plugins/db/index.ts'
import { lifeOf } from './plugins/headers.ts'
import { isoOf, keysOf } from './plugins/keys/index.ts'
import { VERSION } from './version.ts'

/** What is under way gets so long after the signal. */
const DRAIN_MS = 10_000
/** Then its connections are cut, and what still holds the process, such as a database that does not answer, gets so long. */
const LAST_MS = 1000
/** npm and the terminal both pass the same signal on; one so soon after the first is the same one. */
const SAME_SIGNAL_MS = 1000

/** Runs the service until a signal stops it. Throws where it cannot start. */
export async function serve(config: Config = readConfig()): Promise<void> {
  let app: App | undefined
  stopOnSignals(() => app, config.SHUTDOWN_DELAY)
  app = await buildApp({ config })
  await listen(app, config)
  greet(app, config)
}

async function listen(app: App, { HOST: host, PORT: port }: Config): Promise<void> {
  const { level } = app.log
  // Fastify has a line of its own for each address; greet says it once.
  if (level === 'info') app.log.level = 'warn'
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const code = String((cause as NodeJS.ErrnoException).code)
    const advice = PORT_ADVICE[code] ?? HOST_ADVICE
    throw new Error(`Latchkey cannot listen on ${host}:${port} (${code}). ${advice}`, { cause })
  } finally {
    app.log.level = level
  }
}

/** What to do where a port cannot be had. */
const PORT_ADVICE: Record<string, string> = {
  EADDRINUSE: 'Something listens there already: stop it, or choose another port, as in PORT=3001.',
  EACCES: 'Ports below 1024 are for root: choose another one, as in PORT=3000.',
}
/** All else lies in the address. */
const HOST_ADVICE = 'HOST is no address of this machine: 127.0.0.1 is for this machine alone, 0.0.0.0 for all networks.'

/** Where it listens, which database, where to go on: for a person a few lines to read, for a log collector one. */
function greet(app: App, { DOCS, LOG_LEVEL }: Config): void {
  const address = app.listeningOrigin
  const rotation = isoOf(keysOf(app).set?.nextRotation())
  const about = {
    address,
    database: dbOf(app).name,
    ...(DOCS === 'on' && { docs: `${address}/docs` }),
    ...(rotation && { next_key_rotation: rotation }),
  }
  if (process.stdout.isTTY && LOG_LEVEL !== 'silent') process.stdout.write(welcome(about))
  else app.log.info(about, `Latchkey ${VERSION} listens on ${address}, on ${about.database}`)
  const warning = endOfLife(process.versions.node)
  if (warning) app.log.warn(warning)
}

/** The last line can be copied as it stands. */
function welcome(about: { address: string; database: string; docs?: string; next_key_rotation?: string }): string {
  const { address, database, docs, next_key_rotation } = about
  const body = '{"username":"ann","email":"ann@example.com","password":"correct horse battery"}'
  const lines = [
    ['Latchkey', `${VERSION}, on ${database}`],
    ['Address', address],
    ['Docs', docs],
    ['Keys', next_key_rotation && `the next one signs from ${next_key_rotation} on`],
    ['Try it', `curl ${address}/user/register -H 'Content-Type: application/json' -d '${body}'`],
  ]
  const shown = lines.filter(([, text]) => text !== undefined)
  return `\n${shown.map(([name, text]) => `  ${styleText('bold', String(name).padEnd(10))}${text}\n`).join('')}\n`
}

/** Node.js lines that get fixes on 24 November 2026: 22, 24 and 26. */
export function endOfLife(version: string): string | undefined {
  const major = Number(version.split('.')[0])
  if (major === 22 || major === 24 || major >= 26) return undefined
  return `Node.js ${version} is of a line that gets no security fixes any more; run Latchkey on 22, 24 or 26.`
}

/**
 * Also while the app is being built, which may wait for the database: then no request is under way yet. For `delay`
 * seconds it goes on serving, until whoever sends requests here has seen that it is not ready any more.
 */
function stopOnSignals(running: () => App | undefined, delay: number): void {
  let stopping = 0
  const stop = async (signal: string) => {
    if (stopping > 0) {
      if (Date.now() - stopping > SAME_SIGNAL_MS) process.exit(1)
      return undefined
    }
    stopping = Date.now()
    const app = running()
    if (!app) return process.exit(0)
    app.log.info(`${signal}: stopping`)
    lifeOf(app).stopping = true
    await pause(delay * 1000)
    setTimeout(() => app.server.closeAllConnections(), DRAIN_MS)
    setTimeout(() => process.exit(0), DRAIN_MS + LAST_MS)
    await app.close()
    return process.exit(0)
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
}

/** Runs a command of the process to its end; what stops it is one sentence and exit code 1. */
export async function run(command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(1)
  }
}

// By whatever path this file was started.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await run(serve)
