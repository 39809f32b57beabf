/**
 * SQLite, the embedded default: one synchronous connection. A lock that another process holds (a command that writes)
 * is waited for in short tries, one for all, so that the event loop goes on.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as immediately, setTimeout as pause } from 'node:timers/promises'
import { Failure, fail } from '../../schemas/errors.ts'
import { type Engine, type Statement, type Types, UniqueViolation, type Value } from './engine.ts'
import { type Connection, faultOf, openConnection, type Prepared } from './sqlite-driver.ts'
import { spend } from './waiting.ts'

/** SQLite compares TEXT byte by byte, trailing spaces included. The names must have TEXT affinity: VARBINARY would turn '123' into a number. */
const types: Types = { id: 'TEXT', canonical: 'TEXT', text: () => 'TEXT', long: 'TEXT' }

/** So many writes share a transaction at the most: the event loop stands still for it. */
const TOGETHER = 64

interface Options {
  maxWaitMs: number
  /** Refuses a second holder of the same file. */
  exclusive: boolean
}

/** Opens the file, and makes it and its folder where they are missing. Throws an Error with a sentence for people. */
export function openSqlite(file: string, { maxWaitMs, exclusive }: Options): Engine {
  // It holds e-mail addresses and hashes; the journals beside it take its mode.
  openable(file, () => closeSync(openSync(file, 'a', 0o600)))
  const lock = exclusive ? hold(file) : undefined
  const connection = openable(file, () => connect(file))
  const prepared = new Map<string, Prepared>()

  function prepare(sql: string): Prepared {
    const statement = prepared.get(sql) ?? connection.prepare(sql)
    prepared.set(sql, statement)
    return statement
  }

  const attempt = <T>(work: () => T) => spend(maxWaitMs, (left) => untilUnlocked(work, performance.now() + left))

  const write = createWriter(connection, prepare, maxWaitMs)

  return {
    types,
    name: `SQLite ${file}`,
    maxWaitMs,
    all: <Row>(sql: string, values: Value[] = []) => attempt(() => prepare(sql).all(values) as Row[]),
    first: <Row>(sql: string, values: Value[]) => attempt(() => prepare(sql).get(values) as Row | undefined),
    run: async (sql, values = []) => (await write([{ sql, values }]))![0]!,
    batch: write,
    define: (sql) => attempt(() => define(connection, sql)),
    clock: async () => Date.now(),
    close: async () => {
      checkpoint(connection)
      connection.close()
      lock?.close()
    },
  }
}

/** Runs what opens the file. Throws a sentence where it is none of ours or nobody may. */
function openable<T>(file: string, open: () => T): T {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    return open()
  } catch (cause) {
    throw new Error(`The database file ${file} cannot be opened: ${(cause as Error).message}`, { cause })
  }
}

function connect(file: string): Connection {
  const connection = openConnection(file)
  // Nobody else waits yet, and two that open a new file at once meet here.
  connection.exec('PRAGMA busy_timeout = 5000')
  connection.exec('PRAGMA journal_mode = WAL')
  connection.exec('PRAGMA synchronous = FULL')
  connection.exec('PRAGMA foreign_keys = ON')
  // From now on short, since it stops the event loop; untilUnlocked goes on from there.
  connection.exec('PRAGMA busy_timeout = 2')
  return connection
}

/** A second SQLite file, held exclusively: unlike a pid file it is free at once after kill -9. */
function hold(file: string): Connection {
  const lock = openable(file, () => openConnection(`${file}.lock`))
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (cause) {
    lock.close()
    throw new Error(
      `Another Latchkey serves ${file} already. One file takes one; several instances share a MySQL or MariaDB.`,
      { cause },
    )
  }
}

interface Write {
  statements: Statement[]
  /** By performance.now(). */
  end: number
  settle: (error: unknown, counts?: number[]) => void
}

/**
 * Writes that come in one turn of the event loop, or while another process holds the lock, share a transaction: it is the
 * disk that a write waits for, and it answers twenty as soon as one. Each of them is undone by itself.
 */
function createWriter(connection: Connection, prepare: (sql: string) => Prepared, maxWaitMs: number) {
  let waiting: Write[] = []
  let writing = false

  function runAll(statements: Statement[]): number[] | undefined {
    const counts: number[] = []
    for (const { sql, values, expect } of statements) {
      const { changes } = prepare(sql).run(values)
      if (expect !== undefined && changes !== expect) return undefined
      counts.push(changes)
    }
    return counts
  }

  /** One of those that share a transaction. Gives what is to be told once it is committed. */
  function runOne({ statements, settle }: Write): () => void {
    connection.exec('SAVEPOINT one')
    let counts: number[] | undefined
    let fault: unknown
    try {
      counts = runAll(statements)
    } catch (error) {
      fault = meaningOf(error)
      if (fault instanceof Failure) throw error
    }
    connection.exec(counts ? 'RELEASE one' : 'ROLLBACK TO one; RELEASE one')
    return () => settle(fault, counts)
  }

  /** Only BEGIN may meet a lock: libsql does not reset a statement that met one. (node:sqlite does, and would not need that.) */
  function transaction(writes: Write[]): (() => void)[] {
    connection.exec('BEGIN IMMEDIATE')
    let open = true
    try {
      const settled = writes.map(runOne)
      connection.exec('COMMIT')
      open = false
      return settled
    } finally {
      if (open) rollBack(connection)
    }
  }

  /** Gives false where the lock is another's. */
  function writeSome(writes: Write[]): boolean {
    try {
      for (const settle of transaction(writes)) settle()
    } catch (error) {
      if (faultOf(error) === 'busy') return false
      for (const { settle } of writes) settle(meaningOf(error))
    }
    return true
  }

  async function writeAll(): Promise<void> {
    writing = true
    while (waiting.length > 0) {
      // What else comes in this turn goes along; and between two transactions the event loop goes on.
      await immediately()
      const time = performance.now()
      for (const { end, settle } of waiting) if (time > end) settle(new Failure('UNAVAILABLE'))
      waiting = waiting.filter(({ end }) => time <= end)
      const writes = waiting.slice(0, TOGETHER)
      if (writeSome(writes)) waiting = waiting.slice(TOGETHER)
      else await pause(10)
    }
    writing = false
  }

  return (statements: Statement[]): Promise<number[] | undefined> =>
    spend(
      maxWaitMs,
      (left) =>
        new Promise((resolve, reject) => {
          const settle: Write['settle'] = (error, counts) => (error ? reject(error) : resolve(counts))
          waiting.push({ statements, end: performance.now() + left, settle })
          if (!writing) void writeAll()
        }),
    )
}

/** What an error of SQLite is to the rest of the house. */
function meaningOf(error: unknown): unknown {
  const fault = faultOf(error)
  if (fault === 'unique') return new UniqueViolation()
  return fault === 'away' ? new Failure('UNAVAILABLE', { cause: error }) : error
}

/** Tries until `end`, by performance.now(); exported for the faults that only a test can bring about. */
export async function untilUnlocked<T>(work: () => T, end: number): Promise<T> {
  for (;;) {
    if (performance.now() > end) fail('UNAVAILABLE')
    try {
      return work()
    } catch (error) {
      if (faultOf(error) !== 'busy') throw meaningOf(error)
    }
    await pause(10)
  }
}

function rollBack(connection: Connection): void {
  try {
    connection.exec('ROLLBACK')
  } catch (error) {
    // SQLite has done it by itself, as it does where the disk is full.
    /* c8 ignore next -- any other error would be one of SQLite itself; silent, it would leave the transaction open */
    if (!/no transaction/.test((error as Error).message)) throw error
  }
}

/** So that a copy of the one file is a whole backup; where a command is writing, the journal does as well. */
function checkpoint(connection: Connection): void {
  try {
    connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    /* c8 ignore next 3 -- a lock is told in a row, so that only a disk that fails gets here; the next opening reads the
       journal */
  } catch {}
}

function define(connection: Connection, sql: string): void {
  try {
    connection.exec(sql)
  } catch (error) {
    if (!/already exists|duplicate column name/.test((error as Error).message)) throw error
  }
}
