/**
 * What mysql.ts builds on: a connection for a bounded time, given back or destroyed as its end demands, and the meaning of
 * the server's error numbers. The numbers, never the names, which differ by engine.
 */
import type { Socket } from 'node:net'
import type mysql from 'mysql2'
import type { PoolConnection, QueryResult } from 'mysql2'
import { Failure } from '../../schemas/errors.ts'
import { UniqueViolation, type Value } from './engine.ts'

export type Pool = Pick<mysql.Pool, 'getConnection'>

const DUPLICATE = 1062
/** What a repeat mends. */
const CONFLICTS = new Set([1205, 1213, 1020, 3101, 9007])
/**
 * The server cannot serve just now: too many connections (1040, 1203, 1226) or statements (1461), refused (1044, 1045,
 * 1129; 3159 without TLS), shutting down (1053), not part of its cluster (1047) or cut off from it at the commit (1180),
 * disk or table full (1021, 1114), read-only (1290, 1836), killed or out of time (1317, 1927, 1969, 3024).
 */
const AWAY = new Set([
  ...[1021, 1040, 1044, 1045, 1047, 1053, 1114, 1129, 1180, 1203, 1226, 1290, 1317, 1461, 1836, 1927, 1969, 3024, 3159],
  ...CONFLICTS,
])
/** After these the connection itself is of no more use. */
const LOST = new Set([1047, 1053, 1180, 1290, 1836, 1927])
/** A schema change that is there already: table, column, key. */
const DEFINED = new Set([1050, 1060, 1061])

/**
 * Gets a connection and works on it, all within `left` milliseconds. One timer and callbacks, where promises that race
 * would cost each query more than the driver does.
 */
export function bounded<T>(pool: Pool, left: number, work: (connection: PoolConnection) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let connection: PoolConnection | undefined
    let late = false
    const timer = setTimeout(() => {
      late = true
      if (connection) destroy(connection)
      reject(new Failure('UNAVAILABLE'))
    }, left)

    function settle(error: unknown, result?: T): void {
      clearTimeout(timer)
      // After the timer all of this is too late and does nothing, also to a connection that was destroyed.
      if (connection) giveBack(connection, error)
      if (error) reject(error)
      else resolve(result as T)
    }

    pool.getConnection((error, arrived) => {
      // Nobody waits for it any more.
      if (late) return arrived?.release()
      if (error) return settle(error)
      connection = arrived
      work(arrived).then((result) => settle(null, result), settle)
    })
  })
}

/** After an answer of the server a connection is in a known state; one that is lost is destroyed, never given back. */
function giveBack(connection: PoolConnection, error: unknown): void {
  if (error && isLost(errnoOf(error))) destroy(connection)
  else connection.release()
}

const isLost = (errno: number) => errno === 0 || LOST.has(errno)

/** mysql2's own destroy only ends its side: a server that is silent would keep the socket. */
function destroy(connection: PoolConnection): void {
  connection.destroy()
  ;(connection as { stream?: Socket }).stream?.destroy()
}

/** One statement without parameters, which is not prepared. */
export function query(connection: PoolConnection, sql: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    connection.query(sql, (error, result) => (error ? reject(error) : resolve(result)))
  })
}

/** One prepared statement: its rows, or what it changed. */
export function execute<T extends QueryResult>(connection: PoolConnection, sql: string, values: Value[]): Promise<T> {
  return new Promise((resolve, reject) => {
    connection.execute<T>(sql, values, (error, result) => (error ? reject(error) : resolve(result)))
  })
}

/** The server's error number; 0 for what is none of its: a socket that broke, a name that does not resolve, a full queue. */
export function errnoOf(error: unknown): number {
  const { errno } = error as { errno?: number }
  return typeof errno === 'number' && errno > 0 ? errno : 0
}

/** What the driver throws, as the rest of the house knows it. */
export function translate(error: unknown): unknown {
  const errno = errnoOf(error)
  if (error instanceof Failure) return error
  if (errno === DUPLICATE) return new UniqueViolation()
  // Of a certificate for another host the whole chain comes along: kilobytes in each line of the log.
  if (error instanceof Error && 'cert' in error) delete error.cert
  if (errno === 0 || AWAY.has(errno)) return new Failure('UNAVAILABLE', { cause: error })
  // The message quotes values, which may be personal; the log gets the number and the state.
  return new Error(`The database refused a statement: errno ${errno}, ${(error as { sqlState?: string }).sqlState}`)
}

export const isConflict = (error: unknown) => CONFLICTS.has(errnoOf(error))
export const isDefined = (error: unknown) => DEFINED.has(errnoOf(error))
