// The databases that tests run on. A test that touches one runs on each: SQLite always, MariaDB where the run has it.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mysql from 'mysql2/promise'
import type { Test } from 'tap'
import { openConnection } from '../plugins/db/sqlite-driver.ts'
import { createDatabase } from './mariadb.ts'

export interface Engine {
  name: 'sqlite' | 'mariadb'
  /** A fresh, empty database at each call. */
  databaseUrl(): Promise<string>
}

const NAMES = ['sqlite', 'mariadb'] as const

/** Set by test/run.ts; names a user with all privileges and no database. */
const serverUrl = process.env.TEST_MYSQL_URL

/** One engine after the other: files run in parallel already, and a report in order is easier to read. */
export function onEachEngine(t: Test, name: string, body: (t: Test, engine: Engine) => Promise<void>): void {
  for (const engineName of NAMES) {
    const skip = engineName === 'mariadb' && !serverUrl ? 'no MariaDB server' : false
    t.test(`${name} (${engineName})`, { skip }, (t) => body(t, createEngine(t, engineName)))
  }
}

export function createEngine(t: Test, name: Engine['name']): Engine {
  return { name, databaseUrl: name === 'sqlite' ? () => sqliteFile(t) : mariadbDatabase }
}

async function sqliteFile(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return `sqlite:${join(folder, 'latchkey.db')}`
}

async function mariadbDatabase(): Promise<string> {
  if (!serverUrl) throw new Error('TEST_MYSQL_URL is not set; run the tests with `npm test`.')
  return createDatabase(serverUrl)
}

/** A connection of a test's own, beside those of the app: for what no request can bring about. */
export interface Connection {
  /** The rows of a SELECT; an empty list for anything else. */
  sql<Row = Record<string, unknown>>(text: string, values?: (string | number | null)[]): Promise<Row[]>
  close(): Promise<void>
}

export async function connect(databaseUrl: string): Promise<Connection> {
  if (databaseUrl.startsWith('sqlite:')) {
    const database = openConnection(databaseUrl.slice('sqlite:'.length))
    database.exec('PRAGMA busy_timeout = 5000')
    return {
      sql: async (text, values = []) => {
        const statement = database.prepare(text)
        if (text.startsWith('SELECT')) return statement.all(values) as never
        statement.run(values)
        return []
      },
      close: async () => void database.close(),
    }
  }
  const connection = await mysql.createConnection(databaseUrl)
  return {
    sql: async (text, values = []) => {
      const [rows] = await connection.query(text, values)
      return Array.isArray(rows) ? (rows as never) : []
    },
    close: () => connection.end(),
  }
}
