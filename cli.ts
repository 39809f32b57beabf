#!/usr/bin/env node
/** The commands, their help and exit codes: 0 done, 1 failed, 2 not understood. */
import { Command, type CommanderError } from 'commander'
import { migrate } from './commands/migrate.ts'
import { run, serve } from './server.ts'
import { VERSION } from './version.ts'

const latchkey = new Command('latchkey')
  .description('Passwords and tokens for the services behind one gateway.')
  .version(VERSION, '--version', 'show the version')
  .helpOption('-h, --help', 'show this text, or that of a command')
  .helpCommand(false)
  // Inherited by the commands below. Without it commander would end the process itself, with 1 for everything.
  .exitOverride()

const examples = (...lines: string[]) => `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`

latchkey.addHelpText(
  'after',
  `${examples('latchkey serve', 'latchkey migrate --help')}
All settings come from the environment: see docs/settings.md.
Exit codes: 0 done, 1 failed (the message says why), 2 not understood.`,
)

latchkey
  .command('serve')
  .summary('run the service')
  .description('Runs the service until SIGTERM or SIGINT. Brings the database up to date first.')
  .addHelpText('after', examples('latchkey serve', 'PORT=8080 DATABASE_URL=sqlite:people.db latchkey serve'))
  .action(() => run(serve))

latchkey
  .command('migrate')
  .summary('bring the database up to date, without serving')
  .description('Brings the database up to date and makes what the first start would make. May run while others serve.')
  .addHelpText(
    'after',
    examples(
      'latchkey migrate',
      'DATABASE_URL=mysql://latchkey:PASSWORD@db:3306/latchkey SECRET=… ISSUER=https://auth.example.com latchkey migrate',
    ),
  )
  .action(() => run(migrate))

try {
  if (process.argv.length <= 2) latchkey.outputHelp()
  else await latchkey.parseAsync()
} catch (error) {
  // It has said what is wrong already, and what was meant instead where something is near.
  process.exitCode = (error as CommanderError).exitCode === 0 ? 0 : 2
}
