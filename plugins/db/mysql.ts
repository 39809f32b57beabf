/**
 * MySQL and MariaDB, by @fastify/mysql: this is how Latchkey runs in production. A bounded pool, a bounded wait for
 * everything, session state set once a connection, conflicts repeated, doubtful connections destroyed.
 */
import { setTimeout as pause } from 'node:timers/promises'
import fastifyMysql, { type MySQLPromisePool } from '@fastify/mysql'
import type { FastifyInstance } from 'fastify'
import type { Pool as CallbackPool, PoolConnection, PoolOptions, ResultSetHeader, RowDataPacket } from 'mysql2'
import mysql from 'mysql2/promise'
import type { Engine, Statement, Types, Value } from './engine.ts'
import { bounded, errnoOf, execute, isConflict, isDefined, type Pool, query, translate } from './mysql-connections.ts'
import { type MysqlAddress, tlsFault, tlsOptions } from './mysql-tls.ts'
import { spend } from './waiting.ts'

/** `ascii_bin` for ids; VARBINARY for canonical forms, since every text collation folds or pads. Charsets are named: the server's own may be latin1. */
const types: Types = {
  id: 'VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin',
  canonical: 'VARBINARY(320)',
  text: (length) => `VARCHAR(${length}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
  long: 'TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
}

const DENIED = 1045
/** No right or no such database: waiting mends nothing. */
const REFUSED = new Set([1044, DENIED, 1049, 1698])
/** Of a transaction that met a conflict. */
const TRIES = 5

interface Options {
  maxWaitMs: number
  poolSize: number
}

/**
 * Opens a pool. Waits up to `patienceMs` for a database that is away, since @fastify/mysql fails at once.
 * Throws an Error with a sentence for people.
 */
export async function openMysql(
  app: FastifyInstance,
  address: MysqlAddress,
  options: Options,
  patienceMs = 30_000,
): Promise<Engine> {
  const { host, port, user, password, database } = address
  const settings: PoolOptions = {
    ...{ host, port, user, password, database },
    ...tlsOptions(address),
    connectTimeout: 2000,
    enableKeepAlive: true,
    charset: 'utf8mb4_bin',
  }
  await reach(address, settings, patienceMs, (message) => app.log.warn(message))
  await app.register(fastifyMysql, {
    ...settings,
    promise: true,
    connectionLimit: options.poolSize,
    // Beyond this a request would wait longer than it may.
    queueLimit: options.poolSize * 100,
    // Of one connection: the house has some thirty; the server's bound is for all together.
    maxPreparedStatements: 100,
  })
  // The promise pool that @fastify/mysql decorates has no `connection` event, and costs each query a stack trace.
  const { pool } = (app as unknown as { mysql: MySQLPromisePool }).mysql.pool as unknown as { pool: CallbackPool }
  const state = sessionState(options.maxWaitMs)
  pool.on('connection', (connection) => {
    /* c8 ignore next 2 -- the server would have to die between its greeting and this */
    for (const sql of state) connection.query(sql, (error) => error && connection.destroy())
  })
  // The register's own first connection was made before the event was listened to.
  await bounded(pool, options.maxWaitMs, async (connection) => connection.destroy())
  return createEngine(pool, `MySQL ${host}:${port}/${database}`, options.maxWaitMs)
}

async function reach(
  address: MysqlAddress,
  settings: PoolOptions,
  patienceMs: number,
  say: (message: string) => void,
): Promise<void> {
  const end = Date.now() + patienceMs
  const where = `The database at ${address.host}:${address.port}`
  let waiting = false
  for (let error = await tryOnce(settings); error; error = await tryOnce(settings)) {
    const { code } = error as { code?: string }
    const fault = tlsFault(error as Error, address) ?? refusal(error, address)
    if (fault) throw new Error(`${where} ${fault}.`)
    if (Date.now() > end) throw new Error(`${where} did not answer within ${patienceMs / 1000} s (${code}).`)
    if (!waiting) say(`${where} does not answer yet (${code}); waiting up to ${patienceMs / 1000} s.`)
    waiting = true
    await pause(250)
  }
}

/** Why this user will not be served, said of the database; undefined where it is anything else. */
function refusal(error: unknown, { database, tls }: MysqlAddress): string | undefined {
  const errno = errnoOf(error)
  if (!REFUSED.has(errno)) return undefined
  // MariaDB says the same where it demands TLS, and both do where the account demands it.
  const hint = errno === DENIED && !tls ? '; if it demands TLS, add ssl-mode=verify_identity to DATABASE_URL' : ''
  return `refuses this user or has no database ${database} (${(error as { code?: string }).code})${hint}`
}

/** Connects once, and gives what stood against it. */
async function tryOnce(settings: PoolOptions): Promise<unknown> {
  try {
    const connection = await mysql.createConnection(settings)
    connection.destroy()
    return undefined
  } catch (error) {
    return error
  }
}

function sessionState(maxWaitMs: number): string[] {
  return [
    'SET NAMES utf8mb4 COLLATE utf8mb4_bin',
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
    // A lock that nobody waits for any more is given up by the server too, not after its default of 50 s.
    `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, innodb_lock_wait_timeout = ${Math.ceil(maxWaitMs / 1000)}`,
  ]
}

/** The engine over a pool; exported for what only a test can bring about. */
export function createEngine(pool: Pool, name: string, maxWaitMs: number): Engine {
  const repeated = <T>(work: (connection: PoolConnection) => Promise<T>) =>
    spend(maxWaitMs, (left) => untilDone(pool, performance.now() + left, work))
  const all = <Row>(sql: string, values: Value[] = []) =>
    repeated((connection) => execute<RowDataPacket[]>(connection, sql, values)) as Promise<Row[]>
  return {
    types,
    name,
    maxWaitMs,
    all,
    first: async <Row>(sql: string, values: Value[]) => (await all<Row>(sql, values))[0],
    run: async (sql, values = []) =>
      (await repeated((connection) => execute<ResultSetHeader>(connection, sql, values))).affectedRows,
    batch: (statements) => repeated((connection) => transaction(connection, statements)),
    define: (sql) =>
      repeated(async (connection) => {
        await query(connection, sql).catch((error) => {
          if (!isDefined(error)) throw error
        })
      }),
    clock: async () => {
      const [row] = await all<{ now: number | string }>('SELECT UNIX_TIMESTAMP(NOW(3)) * 1000 AS now')
      return Number(row?.now)
    },
    // @fastify/mysql ends the pool.
    close: async () => {},
  }
}

/** Until `end`, by performance.now(). A conflict undoes the whole transaction: it is run again from its start, after a moment. */
async function untilDone<T>(
  pool: Pool,
  end: number,
  work: (connection: PoolConnection) => Promise<T>,
  tries = 1,
): Promise<T> {
  try {
    return await bounded(pool, end - performance.now(), work)
  } catch (error) {
    if (tries === TRIES || !isConflict(error)) throw translate(error)
  }
  await pause(Math.random() * 20 * tries)
  return untilDone(pool, end, work, tries + 1)
}

async function transaction(connection: PoolConnection, statements: Statement[]): Promise<number[] | undefined> {
  await query(connection, 'START TRANSACTION')
  try {
    const counts: number[] = []
    for (const { sql, values, expect } of statements) {
      const { affectedRows } = await execute<ResultSetHeader>(connection, sql, values)
      if (expect !== undefined && affectedRows !== expect) {
        await query(connection, 'ROLLBACK')
        return undefined
      }
      counts.push(affectedRows)
    }
    await query(connection, 'COMMIT')
    return counts
  } catch (error) {
    if (errnoOf(error) > 0) await query(connection, 'ROLLBACK')
    throw error
  }
}
