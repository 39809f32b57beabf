/**
 * SQLite, the embedded default, by libsql: one synchronous connection. A lock that another process holds (a command
 * that writes) is waited for without stopping the event loop.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import Database from 'libsql'
import { fail } from '../../schemas/errors.ts'
import { type Engine, type Statement, type Types, UniqueViolation, type Value } from './engine.ts'
import { spend } from './waiting.ts'

/** SQLite compares TEXT byte by byte, trailing spaces included. The names must have TEXT affinity: VARBINARY would turn '123' into a number. */
const types: Types = { id: 'TEXT', canonical: 'TEXT', text: () => 'TEXT', long: 'TEXT' }

/** What says that the file cannot be used just now, and not that the statement is wrong. */
const AWAY = /^SQLITE_(BUSY|LOCKED|IOERR|FULL|CANTOPEN|READONLY|CORRUPT|NOTADB|PROTOCOL)/

interface Options {
  maxWaitMs: number
  /** Refuses a second holder of the same file. */
  exclusive: boolean
}

/** Opens the file, and makes it and its folder where they are missing. Throws an Error with a sentence for people. */
export function openSqlite(file: string, { maxWaitMs, exclusive }: Options): Engine {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const lock = exclusive ? hold(file) : undefined
  const connection = connect(file)
  const prepared = new Map<string, Database.Statement>()

  function prepare(sql: string): Database.Statement {
    const statement = prepared.get(sql) ?? connection.prepare(sql)
    prepared.set(sql, statement)
    return statement
  }

  function transaction(statements: Statement[]): number[] | undefined {
    connection.exec('BEGIN IMMEDIATE')
    try {
      const counts: number[] = []
      for (const { sql, values, expect } of statements) {
        const { changes } = prepare(sql).run(values)
        if (expect !== undefined && changes !== expect) return undefined
        counts.push(changes)
      }
      connection.exec('COMMIT')
      return counts
    } finally {
      if (connection.inTransaction) connection.exec('ROLLBACK')
    }
  }

  const attempt = <T>(work: () => T) => spend(maxWaitMs, (left) => untilUnlocked(work, left))
  return {
    types,
    name: `SQLite ${file}`,
    all: <Row>(sql: string, values: Value[] = []) => attempt(() => prepare(sql).all(values) as Row[]),
    run: (sql, values = []) => attempt(() => prepare(sql).run(values).changes),
    batch: (statements) => attempt(() => transaction(statements)),
    define: (sql) => attempt(() => define(connection, sql)),
    clock: async () => Date.now(),
    close: async () => {
      // So that a copy of the one file is a whole backup.
      connection.pragma('wal_checkpoint(TRUNCATE)')
      connection.close()
      lock?.close()
    },
  }
}

function connect(file: string): Database.Database {
  const connection = new Database(file)
  // Short, since it stops the event loop; untilUnlocked goes on from there.
  connection.pragma('busy_timeout = 50')
  connection.pragma('journal_mode = WAL')
  connection.pragma('synchronous = FULL')
  connection.pragma('foreign_keys = ON')
  return connection
}

/** A second SQLite file, held exclusively: unlike a pid file it is free at once after kill -9. */
function hold(file: string): Database.Database {
  const lock = new Database(`${file}.lock`)
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

async function untilUnlocked<T>(work: () => T, left: number): Promise<T> {
  const end = performance.now() + left
  for (;;) {
    try {
      return work()
    } catch (error) {
      const code = String((error as { code?: string }).code)
      if (code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY') throw new UniqueViolation()
      if (!AWAY.test(code)) throw error
      if (!code.startsWith('SQLITE_BUSY') || performance.now() > end)
        fail('UNAVAILABLE', { retryAfter: 1, cause: error })
    }
    await pause(10)
  }
}

function define(connection: Database.Database, sql: string): void {
  try {
    connection.exec(sql)
  } catch (error) {
    if (!/already exists|duplicate column name/.test((error as Error).message)) throw error
  }
}
