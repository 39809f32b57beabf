/** The process: builds the app, listens, and stops without losing what is under way. `latchkey serve` is this too. */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type App, buildApp } from './app.ts'
import { type Config, readConfig } from './config.ts'
import { dbOf } from './plugins/db/index.ts'

/** What is under way gets so long after the signal. */
const DRAIN_MS = 10_000
/** Then its connections are cut, and what still holds the process, such as a database that does not answer, gets so long. */
const LAST_MS = 1000
/** npm and the terminal both pass the same signal on; one so soon after the first is the same one. */
const SAME_SIGNAL_MS = 1000

/** Runs the service until a signal stops it. Throws where it cannot start. */
export async function serve(config: Config = readConfig()): Promise<void> {
  let app: App | undefined
  stopOnSignals(() => app)
  app = await buildApp({ config })
  await listen(app, config)
  greet(app)
}

async function listen(app: App, { HOST: host, PORT: port }: Config): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new Error(`Latchkey cannot listen on ${host}:${port} (${code}). Does something else listen there?`, { cause })
  }
}

/** Where it listens, which database, where to go on: one line. */
function greet(app: App): void {
  const address = app.listeningOrigin
  const about = { address, database: dbOf(app).name, docs: `${address}/docs` }
  app.log.info(about, `Latchkey listens on ${address}, on ${about.database}; try it at ${about.docs}`)
  const warning = endOfLife(process.versions.node)
  if (warning) app.log.warn(warning)
}

/** Node.js lines that get fixes on 24 November 2026: 22, 24 and 26. */
export function endOfLife(version: string): string | undefined {
  const major = Number(version.split('.')[0])
  if (major === 22 || major === 24 || major >= 26) return undefined
  return `Node.js ${version} is of a line that gets no security fixes any more; run Latchkey on 22, 24 or 26.`
}

/** Also while the app is being built, which may wait for the database: then no request is under way yet. */
function stopOnSignals(running: () => App | undefined): void {
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
