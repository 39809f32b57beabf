/**
 * What mysql.ts builds on: a connection for a bounded time, given back or destroyed as its end demands, and the meaning of
 * the server's error numbers. The numbers, never the names, which differ by engine.
 */
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type mysql from 'mysql2/promise'
import type { PoolConnection } from 'mysql2/promise'
import { Failure, fail } from '../../schemas/errors.ts'
import { UniqueViolation } from './engine.ts'

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

/** Gets a connection and works on it, all within `left` milliseconds. */
export async function bounded<T>(
  pool: Pool,
  left: number,
  work: (connection: PoolConnection) => Promise<T>,
): Promise<T> {
  const timer = new AbortController()
  const late = pause(left, undefined, { signal: timer.signal }).then(() => fail('UNAVAILABLE'))
  // Once the races below are decided, nobody else hears of it.
  late.catch(() => {})
  try {
    const connection = await acquire(pool, late)
    return await use(connection, Promise.race([work(connection), late]))
  } finally {
    timer.abort()
  }
}

async function acquire(pool: Pool, late: Promise<never>): Promise<PoolConnection> {
  const arriving = pool.getConnection()
  return Promise.race([arriving, late]).catch((error) => {
    // Nobody waits for it any more.
    arriving.then((connection) => connection.release()).catch(() => {})
    throw error
  })
}

/** After an answer of the server a connection is in a known state; one that is late or lost is destroyed, never given back. */
async function use<T>(connection: PoolConnection, result: Promise<T>): Promise<T> {
  try {
    await result
    connection.release()
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 0 || LOST.has(errno)) destroy(connection)
    else connection.release()
  }
  return result
}

/** mysql2's own destroy only ends its side: a server that is silent would keep the socket. */
function destroy(connection: PoolConnection): void {
  connection.destroy()
  const { connection: below } = connection as { connection?: { stream?: Socket } }
  below?.stream?.destroy()
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
