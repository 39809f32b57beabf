/**
 * The joint between sqlite.ts and the two that bring SQLite: Node's own node:sqlite where the runtime has it (22.13 and
 * newer), the package libsql on Node 20. Both number their errors as SQLite does.
 */
import { createRequire } from 'node:module'
import type { DatabaseSync } from 'node:sqlite'
import type { Value } from './engine.ts'

export interface Connection {
  /** Runs a statement without parameters; what it answers is dropped. */
  exec(sql: string): void
  prepare(sql: string): Prepared
  close(): void
}

export interface Prepared {
  run(values: Value[]): { changes: number }
  all(values: Value[]): unknown[]
  /** The first row, which may have members beside its columns. For reading alone: libsql does not reset it after an error. */
  get(values: Value[]): unknown
}

type Fault = 'unique' | 'busy' | 'away' | 'other'

const SQLITE_CONSTRAINT_PRIMARYKEY = 1555
const SQLITE_CONSTRAINT_UNIQUE = 2067
const SQLITE_BUSY = 5
/** What says that the file cannot be used just now, and not that the statement is wrong. */
const AWAY: Record<number, string> = {
  6: 'SQLITE_LOCKED',
  8: 'SQLITE_READONLY',
  10: 'SQLITE_IOERR',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  15: 'SQLITE_PROTOCOL',
  26: 'SQLITE_NOTADB',
}

/** What kind of fault an error of a connection is. */
export function faultOf(error: unknown): Fault {
  const { errcode, rawCode } = error as { errcode?: number; rawCode?: number }
  const code = errcode ?? rawCode ?? 0
  if (code === SQLITE_CONSTRAINT_UNIQUE || code === SQLITE_CONSTRAINT_PRIMARYKEY) return 'unique'
  // The low byte is the code, what stands above it is a detail.
  const primary = code & 0xff
  if (primary === SQLITE_BUSY) return 'busy'
  return primary in AWAY ? 'away' : 'other'
}

/** Opens the file, which is made where it is missing. It waits for no lock until `PRAGMA busy_timeout` says so. */
export function openConnection(file: string): Connection {
  return sqlite ? fromNode(new sqlite.DatabaseSync(file)) : new (libsql())(file)
}

/** Undefined on Node 20. */
const sqlite = builtIn()

function builtIn(): typeof import('node:sqlite') | undefined {
  const { emitWarning } = process
  /* c8 ignore next 2 -- called on Node 22 alone, whose node:sqlite warns that it is experimental; loading it is
     synchronous, so that no other warning gets lost */
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule?.('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}

/** In the form that libsql has by itself. */
function fromNode(database: DatabaseSync): Connection {
  return {
    exec: (sql) => database.exec(sql),
    prepare(sql) {
      const statement = database.prepare(sql)
      return {
        run: (values) => ({ changes: Number(statement.run(...values).changes) }),
        // Node's rows have no prototype; those of the other engines are plain objects.
        all: (values) => statement.all(...values).map((row) => ({ ...row })),
        get: (values) => statement.get(...values),
      }
    },
    close: () => database.close(),
  }
}

/** An optional dependency, so that an installation on a newer Node can leave its 19 MB out. */
function libsql(): new (file: string) => Connection {
  try {
    return createRequire(import.meta.url)('libsql')
  } catch (cause) {
    const remedy = 'run Node.js 22.13 or newer, or install libsql (npm ci without --omit=optional)'
    throw new Error(`Node.js ${process.versions.node} has no SQLite of its own; ${remedy}.`, { cause })
  }
}
