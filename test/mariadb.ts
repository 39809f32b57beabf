// A private MariaDB server for tests: own folder, own port, nothing shared with a server of the machine.
// Tests that need a silent or dead database start one of their own and pause or kill it.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import mysql from 'mysql2/promise'
import type { Test } from 'tap'
import { need, onPath } from './programs.ts'

export interface Mariadb {
  /** For a user with all privileges; names no database. */
  url: string
  port: number
  /** The server stays connected and says nothing more, as a hung machine does. */
  pause(): void
  resume(): void
  /** What a power cut does to the process. */
  kill(): Promise<void>
  /** Same data, same port. */
  restart(): Promise<void>
  stop(): Promise<void>
}

const READY_WITHIN = 30_000
const STOPPED_WITHIN = 10_000
/** From 11.4 on the server makes itself a certificate unless it is told otherwise. */
const WITHOUT_TLS = ['--skip-ssl']

/** `options` are the server's own, beside those that every server here has. */
export async function startMariadb(dir: string, options: string[] = WITHOUT_TLS): Promise<Mariadb> {
  const program = need('mariadb')
  const port = await freePort()
  const url = `mysql://latchkey:latchkey@127.0.0.1:${port}`
  await createData(dir)

  let server = await start(program, dir, port, url, options)
  const stop = () => end(server, 'SIGTERM')
  const kill = () => end(server, 'SIGKILL')
  const restart = async () => {
    await stop()
    server = await start(program, dir, port, url, options)
  }
  return {
    url,
    port,
    stop,
    kill,
    restart,
    pause: () => signal(server, 'SIGSTOP'),
    resume: () => signal(server, 'SIGCONT'),
  }
}

/** A server of one test's own, which it may pause and kill. Gone when the test ends. */
export async function ownMariadb(
  t: Test,
  options?: string[],
): Promise<Mariadb & { databaseUrl: () => Promise<string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-mariadb-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const mariadb = await startMariadb(folder, options)
  t.teardown(mariadb.stop)
  return { ...mariadb, databaseUrl: () => createDatabase(mariadb.url) }
}

/** A fresh database on this server. Never dropped: a DROP waits for whoever still holds a lock, and the server goes anyway. */
export async function createDatabase(serverUrl: string): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`
  const connection = await mysql.createConnection(serverUrl)
  await connection.query(`CREATE DATABASE ${name}`)
  await connection.end()
  return `${serverUrl}/${name}`
}

/** Options for set-up and run alike. The server refuses to run as root unless told to. */
function commonOptions(dir: string): string[] {
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  return [
    '--no-defaults',
    ...user,
    `--datadir=${join(dir, 'data')}`,
    // In the machine's own, two servers that are set up at the same time get in each other's way.
    `--tmpdir=${join(dir, 'tmp')}`,
    '--skip-name-resolve',
    '--innodb-log-file-size=16M',
  ]
}

/** Beside the server's other programs. */
const installer = () => onPath('mariadb-install-db', 'mysql_install_db')!

async function createData(dir: string): Promise<void> {
  await mkdir(join(dir, 'tmp'), { recursive: true })
  const options = [...commonOptions(dir), '--auth-root-authentication-method=normal', '--skip-test-db']
  await promisify(execFile)(installer(), options)
  await writeFile(
    join(dir, 'init.sql'),
    "CREATE USER IF NOT EXISTS latchkey@'%' IDENTIFIED BY 'latchkey';\nGRANT ALL ON *.* TO latchkey@'%' WITH GRANT OPTION;\n",
  )
}

async function start(program: string, dir: string, port: number, url: string, own: string[]): Promise<ChildProcess> {
  const options = [
    ...commonOptions(dir),
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    // Relative to the data folder: an absolute path may be longer than the 107 bytes that a socket's name can have.
    '--socket=server.sock',
    '--pid-file=server.pid',
    `--log-error=${join(dir, 'server.log')}`,
    `--init-file=${join(dir, 'init.sql')}`,
    '--max-connections=500',
    '--innodb-buffer-pool-size=64M',
    // Hostile on purpose: code that relies on the server's defaults for text or strictness fails here.
    '--character-set-server=latin1',
    '--collation-server=latin1_swedish_ci',
    '--sql-mode=',
    ...own,
  ]
  // Detached: Ctrl-C in a terminal is for the run, which then stops its server in order.
  const server = spawn(program, options, { stdio: 'ignore', detached: true })
  killWithUs(server)
  await ready(server, url, join(dir, 'server.log'))
  return server
}

/** A test run that is killed must leave no process behind: a shell waits for our end of its pipe to close. */
export function killWithUs(child: ChildProcess, group = false): void {
  const script = 'read -r _; kill -KILL "$0"'
  const target = String(group ? -child.pid! : child.pid)
  const watcher = spawn('sh', ['-c', script, target], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watcher.unref()
  const pipe = watcher.stdin as Socket
  pipe.unref()
  child.once('exit', () => watcher.kill('SIGKILL'))
}

async function ready(server: ChildProcess, url: string, log: string): Promise<void> {
  const deadline = Date.now() + READY_WITHIN
  while (!(await answers(url))) {
    if (hasEnded(server) || Date.now() > deadline) {
      await end(server, 'SIGKILL')
      throw new Error(
        `The MariaDB server did not start:\n${await readFile(log, 'utf8').catch(() => 'it wrote no log')}`,
      )
    }
    await sleep(20)
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const connection = await mysql.createConnection({ uri: url, connectTimeout: 1_000 })
    await connection.end()
    return true
  } catch {
    return false
  }
}

function hasEnded(server: ChildProcess): boolean {
  return server.exitCode !== null || server.signalCode !== null
}

function signal(server: ChildProcess, name: NodeJS.Signals): void {
  server.kill(name)
}

async function end(server: ChildProcess, name: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (hasEnded(server)) return
  const exit = once(server, 'exit')
  server.kill(name)
  // A paused process sees no other signal until it runs again.
  server.kill('SIGCONT')
  const timer = setTimeout(() => server.kill('SIGKILL'), STOPPED_WITHIN)
  await exit
  clearTimeout(timer)
}

/**
 * Below the range that systems give to outgoing connections: there, a client that keeps asking for the port of a dead
 * server can be given that very port for its own end, and so connects to itself.
 */
export async function freePort(): Promise<number> {
  const port = randomInt(10_000, 32_000)
  return (await isFree(port)) ? port : freePort()
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  try {
    await once(probe.listen(port, '127.0.0.1'), 'listening')
    return true
  } catch {
    return false
  } finally {
    probe.close()
  }
}
