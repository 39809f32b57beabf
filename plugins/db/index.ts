/**
 * The database: opens the one that DATABASE_URL names, brings its schema up to date, closes it. All SQL stands in this
 * folder. Everything else sees `dbOf(app)`.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../../parts.ts'
import { databaseAddress } from '../../schemas/config.ts'
import { Failure } from '../../schemas/errors.ts'
import type { Engine } from './engine.ts'
import { createKeysTable } from './keys.ts'
import { migrate } from './migrate.ts'
import { createSessionsTable } from './sessions.ts'
import { openSqlite } from './sqlite.ts'
import { createUsers } from './users.ts'

async function open(app: FastifyInstance, { config, routes }: Parts): Promise<Engine> {
  const maxWaitMs = config.DB_MAX_WAIT_MS
  const address = databaseAddress(config.DATABASE_URL)!
  if (address.kind === 'sqlite') return openSqlite(address.file, { maxWaitMs, exclusive: routes })
  // With SQLite the driver of MySQL, some ninety files, is never loaded.
  const { openMysql } = await import('./mysql.ts')
  return openMysql(app, address, { maxWaitMs, poolSize: config.DB_POOL_SIZE })
}

async function createDb(engine: Engine, { config, now, newId }: Parts) {
  const leases = await migrate(engine, now, newId).catch((cause) => {
    if (!(cause instanceof Failure)) throw cause
    throw new Error(`${engine.name} stopped answering while its schema was brought up to date.`, { cause })
  })
  return {
    name: engine.name,
    users: createUsers(engine, config.MAX_SESSIONS),
    sessions: createSessionsTable(engine),
    keys: createKeysTable(engine),
    ...leases,
    clock: engine.clock,
    /** Whether the database answers. Throws UNAVAILABLE. */
    ping: () => engine.all('SELECT 1 AS one'),
  }
}

export type Db = Awaited<ReturnType<typeof createDb>>
export const dbOf = (app: FastifyInstance) => app.getDecorator<Db>('db')

export default fp<Parts>(
  async (app, parts) => {
    const engine = await open(app, parts)
    app.addHook('onClose', engine.close)
    app.decorate('db', await createDb(engine, parts))
  },
  { name: 'db' },
)
