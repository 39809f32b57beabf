#!/usr/bin/env node
/** The commands, their help and exit codes: 0 done, 1 failed, 2 not understood. */
import { migrate } from './commands/migrate.ts'
import { run, serve } from './server.ts'
import { VERSION } from './version.ts'

interface Command {
  summary: string
  run: () => Promise<void>
}

const COMMANDS: Record<string, Command> = {
  serve: { summary: 'run the service until SIGTERM or SIGINT', run: () => serve() },
  migrate: { summary: 'bring the database up to date, without serving', run: migrate },
}

const LIST = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}\n`)
const HELP = `Usage: latchkey COMMAND

${LIST.join('')}
  --help    this text, or that of a command
  --version the version

All settings come from the environment; README.md says which.
`

const [name = '--help', ...rest] = process.argv.slice(2)
const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined

if (name === '--help' || name === '-h') process.stdout.write(HELP)
else if (name === '--version') process.stdout.write(`${VERSION}\n`)
else if (command && rest.some((word) => word === '--help' || word === '-h'))
  process.stdout.write(`Usage: latchkey ${name}\n\n  ${command.summary}\n`)
else if (!command || rest.length > 0) {
  process.stderr.write(`latchkey: ${[name, ...rest].join(' ')} is not understood\n\n${HELP}`)
  process.exitCode = 2
} else await run(command.run)
