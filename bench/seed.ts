/**
 * Fills a fresh database with people and one session each, by statements over whole slices. Ids, names and handles rise
 * with the number, so that every index grows at its end; a handle's beginning is spread over all that one can begin with,
 * as those of real sessions are.
 */
import mysql from 'mysql2/promise'
import { openConnection } from '../plugins/db/sqlite-driver.ts'
import { hashPassword } from '../plugins/passwords/formats.ts'
import { COST, PASSWORD } from './people.ts'

/** People a statement. */
const SLICE = 1_000_000
/** base64url's letters in the order of their bytes. */
const LETTERS = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz'
const DAY_MS = 86_400_000

/** What the two engines spell differently. */
interface Dialect {
  /** A SELECT of the numbers from `from` to `to`, as column n. */
  numbers: (from: number, to: number, columns: string) => string
  /** A UUID in the form of version 7 for an expression of milliseconds. */
  uuid: (milliseconds: string) => string
  padded: (digits: number) => string
  join: (...parts: string[]) => string
  divide: string
  /** 39 characters that nobody can foretell. */
  random: string
}

const sqlite: Dialect = {
  numbers: (from, to, columns) =>
    `WITH RECURSIVE numbers(n) AS (SELECT ${from} UNION ALL SELECT n + 1 FROM numbers WHERE n < ${to}) SELECT ${columns} FROM numbers`,
  uuid: (time) => `printf('%08x-%04x-7000-8000-%012x', (${time}) / 65536, (${time}) % 65536, n)`,
  padded: (digits) => `printf('%0${digits}d', n)`,
  join: (...parts) => parts.join(' || '),
  divide: '/',
  random: 'substr(hex(randomblob(20)), 1, 39)',
}

const hex = (expression: string, digits: number) => `LPAD(LOWER(HEX(${expression})), ${digits}, '0')`
const mariadb: Dialect = {
  numbers: (from, to, columns) => `SELECT ${columns} FROM (SELECT seq AS n FROM seq_${from}_to_${to}) numbers`,
  uuid: (time) =>
    `CONCAT(${hex(`(${time}) DIV 65536`, 8)}, '-', ${hex(`(${time}) MOD 65536`, 4)}, '-7000-8000-', ${hex('n', 12)})`,
  padded: (digits) => `LPAD(n, GREATEST(${digits}, LENGTH(n)), '0')`,
  join: (...parts) => `CONCAT(${parts.join(', ')})`,
  divide: 'DIV',
  random: 'LEFT(CONCAT(MD5(RAND()), MD5(RAND())), 39)',
}

/** Fills the migrated database of this address with so many people. Their sessions live for 30 days. */
export async function seed(databaseUrl: string, people: number): Promise<void> {
  if (databaseUrl.startsWith('sqlite:')) return seedSqlite(databaseUrl.slice('sqlite:'.length), people)
  return seedMariadb(databaseUrl, people)
}

function seedSqlite(file: string, people: number): void {
  const database = openConnection(file)
  // Nothing is lost that the next run would not make anew.
  for (const pragma of ['journal_mode = OFF', 'synchronous = OFF', 'cache_size = -500000'])
    database.exec(`PRAGMA ${pragma}`)
  for (const sql of statements(sqlite, people)) database.exec(sql)
  database.exec('PRAGMA journal_mode = WAL')
  database.close()
}

async function seedMariadb(databaseUrl: string, people: number): Promise<void> {
  const connection = await mysql.createConnection(databaseUrl)
  await connection.query('SET GLOBAL innodb_flush_log_at_trx_commit = 0')
  for (const sql of statements(mariadb, people)) await connection.query(sql)
  await connection.query('SET GLOBAL innodb_flush_log_at_trx_commit = 1')
  await connection.end()
}

/** Runs one statement on the database of this address, and gives the first value of its first row. */
export async function ask(databaseUrl: string, sql: string): Promise<number> {
  if (!databaseUrl.startsWith('sqlite:')) {
    const connection = await mysql.createConnection(databaseUrl)
    const [rows] = await connection.query(sql)
    await connection.end()
    return firstOf((rows as object[])[0])
  }
  const database = openConnection(databaseUrl.slice('sqlite:'.length))
  try {
    return firstOf(database.prepare(sql).all([])[0] as object)
  } finally {
    database.close()
  }
}

const firstOf = (row: object | undefined) => Number(Object.values(row ?? {})[0])

/** Bytes that the database of this address takes on the disk: all its tables and indexes. */
export const sizeOf = (databaseUrl: string): Promise<number> =>
  ask(
    databaseUrl,
    databaseUrl.startsWith('sqlite:')
      ? 'SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()'
      : 'SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()',
  )

function* statements(dialect: Dialect, people: number): Generator<string> {
  const now = Date.now()
  const hash = hashPassword(PASSWORD, COST)
  for (let from = 1; from <= people; from += SLICE) {
    const to = Math.min(people, from + SLICE - 1)
    const rows = (columns: string) => dialect.numbers(from, to, columns)
    yield `INSERT INTO users (id, email, email_canonical, email_verified, username, username_canonical, password_hash, roles, logins, created_at, updated_at) ${rows(userColumns(dialect, now - 30 * DAY_MS, hash))}`
    yield `INSERT INTO sessions (id, user_id, handle_hash, generation, created_at, last_used_at, expires_at, until, ip, user_agent) ${rows(sessionColumns(dialect, now, people))}`
  }
}

/** The users were made before their sessions, a millisecond each after the other. */
function userColumns({ uuid, padded, join }: Dialect, since: number, hash: string): string {
  const name = join("'user'", padded(7))
  const email = join("'user'", padded(7), "'@example.com'")
  return `${uuid(`${since} + n`)}, ${email}, ${email}, 0, ${name}, ${name}, '${hash}', '', 0, ${since} + n, ${since} + n`
}

function sessionColumns({ uuid, join, divide, random }: Dialect, now: number, people: number): string {
  const place = `(n * 16777215 ${divide} ${people})`
  const letters = [262144, 4096, 64, 1].map((step) => `substr('${LETTERS}', 1 + ${place} ${divide} ${step} % 64, 1)`)
  const handle = join(...letters, random)
  const user = uuid(`${now - 30 * DAY_MS} + n`)
  const ends = now + 30 * DAY_MS
  return `${uuid(`${now} + n`)}, ${user}, ${handle}, 0, ${now}, ${now}, ${ends} + n, ${now}, '127.0.0.1', 'bench'`
}
