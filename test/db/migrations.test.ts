/** The schema: ten starts at once, steps that are run again, a newer version beside, and the lease that guards it all. */
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { type App, buildApp } from '../../app.ts'
import type { Engine as Database } from '../../plugins/db/engine.ts'
import { createLeases } from '../../plugins/db/leases.ts'
import { migrate } from '../../plugins/db/migrate.ts'
import { MIGRATIONS } from '../../plugins/db/migrations.ts'
import { keysOf } from '../../plugins/keys/index.ts'
import { connect, createEngine, type Engine, onEachEngine } from '../engines.ts'
import { PASSWORD, randomName } from '../helper.ts'
import { node, settingsOf, until } from '../process.ts'
import { account, configOf, only, openRoom, type Room, randomId, SECOND, session } from './room.ts'

const skip = process.env.TEST_MYSQL_URL ? false : 'no MariaDB server'

const LEASE_MS = 30_000
/** The pause between two looks at a lease that somebody else holds. */
const LOOKS_MS = 100

/** What is in a database, as its own schema tells it, without the rows. */
async function schemaOf(engine: Database, kind: Engine['name']): Promise<unknown[]> {
  if (kind === 'sqlite') return engine.all('SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name')
  const columns = await engine.all(
    `SELECT table_name AS t, column_name AS c, column_type AS type, collation_name AS collation, is_nullable AS nullable
      FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position`,
  )
  const keys = await engine.all(
    `SELECT table_name AS t, index_name AS i, column_name AS c, non_unique AS many
      FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index`,
  )
  return [...columns, ...keys]
}

const stepsOf = async (engine: Database) =>
  (await engine.all<{ step: number }>('SELECT step FROM migrations ORDER BY step')).map(({ step }) => step)
const allSteps = MIGRATIONS.map((_, step) => step)

/** The two keys that a first start makes, the signing one first. */
async function twoKeys(t: Test, { db }: Room): Promise<string[]> {
  const keys = await db.keys.all()
  t.equal(keys.length, 2)
  return keys.sort((a) => (a.signsAt === null ? 1 : -1)).map(({ kid }) => kid)
}

/** Whether the room does its work. */
async function works(t: Test, { db }: Room): Promise<void> {
  const ann = account()
  t.equal(await db.users.register(ann, session(ann.id)), undefined)
  t.strictSame(await db.users.byId(ann.id), ann)
}

t.test('ten starts at once on a new database all succeed and make one pair of keys', { skip }, async (t) => {
  const url = await createEngine(t, 'mariadb').databaseUrl()
  const config = configOf(url, { DB_POOL_SIZE: '2', BCRYPT_COST: '10', HASH_MAX_WAIT_MS: '60000' })
  const apps = await Promise.all(Array.from({ length: 10 }, () => buildApp({ config })))
  t.teardown(() => Promise.all(apps.map((app) => app.close())))
  const room = await openRoom(t, url)
  t.strictSame(await stepsOf(room.engine), allSteps)
  const [signing] = await twoKeys(t, room)
  for (const app of apps) t.equal(keysOf(app).set!.current().kid, signing)
  const username = randomName()
  const body = { username, email: `${username}@example.com`, password: PASSWORD }
  const made = await apps[0]!.inject({ method: 'POST', url: '/user/register', payload: body })
  const headers = { authorization: `Bearer ${made.json().access_token}` }
  for (const app of apps) t.equal((await app.inject({ url: '/user/me', headers })).statusCode, 200)
})

t.test('ten commands at once on a new SQLite file all succeed and make one pair of keys', async (t) => {
  const url = await createEngine(t, 'sqlite').databaseUrl()
  const rooms = await Promise.all(Array.from({ length: 10 }, () => openRoom(t, url)))
  t.strictSame(await stepsOf(rooms[0]!.engine), allSteps)
  for (const room of rooms) await twoKeys(t, room)
})

onEachEngine(t, 'of instances that all find no key one makes them', async (t, engine) => {
  const url = await engine.databaseUrl()
  const first = await openRoom(t, url)
  await first.engine.run('DELETE FROM signing_keys')
  const looks = [0, 0, 0]
  const starting: Promise<App>[] = []
  await first.db.withLease('setup', async () => {
    for (const index of looks.keys()) {
      const now = () => {
        looks[index]!++
        return first.clock.time
      }
      starting.push(buildApp({ config: configOf(url), routes: false, now }))
    }
    // Each look at a lease asks for the time: all of them are waiting for it.
    await until(async () => looks.every((count) => count > 5))
  })
  const apps = await Promise.all(starting)
  t.teardown(() => Promise.all(apps.map((app) => app.close())))
  const [signing] = await twoKeys(t, first)
  for (const app of apps) t.equal(keysOf(app).set!.current().kid, signing)
})

onEachEngine(t, 'a start that was killed is finished by the next one', async (t, engine) => {
  const url = await engine.databaseUrl()
  const first = await openRoom(t, url)
  const schema = await schemaOf(first.engine, engine.name)
  const ann = account()
  await first.db.users.register(ann, session(ann.id))
  const keys = await first.db.keys.all()
  for (const step of allSteps.toReversed()) {
    // Killed after the change and before its note: the worst moment there is.
    await first.engine.run('DELETE FROM migrations WHERE step >= ?', [step])
    const next = await openRoom(t, url)
    t.strictSame(await stepsOf(next.engine), allSteps, `again from step ${step}`)
    t.strictSame(await schemaOf(next.engine, engine.name), schema, `again from step ${step}`)
    await next.close()
  }
  t.strictSame(await first.db.users.byId(ann.id), ann, 'and nothing is lost')
  t.strictSame(await first.db.keys.all(), keys)
})

onEachEngine(t, 'a start that was killed within the change is finished too', async (t, engine) => {
  const url = await engine.databaseUrl()
  const first = await openRoom(t, url)
  const schema = await schemaOf(first.engine, engine.name)
  await first.engine.run('DELETE FROM migrations WHERE step >= ?', [2])
  for (const index of ['sessions_of_user', 'sessions_ended', 'sessions_expiring'])
    await first.engine.define(`DROP INDEX ${index}${engine.name === 'sqlite' ? '' : ' ON sessions'}`)
  await first.engine.define('DROP TABLE signing_keys')
  const next = await openRoom(t, url)
  t.strictSame(await stepsOf(next.engine), allSteps)
  t.strictSame(new Set(await schemaOf(next.engine, engine.name)), new Set(schema))
  await twoKeys(t, next)
  await works(t, next)
})

onEachEngine(t, 'a database of the version before keeps its key and gets the next one', async (t, engine) => {
  const url = await engine.databaseUrl()
  const older = await openRoom(t, url)
  // As that version left it: one key, and a table without what came since.
  await older.engine.run('DELETE FROM signing_keys WHERE signs_at IS NULL')
  await older.engine.run('DELETE FROM migrations WHERE step > 5')
  for (const column of ['signs_at', 'token_ttl'])
    await older.engine.define(`ALTER TABLE signing_keys DROP COLUMN ${column}`)
  const [before] = await older.engine.all<{ kid: string; at: number }>('SELECT kid, created_at AS at FROM signing_keys')
  const app = await buildApp({ config: configOf(url), routes: false })
  t.teardown(() => app.close())
  t.equal(keysOf(app).set!.current().kid, before!.kid, 'it signs on')
  t.match(keysOf(app).set!.list(), [{ state: 'next' }, { state: 'signing', signsAt: before!.at, tokenTtl: 86_400 }])
  t.equal((await stepsOf(older.engine)).length, allSteps.length)
})

onEachEngine(t, 'a newer version may have been there', async (t, engine) => {
  const url = await engine.databaseUrl()
  const newer = await openRoom(t, url)
  await newer.engine.define('ALTER TABLE users ADD COLUMN colour INTEGER')
  await newer.engine.define("ALTER TABLE sessions ADD COLUMN device INTEGER NOT NULL DEFAULT '7'")
  for (const step of [MIGRATIONS.length, MIGRATIONS.length + 1])
    await newer.engine.run('INSERT INTO migrations (step, applied_at) VALUES (?, ?)', [step, 1])
  const older = await openRoom(t, url)
  await works(t, older)
  t.equal(await only(older.engine, 'SELECT COUNT(*) AS n FROM migrations'), MIGRATIONS.length + 2)
})

onEachEngine(t, 'a start with nothing to do changes nothing and waits for nobody', async (t, engine) => {
  const url = await engine.databaseUrl()
  const first = await openRoom(t, url)
  const notes = await first.engine.all('SELECT * FROM migrations')
  const hour = first.clock.time + 3_600_000
  await first.engine.run("UPDATE leases SET holder = 'somebody', expires_at = ?", [hour])
  const next = await openRoom(t, url)
  await works(t, next)
  t.strictSame(await first.engine.all('SELECT * FROM migrations'), notes)
  t.equal(await only(first.engine, 'SELECT DISTINCT holder FROM leases'), 'somebody')
})

onEachEngine(t, 'a lease that has run out is taken over, and whoever lost it stops', async (t, engine) => {
  const url = await engine.databaseUrl()
  const [slow, next] = [await openRoom(t, url), await openRoom(t, url)]
  const name = `lease ${randomId()}`
  const steps: string[] = []
  let takenOver = () => {}
  const overtaken = new Promise<void>((resolve) => {
    takenOver = resolve
  })
  let entered = () => {}
  const inside = new Promise<void>((resolve) => {
    entered = resolve
  })
  const lost = slow.db.withLease(name, async (check) => {
    steps.push('slow: one')
    await check()
    entered()
    await overtaken
    await check()
    steps.push('slow: two')
  })
  await inside
  next.clock.time = slow.clock.time + LEASE_MS + LOOKS_MS
  await next.db.withLease(name, async (check) => {
    steps.push('next: one')
    takenOver()
    await t.rejects(lost, { message: `The lease ${name} was lost to another instance.` })
    // Nor has the one that lost it given it back in the other's name.
    t.equal(await only(next.engine, 'SELECT expires_at FROM leases WHERE name = ?', [name]), next.clock.time + LEASE_MS)
    await check()
    steps.push('next: two')
  })
  t.strictSame(steps, ['slow: one', 'next: one', 'next: two'])
  t.equal(await only(next.engine, 'SELECT expires_at FROM leases WHERE name = ?', [name]), 0, 'given back')
})

onEachEngine(t, 'a lease that has not run out is waited for', async (t, engine) => {
  const url = await engine.databaseUrl()
  const [dead, next] = [await openRoom(t, url), await openRoom(t, url)]
  const name = `lease ${randomId()}`
  const holds = createLeases(
    dead.engine,
    () => dead.clock.time,
    () => 'a dead one',
  )
  await holds.withLease(name, async () => {
    let taken = false
    next.clock.time = dead.clock.time + LEASE_MS - 1
    const waiting = next.db.withLease(name, async () => {
      taken = true
    })
    // Its first look comes before this answer does, on the one connection of SQLite and on any of the pool.
    await next.db.ping()
    await only(next.engine, 'SELECT COUNT(*) AS n FROM leases WHERE name = ?', [name])
    t.notOk(taken)
    next.clock.time++
    await waiting
    t.ok(taken)
  })
})

onEachEngine(t, 'migrations stop where the lease is lost, and the winner finishes', async (t, engine) => {
  const url = await engine.databaseUrl()
  const { engine: database, clock, db } = await openRoom(t, url)
  await database.run('DELETE FROM migrations WHERE step > ?', [0])
  // The thief strikes when the second step is written down.
  let stolen = false
  const robbed: Database = {
    ...database,
    run: async (sql, values) => {
      const count = await database.run(sql, values)
      if (sql.startsWith('INSERT INTO migrations') && !stolen) {
        stolen = true
        await database.run("UPDATE leases SET holder = 'a thief', expires_at = ?", [clock.time + LEASE_MS])
      }
      return count
    },
  }
  await t.rejects(
    migrate(robbed, () => clock.time, randomId),
    {
      message: 'The lease setup was lost to another instance.',
    },
  )
  t.strictSame(await stepsOf(database), [0, 1])
  t.equal(await only(database, "SELECT holder FROM leases WHERE name = 'setup'"), 'a thief')
  clock.time += LEASE_MS
  await migrate(database, () => clock.time, randomId)
  t.strictSame(await stepsOf(database), allSteps)
  await db.ping()
})

onEachEngine(t, 'latchkey migrate brings a new database up to date and may be said again', async (t, engine) => {
  const url = await engine.databaseUrl()
  const said: string[] = []
  for (const _ of [1, 2]) {
    const running = node(t, ['dist/cli.js', 'migrate'], settingsOf(url))
    t.equal(await running.ended, 0)
    said.push(running.stdout() + running.stderr())
  }
  t.match(said[0], /^(SQLite|MySQL) [^\n]+ is up to date\.\n$/)
  t.equal(said[1], said[0])
  const connection = await connect(url)
  t.strictSame((await connection.sql('SELECT step FROM migrations ORDER BY step')).length, MIGRATIONS.length)
  t.equal((await connection.sql('SELECT kid FROM signing_keys')).length, 2)
  await connection.close()
})

onEachEngine(t, 'a lease is kept while a step takes long', async (t, engine) => {
  const { db, engine: database, clock } = await openRoom(t, await engine.databaseUrl())
  const expiry = async () => {
    const [row] = await database.all<{ at: number }>("SELECT expires_at AS at FROM leases WHERE name = 'long'")
    return Number(row!.at)
  }
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  await db.withLease('long', async (check) => {
    const first = await expiry()
    clock.time += 10 * SECOND
    mock.timers.tick(10 * SECOND)
    await check()
    t.equal((await expiry()) - first, 10 * SECOND, 'renewed')
    clock.time += 10 * SECOND
    mock.timers.tick(10 * SECOND)
    await until(async () => (await expiry()) - first === 20 * SECOND)
    await database.run("UPDATE leases SET holder = 'another' WHERE name = 'long'")
    mock.timers.tick(10 * SECOND)
    await t.rejects(check(), /lost/)
  })
  t.not(await expiry(), 0, 'what is another one’s is not released')
})

t.test('rights: the start makes the schema once, then it only reads and writes', { skip }, async (t) => {
  const url = await createEngine(t, 'mariadb').databaseUrl()
  const { pathname } = new URL(url)
  const database = pathname.slice(1)
  const connection = await connect(url)
  t.teardown(() => connection.close())
  const as = async (rights: string) => {
    const user = `u${randomId().slice(0, 12)}`
    await connection.sql(`CREATE USER ${user}@'127.0.0.1' IDENTIFIED BY 'pw'`)
    await connection.sql(`GRANT ${rights} ON ${database}.* TO ${user}@'127.0.0.1'`)
    const address = new URL(url)
    Object.assign(address, { username: user, password: 'pw' })
    return buildApp({ config: configOf(address.href), routes: false })
  }
  const refused = { message: /^The database refused a statement: errno 1142/ }
  await t.rejects(as('SELECT'), refused, 'no tables to make')
  await t.rejects(as('SELECT, CREATE, INDEX'), refused, 'no row to write')
  const [maker, server] = [await as('ALL'), await as('SELECT, INSERT, UPDATE, DELETE')]
  await Promise.all([maker.close(), server.close()])
  t.pass('what is up to date is served without the right to change it')
})
