#!/usr/bin/env node
/** The commands, their help and exit codes: 0 done, 1 failed, 2 not understood. */
import { Command, type CommanderError } from 'commander'
import { VERSION } from './version.ts'

// What a command needs is loaded when it runs: help and version are there at once.
const keyCommands = () => import('./commands/keys.ts')

/** Runs a command to its end. */
async function run(command: () => Promise<void>): Promise<void> {
  await (await import('./server.ts')).run(command)
}

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
  `${examples('latchkey serve', 'latchkey keys list', 'latchkey migrate --help')}
All settings come from the environment: see docs/settings.md.
Exit codes: 0 done, 1 failed (the message says why), 2 not understood.`,
)

latchkey
  .command('serve')
  .summary('run the service')
  .description('Runs the service until SIGTERM or SIGINT. Brings the database up to date first.')
  .addHelpText('after', examples('latchkey serve', 'PORT=8080 DATABASE_URL=sqlite:people.db latchkey serve'))
  .action(() => run(async () => (await import('./server.ts')).serve()))

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
  .action(() => run(async () => (await import('./commands/migrate.ts')).migrate()))

const keys = latchkey
  .command('keys')
  .summary('show and change the signing keys')
  .description('Shows and changes the signing keys. May run while others serve; docs/keys.md says when to do what.')
  .addHelpText('after', examples('latchkey keys list', 'latchkey keys rotate', 'latchkey keys rotate --help'))
  .helpCommand(false)

keys
  .command('list')
  .summary('show every key and what it does')
  .description('Shows every key: next (published, waits), appointed (will sign), signing, retired (signs no more).')
  .option('--json', 'as JSON')
  .addHelpText('after', examples('latchkey keys list', 'latchkey keys list --json'))
  .action((options) => run(async () => (await keyCommands()).listKeys(options)))

keys
  .command('rotate')
  .summary('let the next key sign')
  .description('Lets the next key sign, as soon as nobody can hold a list without it, and makes another next one.')
  .addHelpText('after', examples('latchkey keys rotate'))
  .action(() => run(async () => (await keyCommands()).rotateKeys()))

keys
  .command('revoke')
  .summary('take a key out of use at once, since it is compromised')
  .description(
    'Takes a key out of use at once: its tokens are refused, and people log in anew or their clients refresh. Services that check by themselves refuse them when their copy of the list is renewed.',
  )
  .argument('<kid>', 'the id of the key, as latchkey keys list shows it')
  .addHelpText('after', examples('latchkey keys revoke iY6VHfkWKfhWkSyaVDzIa1z2ymXAA0OmmZSkZFjLNOM'))
  .action((kid) => run(async () => (await keyCommands()).revokeKey(kid)))

keys
  .command('reseal')
  .summary('seal all keys under the first entry of SECRET')
  .description('Seals all keys under the first entry of SECRET: the third of four steps that change it.')
  .addHelpText('after', examples('SECRET=new,old latchkey keys reseal'))
  .action(() => run(async () => (await keyCommands()).resealKeys()))

keys
  .command('export')
  .summary('print the public keys')
  .description('Prints the public keys that are published now, as a JWK set.')
  .option('--pem', 'as PEM, one after the other')
  .option('--dir <dir>', 'as PEM into files KID.pem of this folder; files of keys that have gone are removed')
  .addHelpText(
    'after',
    examples('latchkey keys export', 'latchkey keys export --pem', 'latchkey keys export --dir /etc/haproxy/latchkey'),
  )
  .action((options) => run(async () => (await keyCommands()).exportKeys(options)))

try {
  if (process.argv.length <= 2) latchkey.outputHelp()
  else await latchkey.parseAsync()
} catch (error) {
  // It has said what is wrong already, and what was meant instead where something is near.
  process.exitCode = (error as CommanderError).exitCode === 0 ? 0 : 2
}
