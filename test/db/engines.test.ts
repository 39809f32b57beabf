/** What each engine does below the room: session state, conflicts, lost connections, locks, and databases that fall silent. */
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Pool as CallbackPool, PoolConnection, QueryError } from 'mysql2'
import mysql from 'mysql2/promise'
import t, { type Test } from 'tap'
import { buildApp } from '../../app.ts'
import { type Engine, UniqueViolation } from '../../plugins/db/engine.ts'
import { dbOf } from '../../plugins/db/index.ts'
import { createEngine, openMysql } from '../../plugins/db/mysql.ts'
import { openSqlite, untilUnlocked } from '../../plugins/db/sqlite.ts'
import { openConnection } from '../../plugins/db/sqlite-driver.ts'
import { withBudget } from '../../plugins/db/waiting.ts'
import { type DatabaseAddress, databaseAddress } from '../../schemas/config.ts'
import { createEngine as engineOf } from '../engines.ts'
import { PASSWORD, randomName } from '../helper.ts'
import { ownMariadb } from '../mariadb.ts'
import { listening, node, serve, settingsOf } from '../process.ts'
import { skipWithout } from '../programs.ts'
import { configOf, only, randomId } from './room.ts'

const skip = process.env.TEST_MYSQL_URL ? false : 'no MariaDB server'
const UNAVAILABLE = { code: 'UNAVAILABLE', statusCode: 503 }

type Pool = Parameters<typeof createEngine>[0]
type MysqlAddress = Extract<DatabaseAddress, { kind: 'mysql' }>

const addressOf = (url: string) => databaseAddress(url) as MysqlAddress
const mariadbUrl = (t: Test) => engineOf(t, 'mariadb').databaseUrl()

async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'latchkey-engines-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

/** The engine over a real pool. */
async function open(t: Test, url: string, { maxWaitMs = 2000, poolSize = 3, patienceMs = 5000 } = {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  const engine = await openMysql(app, addressOf(url), { maxWaitMs, poolSize }, patienceMs)
  return { app, engine, pool: poolOf(app) }
}

/** The pool that the engine works on. */
const poolOf = (app: object) => (app as { mysql: { pool: { pool: CallbackPool } } }).mysql.pool.pool

/** A connection of it that is kept. */
const taken = (pool: CallbackPool) =>
  new Promise<PoolConnection>((resolve, reject) => {
    pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection)))
  })

/** A connection beside the engine's. */
async function beside(t: Test, url: string): Promise<mysql.Connection> {
  const connection = await mysql.createConnection(url)
  t.teardown(() => connection.destroy())
  return connection
}

async function numbers(engine: Engine, rows = 2): Promise<string> {
  const name = `t${randomId()}`
  await engine.define(`CREATE TABLE ${name} (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)`)
  for (let id = 0; id < rows; id++) await engine.run(`INSERT INTO ${name} (id, n) VALUES (?, 0)`, [id])
  return name
}

const add = (name: string, id: number) => ({ sql: `UPDATE ${name} SET n = n + 1 WHERE id = ?`, values: [id] })

type Answer = (error: QueryError | null, result?: unknown) => void

/** The same pool, with a note of each error number that its connections raise. */
function watched(pool: CallbackPool) {
  const seen: { errnos: number[]; raised: (() => void) | undefined } = { errnos: [], raised: undefined }
  const noting =
    (answer: Answer): Answer =>
    (error, result) => {
      if (error) {
        seen.errnos.push(error.errno!)
        seen.raised?.()
      }
      answer(error, result)
    }
  const watch = (connection: PoolConnection) =>
    new Proxy(connection, {
      get(target, name) {
        const value = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name !== 'execute' && name !== 'query') return value.bind(target)
        return (...args: unknown[]) =>
          Reflect.apply(value, target, [...args.slice(0, -1), noting(args.at(-1) as Answer)])
      },
    })
  const getConnection: Pool['getConnection'] = (got) =>
    pool.getConnection((error, connection) => got(error, connection && watch(connection)))
  return { seen, pool: { getConnection } as Pool }
}

/** How many transactions stand in the journal of a SQLite file, by its format: a frame that ends one names the file's size. */
async function commitsOf(file: string): Promise<number> {
  const journal = await readFile(`${file}-wal`)
  const pageSize = journal.readUInt32BE(8)
  let commits = 0
  for (let at = 32; at < journal.length; at += 24 + pageSize) if (journal.readUInt32BE(at + 4) > 0) commits++
  return commits
}

t.test('SQLite: writes of one turn share transactions, and each of them is done or undone by itself', async (t) => {
  const file = join(await folder(t), 'a.db')
  const engine = openSqlite(file, { maxWaitMs: 2000, exclusive: true })
  t.teardown(engine.close)
  const name = await numbers(engine)
  const insert = (id: number) => ({ sql: `INSERT INTO ${name} (id, n) VALUES (?, 0)`, values: [id] })
  const before = await commitsOf(file)
  const outcomes = await Promise.allSettled([
    engine.batch([insert(2), { ...add(name, 0), expect: 1 }]),
    engine.batch([add(name, 0), insert(1)]),
    engine.batch([add(name, 0), { ...add(name, 99), expect: 1 }]),
    engine.batch([add(name, 0), { sql: `INSERT INTO ${name} (nothing) VALUES (0)`, values: [] }]),
    engine.run(`INSERT INTO ${name} (id, n) VALUES (?, 0)`, [3]),
    ...Array.from({ length: 65 }, () => engine.batch([add(name, 1)])),
  ])
  t.equal((await commitsOf(file)) - before, 2, 'of 70, 64 and the rest')
  t.strictSame(outcomes[0], { status: 'fulfilled', value: [1, 1] })
  t.ok((outcomes[1] as PromiseRejectedResult).reason instanceof UniqueViolation)
  t.strictSame(outcomes[2], { status: 'fulfilled', value: undefined })
  t.match(String((outcomes[3] as PromiseRejectedResult).reason), /nothing/)
  t.strictSame(outcomes[4], { status: 'fulfilled', value: 1 })
  t.strictSame(await engine.all(`SELECT id, n FROM ${name} ORDER BY id`), [
    { id: 0, n: 1 },
    { id: 1, n: 65 },
    { id: 2, n: 0 },
    { id: 3, n: 0 },
  ])
})

t.test('every connection has the state that the SQL relies on, the first too', { skip }, async (t) => {
  const { engine, pool } = await open(t, await mariadbUrl(t), { maxWaitMs: 1001 })
  const state = `SELECT CONNECTION_ID() AS id, @@sql_mode AS mode, @@tx_isolation AS isolation, @@autocommit AS autocommit,
    @@innodb_lock_wait_timeout AS lock_wait, @@character_set_client AS client, @@character_set_connection AS connection,
    @@character_set_results AS results, @@collation_connection AS collation`
  const wanted = {
    mode: 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
    isolation: 'READ-COMMITTED',
    autocommit: 1,
    lock_wait: 2,
    client: 'utf8mb4',
    connection: 'utf8mb4',
    results: 'utf8mb4',
    collation: 'utf8mb4_bin',
  }
  t.match(await engine.all(state), [wanted], 'the first one')
  const all = [await taken(pool), await taken(pool), await taken(pool)]
  const ids = new Set<number>()
  for (const connection of all) {
    const [[row]] = (await connection.promise().query(state)) as unknown as [[{ id: number }]]
    t.match(row, wanted)
    ids.add(row.id)
    connection.release()
  }
  t.equal(ids.size, 3)
})

t.test('a deadlock is repeated as a whole', { skip }, async (t) => {
  const url = await mariadbUrl(t)
  const { engine, pool } = await open(t, url, { maxWaitMs: 20_000 })
  const other = await beside(t, url)
  const name = await numbers(engine, 50)
  const { seen, pool: spy } = watched(pool)
  await other.query('START TRANSACTION')
  // More rows changed than the engine has: so the engine is the one that the server picks.
  await other.query(`UPDATE ${name} SET n = 100 WHERE id > 0`)
  const batch = createEngine(spy, 'spied', 20_000).batch([add(name, 0), add(name, 1)])
  const blocked = `SELECT COUNT(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%${name}%'`
  // The server refreshes that table only for who asks at most ten times a second.
  while (Number(await only(engine, blocked)) === 0) await pause(150)
  await other.query(`UPDATE ${name} SET n = 200 WHERE id = 0`)
  await other.query('COMMIT')
  t.strictSame(await batch, [1, 1])
  t.strictSame(seen.errnos, [1213])
  t.strictSame(await engine.all(`SELECT n FROM ${name} WHERE id < 2 ORDER BY id`), [{ n: 201 }, { n: 101 }])
})

t.test('a lock that takes too long is asked for again, and nothing is done twice', { skip }, async (t) => {
  const url = await mariadbUrl(t)
  // The server gives up after 1 s, the engine that is tested not yet.
  const { engine, pool } = await open(t, url, { maxWaitMs: 1000 })
  const other = await beside(t, url)
  const name = await numbers(engine)
  const { seen, pool: spy } = watched(pool)
  await other.query('START TRANSACTION')
  await other.query(`UPDATE ${name} SET n = 100 WHERE id = 1`)
  seen.raised = () => void other.query('COMMIT')
  t.strictSame(await createEngine(spy, 'spied', 20_000).batch([add(name, 0), add(name, 1)]), [1, 1])
  t.strictSame(seen.errnos, [1205])
  t.strictSame(await engine.all(`SELECT n FROM ${name} ORDER BY id`), [{ n: 1 }, { n: 101 }])
})

/** A pool of a test's own, whose one connection answers as it is told. */
function fakePool(answer: (sql: string) => Promise<unknown>) {
  const calls: string[] = []
  const told = (sql: string, done: Answer) =>
    void answer(sql).then(
      (result) => done(null, result),
      (error) => done(error),
    )
  const connection = {
    execute: (sql: string, _values: unknown[], done: Answer) => {
      calls.push('execute')
      told(sql, done)
    },
    query: (sql: string, done: Answer) => {
      calls.push(sql)
      if (sql === 'START TRANSACTION' || sql === 'ROLLBACK') done(null)
      else told(sql, done)
    },
    release: () => calls.push('release'),
    destroy: () => calls.push('destroy'),
  }
  const pool = {
    getConnection: (got: (error: null, connection: unknown) => void) => {
      calls.push('get')
      got(null, connection)
    },
  } as unknown as Pool
  const count = (call: string) => calls.filter((one) => one === call).length
  return { pool, calls, count }
}

const raise = (errno: number, code = 'SOME_CODE') =>
  Promise.reject(Object.assign(new Error('it holds a canary'), { errno, code, sqlState: 'HY000' }))

t.test('conflicts are repeated, at most five times, wherever they are raised', async (t) => {
  for (const errno of [1205, 1213, 1020, 3101, 9007]) {
    for (const at of ['execute', 'COMMIT']) {
      for (const failures of [4, 5]) {
        let left = failures
        const { pool, count } = fakePool((sql) => {
          if ((sql === 'COMMIT') === (at === 'COMMIT') && left-- > 0) return raise(errno)
          return Promise.resolve({ affectedRows: 1 })
        })
        const batch = createEngine(pool, 'fake', 60_000).batch([{ sql: 'UPDATE', values: [] }])
        const why = `${errno} at ${at}, ${failures} times`
        if (failures === 4) t.strictSame(await batch, [1], why)
        else await t.rejects(batch, UNAVAILABLE, why)
        t.equal(count('get'), 5, why)
        t.equal(count('ROLLBACK'), failures, why)
        t.equal(count('release'), 5, why)
        t.equal(count('destroy'), 0, why)
      }
    }
  }
})

t.test('statements alone are repeated too', async (t) => {
  for (const call of ['run', 'all', 'define'] as const) {
    let left = 2
    const { pool, count } = fakePool(() => (left-- > 0 ? raise(1213) : Promise.resolve([])))
    await createEngine(pool, 'fake', 60_000)[call]('SELECT 1')
    t.equal(count('get'), 3, call)
  }
})

t.test('a connection is destroyed where its state is in doubt, and given back after any other error', async (t) => {
  const lost = [
    [-104, 'ECONNRESET'],
    [-32, 'EPIPE'],
    [0, 'PROTOCOL_CONNECTION_LOST'],
    [1047, 'ER_UNKNOWN_COM_ERROR'],
    [1053, 'ER_SERVER_SHUTDOWN'],
    [1180, 'ER_ERROR_DURING_COMMIT'],
    [1290, 'ER_OPTION_PREVENTS_STATEMENT'],
    [1927, 'ER_CONNECTION_KILLED'],
  ] as const
  for (const [errno, code] of lost) {
    const { pool, calls } = fakePool(() => raise(errno, code))
    await t.rejects(createEngine(pool, 'fake', 60_000).run('UPDATE'), UNAVAILABLE, code)
    t.strictSame(calls, ['get', 'execute', 'destroy'], code)
  }
  for (const errno of [1064, 1406, 1048, 1054, 1317, 1040]) {
    const { pool, calls } = fakePool(() => raise(errno))
    await t.rejects(createEngine(pool, 'fake', 60_000).run('UPDATE'), Error)
    t.strictSame(calls, ['get', 'execute', 'release'], String(errno))
  }
  const { pool, calls } = fakePool(() => raise(1062))
  const error = await createEngine(pool, 'fake', 60_000)
    .run('INSERT')
    .catch((error) => error)
  t.ok(error instanceof UniqueViolation)
  t.strictSame(calls, ['get', 'execute', 'release'])
})

t.test('a transaction that fails is rolled back where the server is still there', async (t) => {
  const one = [{ sql: 'UPDATE', values: [] }]
  const there = fakePool(() => raise(1406))
  await t.rejects(createEngine(there.pool, 'fake', 60_000).batch(one))
  t.strictSame(there.calls, ['get', 'START TRANSACTION', 'execute', 'ROLLBACK', 'release'])
  const gone = fakePool(() => raise(-104))
  await t.rejects(createEngine(gone.pool, 'fake', 60_000).batch(one), UNAVAILABLE)
  t.strictSame(gone.calls, ['get', 'START TRANSACTION', 'execute', 'destroy'])
})

t.test('an answer that does not come ends the wait and the connection', async (t) => {
  const { pool, calls } = fakePool(() => new Promise(() => {}))
  await t.rejects(createEngine(pool, 'fake', 50).run('UPDATE'), UNAVAILABLE)
  t.strictSame(calls, ['get', 'execute', 'destroy'])
})

t.test('a full queue and a refused connection are UNAVAILABLE', async (t) => {
  for (const error of [new Error('Queue limit reached.'), Object.assign(new Error('Too many'), { errno: 1040 })]) {
    const pool = { getConnection: (got: (error: Error) => void) => got(error) } as unknown as Pool
    await t.rejects(createEngine(pool, 'fake', 1000).all('SELECT 1'), UNAVAILABLE)
  }
})

t.test('a connection whose answer came too late is never used again', { skip }, async (t) => {
  const { pool } = await open(t, await mariadbUrl(t), { poolSize: 1 })
  const engine = createEngine(pool, 'impatient', 500)
  const id = () => only(engine, 'SELECT CONNECTION_ID() AS id')
  const first = await id()
  t.equal(await id(), first, 'as long as all is well it is the same')
  await t.rejects(engine.run('SELEKT'), /errno 1064/)
  t.equal(await id(), first, 'after an error of the statement too')
  await t.rejects(engine.all('SELECT SLEEP(5)'), UNAVAILABLE)
  t.not(await id(), first)
})

t.test('a pool that is used up is waited for, and who gave up takes no connection with him', { skip }, async (t) => {
  const { pool } = await open(t, await mariadbUrl(t), { poolSize: 1 })
  const engine = createEngine(pool, 'patient', 400)
  const held = await taken(pool)
  const waiting = [engine.all('SELECT 1'), engine.run('SELECT 1'), engine.batch([])]
  for (const result of await Promise.allSettled(waiting)) t.match(result, { status: 'rejected', reason: UNAVAILABLE })
  const patient = createEngine(pool, 'patient', 20_000).all('SELECT 1 AS one')
  held.release()
  t.strictSame(await patient, [{ one: 1 }])
  t.strictSame(await engine.all('SELECT 2 AS two'), [{ two: 2 }])
})

t.test('all the waiting of one request counts together', { skip }, async (t) => {
  const { pool } = await open(t, await mariadbUrl(t))
  const { seen, pool: spy } = watched(pool)
  let asked = 0
  const counting = {
    getConnection: (got) => {
      asked++
      spy.getConnection(got)
    },
  } as Pool
  const engine = createEngine(counting, 'counted', 20_000)
  await withBudget(1000, async () => {
    await engine.all('SELECT SLEEP(0.6)')
    for (let more = 0; more < 4; more++) await t.rejects(engine.all('SELECT SLEEP(0.6)'), UNAVAILABLE)
    // A timer may ring a fraction of a millisecond early, which is then left for one more question.
    t.ok(asked < 5, 'where nothing is left nothing is asked')
  })
  await withBudget(1000, () => engine.all('SELECT 1'))
  t.strictSame(seen.errnos, [], 'it was the time, not the server')
})

t.test('each request has a budget of its own', { skip }, async (t) => {
  const settings = { DB_MAX_WAIT_MS: '900', BCRYPT_COST: '10', HASH_MAX_WAIT_MS: '60000' }
  const app = await buildApp({ config: configOf(await mariadbUrl(t), settings) })
  t.teardown(() => app.close())
  const post = (url: string, payload: object) => app.inject({ method: 'POST', url, payload })
  const username = randomName()
  const made = await post('/user/register', { username, email: `${username}@example.com`, password: PASSWORD })
  t.equal(made.statusCode, 201)
  const { refresh_token } = made.json()
  const pool = poolOf(app)
  const getConnection = pool.getConnection.bind(pool)
  pool.getConnection = (got) => void setTimeout(() => getConnection(got), 500)
  const refreshed = await post('/user/refresh', { refresh_token })
  t.equal(refreshed.statusCode, 503, 'more than one question of 500 ms')
  t.match(refreshed.json(), { code: 'UNAVAILABLE' })
  const ready = await Promise.all([1, 2, 3, 4].map(() => app.inject('/health/ready')))
  for (const { statusCode } of ready) t.equal(statusCode, 200, 'one question each')
  pool.getConnection = getConnection
  t.equal((await post('/user/refresh', { refresh_token })).statusCode, 200, 'and it may be asked again')
})

t.test('who has spent some of his time reads alone, within what is left', { skip }, async (t) => {
  const app = await buildApp({ config: configOf(await mariadbUrl(t), { DB_MAX_WAIT_MS: '900' }), routes: false })
  t.teardown(() => app.close())
  const db = dbOf(app)
  const pool = poolOf(app)
  const getConnection = pool.getConnection.bind(pool)
  pool.getConnection = (got) => void setTimeout(() => getConnection(got), 500)
  const late = withBudget(900, async () => {
    await db.ping()
    return db.users.byId(randomId())
  })
  const [first] = await Promise.allSettled([late, withBudget(900, () => db.users.byId(randomId()))])
  t.match(first, { status: 'rejected', reason: UNAVAILABLE })
  t.equal(await withBudget(900, () => db.users.byId(randomId())), undefined, 'one question is within the time')
  pool.getConnection = getConnection
})

t.test('errors hold no values', { skip }, async (t) => {
  const { engine } = await open(t, await mariadbUrl(t))
  const name = `t${randomId()}`
  await engine.define(`CREATE TABLE ${name} (id VARCHAR(6) NOT NULL PRIMARY KEY, n INTEGER NOT NULL)`)
  const insert = (id: string, n: string | null) =>
    engine.run(`INSERT INTO ${name} (id, n) VALUES (?, ?)`, [id, n]).then(
      () => 'no error',
      (error) => inspect(error, { depth: 9, showHidden: true }),
    )
  t.equal(await insert('canary', '1'), 'no error')
  const refused = [await insert('canary', '1'), await insert('canary 2', '1'), await insert('other', 'canary')]
  for (const text of [...refused, await insert('third', null)]) {
    t.match(text, /Error/)
    t.notMatch(text, /canary/)
  }
  t.match(refused[1], /The database refused a statement: errno 1406, 22001/)
})

t.test(
  'a silent and a dead server are UNAVAILABLE, and all is well when it is back',
  {
    skip: skipWithout('mariadb'),
  },
  async (t) => {
    const mariadb = await ownMariadb(t)
    const { engine, pool } = await open(t, await mariadb.databaseUrl(), { maxWaitMs: 300 })
    const name = await numbers(engine)
    const patient = createEngine(pool, 'patient', 20_000)
    const everything = () =>
      Promise.allSettled([
        ...Array.from({ length: 8 }, () => engine.run(`UPDATE ${name} SET n = n`)),
        engine.batch([add(name, 0)]),
        engine.all(`SELECT n FROM ${name}`),
        engine.clock(),
      ])
    mariadb.pause()
    // The signal takes a moment to stop the last of its threads.
    await t.rejects(async () => {
      for (;;) await engine.clock()
    })
    for (const result of await everything()) t.match(result, { status: 'rejected', reason: UNAVAILABLE })
    mariadb.resume()
    t.equal(await patient.run(`UPDATE ${name} SET n = n`), 2)
    await mariadb.kill()
    for (const result of await everything()) t.match(result, { status: 'rejected', reason: UNAVAILABLE })
    await mariadb.restart()
    t.equal(await patient.run(`UPDATE ${name} SET n = n`), 2)
    for (const result of await everything()) t.equal(result.status, 'fulfilled')
  },
)

t.test('a database that cannot be reached is told in a sentence', async (t) => {
  const open = async (port: number, patienceMs: number, said: string[] = []) => {
    const app = { log: { warn: (message: string) => said.push(message) } } as unknown as FastifyInstance
    const address = addressOf(`mysql://ann:canary@127.0.0.1:${port}/name`)
    return openMysql(app, address, { maxWaitMs: 100, poolSize: 1 }, patienceMs)
  }
  const silent: Server = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as { port: number }
  await t.rejects(open(port, 0), {
    message: `The database at 127.0.0.1:${port} did not answer within 0 s (ETIMEDOUT).`,
  })
  silent.close()
  await once(silent, 'close')
  const said: string[] = []
  const where = `The database at 127.0.0.1:${port}`
  await t.rejects(open(port, 600, said), { message: `${where} did not answer within 0.6 s (ECONNREFUSED).` })
  t.strictSame(said, [`${where} does not answer yet (ECONNREFUSED); waiting up to 0.6 s.`])
})

const sqlite = async (t: Test) => join(await folder(t), 'some', 'where', 'latchkey.db')

function openFile(t: Test, file: string, { maxWaitMs = 20_000, exclusive = false } = {}): Engine {
  const engine = openSqlite(file, { maxWaitMs, exclusive })
  t.teardown(() => engine.close())
  return engine
}

t.test('SQLite is durable and strict about its keys', async (t) => {
  const engine = openFile(t, await sqlite(t))
  t.equal(await only(engine, 'PRAGMA journal_mode'), 'wal')
  t.equal(await only(engine, 'PRAGMA synchronous'), 2)
  t.equal(await only(engine, 'PRAGMA foreign_keys'), 1)
})

t.test('a file has one holder that serves, and commands beside it', async (t) => {
  const file = await sqlite(t)
  const serving = openSqlite(file, { maxWaitMs: 20_000, exclusive: true })
  t.throws(() => openSqlite(file, { maxWaitMs: 100, exclusive: true }), {
    message: `Another Latchkey serves ${file} already. One file takes one; several instances share a MySQL or MariaDB.`,
  })
  const command = openFile(t, file)
  const name = await numbers(serving)
  t.strictSame(await command.batch([add(name, 0), add(name, 1)]), [1, 1])
  t.strictSame(await serving.batch([add(name, 0)]), [1])
  const writes = [serving, command].flatMap((engine) => Array.from({ length: 10 }, () => engine.batch([add(name, 1)])))
  await Promise.all(writes)
  t.strictSame(await command.all(`SELECT n FROM ${name} ORDER BY id`), [{ n: 2 }, { n: 21 }])
  await serving.close()
  openFile(t, file, { exclusive: true })
})

t.test('kill -9 frees the file at once', async (t) => {
  const file = await sqlite(t)
  const holder = await serve(t, `sqlite:${file}`)
  t.throws(() => openSqlite(file, { maxWaitMs: 100, exclusive: true }), /Another Latchkey serves/)
  holder.signal('SIGKILL')
  t.equal(await holder.ended, 'SIGKILL')
  const next = openFile(t, file, { exclusive: true })
  t.equal(await only(next, 'SELECT COUNT(*) AS n FROM signing_keys'), 2)
})

t.test('without libsql it starts where Node.js brings SQLite, and elsewhere says what to do', async (t) => {
  const hide = join(await folder(t), 'hide.cjs')
  await writeFile(
    hide,
    `const Module = require('node:module')
    const resolve = Module._resolveFilename
    Module._resolveFilename = (name, ...rest) => resolve(name === 'libsql' ? 'no-such-package' : name, ...rest)`,
  )
  const started = node(t, ['--require', hide, 'dist/server.js'], settingsOf(`sqlite:${await sqlite(t)}`))
  if (isBuiltin('node:sqlite')) return void (await listening(started))
  t.equal(await started.ended, 1)
  t.match(
    started.stderr(),
    /^The database file [^\n]* has no SQLite of its own; run Node\.js 22\.13 or newer, or install libsql [^\n]*\n$/,
  )
})

t.test('a lock that somebody else holds is waited for while everything else goes on', async (t) => {
  const file = await sqlite(t)
  const engine = openFile(t, file)
  const name = await numbers(engine)
  const foreign = openConnection(file)
  t.teardown(() => foreign.close())
  foreign.exec('BEGIN IMMEDIATE')
  const settled: string[] = []
  const batch = engine.batch([add(name, 0)]).finally(() => settled.push('batch'))
  const run = engine.run(`UPDATE ${name} SET n = n + 10`).finally(() => settled.push('run'))
  t.strictSame(await engine.all(`SELECT n FROM ${name}`), [{ n: 0 }, { n: 0 }], 'reading needs no lock')
  // Each of these turns of the event loop comes only because the wait does not stop it.
  for (let turn = 0; turn < 5; turn++) await pause(20)
  t.strictSame(settled, [])
  foreign.exec('COMMIT')
  t.strictSame(await batch, [1])
  t.equal(await run, 2)
  t.strictSame(await engine.all(`SELECT n FROM ${name} ORDER BY id`), [{ n: 11 }, { n: 10 }])
})

t.test('a lock that is held too long is 503, and nothing is left of it', async (t) => {
  const file = await sqlite(t)
  const engine = openFile(t, file, { maxWaitMs: 200 })
  const name = await numbers(engine)
  const foreign = openConnection(file)
  t.teardown(() => foreign.close())
  foreign.exec('BEGIN IMMEDIATE')
  await t.rejects(engine.run(`UPDATE ${name} SET n = 1`), UNAVAILABLE)
  await t.rejects(engine.batch([add(name, 0)]), UNAVAILABLE)
  await withBudget(200, async () => {
    await t.rejects(engine.batch([add(name, 0)]), UNAVAILABLE)
    await t.rejects(engine.all(`SELECT n FROM ${name}`), UNAVAILABLE, 'one budget for all of it')
  })
  foreign.exec('COMMIT')
  t.strictSame(await engine.batch([add(name, 0)]), [1])
  t.equal(await only(engine, `SELECT n FROM ${name} WHERE id = 0`), 1)
})

t.test('a file that is no database, or cannot be one, is told in a sentence', async (t) => {
  const path = await folder(t)
  const garbage = join(path, 'garbage.db')
  await writeFile(garbage, 'this is no database, '.repeat(200))
  await mkdir(join(path, 'folder.db'))
  for (const file of [garbage, join(path, 'folder.db'), join(garbage, 'below.db')])
    for (const exclusive of [false, true])
      t.throws(
        () => openSqlite(file, { maxWaitMs: 100, exclusive }),
        new RegExp(`The database file ${file} cannot be opened: .`),
      )
})

t.test('a disk that fails is UNAVAILABLE at once, anything else stays what it is', async (t) => {
  const failing = (fault: object) => () => {
    throw Object.assign(new Error('a fault'), fault)
  }
  const soon = () => performance.now() + 60_000
  // As node:sqlite and as libsql number them: the last one is an SQLITE_IOERR_WRITE.
  for (const name of ['errcode', 'rawCode']) {
    for (const code of [6, 8, 10, 11, 13, 14, 15, 26, 778])
      await t.rejects(untilUnlocked(failing({ [name]: code }), soon()), UNAVAILABLE, `${name} ${code}`)
    await t.rejects(untilUnlocked(failing({ [name]: 1 }), soon()), { message: 'a fault' })
    for (const code of [1555, 2067])
      await t.rejects(untilUnlocked(failing({ [name]: code }), soon()), new UniqueViolation())
    const later = [failing({ [name]: 5 }), failing({ [name]: 517 }), () => 'unlocked']
    t.equal(await untilUnlocked(() => later.shift()!(), soon()), 'unlocked')
    await t.rejects(untilUnlocked(failing({ [name]: 5 }), performance.now() - 1), UNAVAILABLE, 'not for ever')
  }
  await t.rejects(untilUnlocked(failing({ code: 'ERR_INVALID_STATE' }), soon()), { message: 'a fault' })
})

t.test('a disk that is full is UNAVAILABLE, and all is well when there is room again', async (t) => {
  const engine = openFile(t, await sqlite(t))
  await engine.define('CREATE TABLE texts (id INTEGER NOT NULL PRIMARY KEY, text TEXT NOT NULL)')
  const insert = (id: number, text: string) => ({ sql: 'INSERT INTO texts VALUES (?, ?)', values: [id, text] })
  await engine.define('PRAGMA max_page_count = 20')
  await t.rejects(engine.batch([insert(1, 'fits'), insert(2, 'x'.repeat(200_000))]), UNAVAILABLE)
  await t.rejects(engine.run('INSERT INTO texts VALUES (?, ?)', [2, 'x'.repeat(200_000)]), UNAVAILABLE)
  const together = [insert(1, 'fits'), insert(2, 'x'.repeat(200_000))].map((one) => engine.batch([one]))
  for (const outcome of await Promise.allSettled(together))
    t.match(outcome, { status: 'rejected', reason: UNAVAILABLE }, 'nothing is told that was not committed')
  t.equal(await only(engine, 'SELECT COUNT(*) AS n FROM texts'), 0)
  await engine.define('PRAGMA max_page_count = 1000')
  t.strictSame(await engine.batch([insert(1, 'fits'), insert(2, 'x'.repeat(200_000))]), [1, 1])
})

t.test('a database that falls silent during the start stops it with a sentence', { skip }, async (t) => {
  const url = await mariadbUrl(t)
  const { port } = addressOf(url)
  let connections = 0
  // The first connection looks whether it is there, the second one is the pool's own first.
  const proxy: Server = createServer((socket) => {
    socket.on('error', () => {})
    if (++connections > 2) return void socket.destroy()
    const there = connect(port, '127.0.0.1')
    there.on('error', () => {})
    socket.pipe(there).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => proxy.close())
  const { port: ours } = proxy.address() as AddressInfo
  const config = configOf(url.replace(`:${port}/`, `:${ours}/`))
  await t.rejects(buildApp({ config, routes: false }), {
    message: /^MySQL 127\.0\.0\.1:\d+\/\w+ stopped answering while its schema was brought up to date\.$/,
  })
})
