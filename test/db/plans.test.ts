/** No statement reads a whole table: every SQL text that the database room runs, as each engine would run it. */
import t from 'tap'
import type { Engine, Statement, Value } from '../../plugins/db/engine.ts'
import { createKeysTable } from '../../plugins/db/keys.ts'
import { createSessionsTable } from '../../plugins/db/sessions.ts'
import { createUsers } from '../../plugins/db/users.ts'
import { onEachEngine } from '../engines.ts'
import { account, openRoom, randomId, SECOND, session, T0 } from './room.ts'

const ROWS = 10_000
/** Of a handful of rows, where the whole table is the cheapest to read. */
const SMALL = /signing_keys/

/** As many people, each with a session: one a second is opened from T0 on, and every tenth has ended a minute later. */
const FILL = [
  `INSERT INTO users (id, email, email_canonical, email_verified, username, username_canonical, password_hash, roles, logins, created_at, updated_at)
    SELECT i, i, i, 0, i, i, 'hash', '', 0, ${T0}, ${T0}`,
  `INSERT INTO sessions (id, user_id, handle_hash, generation, created_at, last_used_at, expires_at, ended_at, until, ip, user_agent)
    SELECT i, i, i, 0, ${T0} + n * 1000, ${T0} + n * 1000, ${T0} + n * 1000 + 2000000,
      CASE WHEN n % 10 = 0 THEN ${T0} + n * 1000 + 60000 END, ${T0} + n * 1000 + 1200000, '', ''`,
].map((insert) => {
  const [table, select] = insert.split('SELECT') as [string, string]
  return `${table} WITH RECURSIVE n (k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k < 99)
    SELECT ${select} FROM (SELECT 1000000 + a.k * 100 + b.k AS i, a.k * 100 + b.k AS n FROM n a, n b) x`
})

/** The engine, with a note of what is asked of it. */
function noted(engine: Engine) {
  const statements = new Map<string, Value[]>()
  const note = (sql: string, values: Value[] = []) => {
    statements.set(sql, values)
    return sql
  }
  const noting: Engine = {
    ...engine,
    all: (sql, values) => engine.all(note(sql, values), values),
    first: (sql, values) => engine.first(note(sql, values), values),
    run: (sql, values) => engine.run(note(sql, values), values),
    batch: (list: Statement[]) => {
      for (const { sql, values } of list) note(sql, values)
      return engine.batch(list)
    },
  }
  return { statements, noting }
}

/** Of what is read together with others, the statement of each length. */
async function inCrowds(read: (id: string) => Promise<unknown>, id: string): Promise<void> {
  for (const size of [1, 2, 9]) await Promise.all(Array.from({ length: size }, () => read(id)))
}

/** Calls every function of these tables once, by the name of the function. */
function everything(engine: Engine) {
  const [users, sessions, keys] = [createUsers(engine, 3), createSessionsTable(engine), createKeysTable(engine)]
  const ann = account()
  const first = session(ann.id)
  const now = T0 + 2_300_000
  const calls = {
    users: {
      register: () => users.register(ann, first),
      byId: () => inCrowds(users.byId, ann.id),
      byName: async () => [await users.byName({ email: ann.email }), await users.byName({ username: ann.username })],
      taken: () => users.taken(ann.email, ann.username),
      login: () => users.login(ann, undefined, session(ann.id)),
      changePassword: () => users.changePassword(ann, first.id, ann.passwordHash, session(ann.id)),
      rename: () => users.rename(ann.id, `v${ann.id}`, T0),
      remove: () => users.remove(ann, randomId(), T0),
    },
    sessions: {
      byId: () => sessions.byId(first.id),
      byHandle: () => inCrowds(sessions.byHandle, first.handleHash),
      list: () => sessions.list(ann.id, T0),
      rotate: () => sessions.rotate(first, first),
      end: () => sessions.end(ann.id, first.id, T0),
      endAll: () => sessions.endAll(ann.id, T0),
      endedOf: () => sessions.endedOf(ann.id, T0),
      endedSince: () => sessions.endedSince(T0 + (ROWS - 60) * SECOND, T0 + ROWS * SECOND),
      purge: () => sessions.purge(now),
    },
    keys: { all: () => keys.all(), change: () => keys.change([]), noteTtl: () => keys.noteTtl('', 0) },
  }
  return { calls, rooms: { users, sessions, keys } }
}

/** What a plan says against a statement; undefined where nothing. */
function fault(engine: 'sqlite' | 'mariadb', plan: Record<string, unknown>[]): unknown {
  // Of SQLite: `SCAN x` reads what the statement has just selected itself.
  if (engine === 'sqlite') return plan.map(({ detail }) => detail).find((detail) => /^SCAN (?!x$)/.test(String(detail)))
  return plan.find(({ type, table }) => (type === 'ALL' || type === 'index') && !String(table).startsWith('<'))
}

onEachEngine(t, 'no statement reads a whole table', async (t, { name, databaseUrl }) => {
  const { engine } = await openRoom(t, await databaseUrl())
  for (const insert of FILL) await engine.run(insert)
  for (const table of name === 'sqlite' ? [''] : ['TABLE users', 'TABLE sessions'])
    await engine.define(`ANALYZE ${table}`)
  const { statements, noting } = noted(engine)
  const { calls, rooms } = everything(noting)
  for (const [room, functions] of Object.entries(calls)) {
    t.strictSame(Object.keys(functions).sort(), Object.keys(rooms[room as keyof typeof rooms]).sort(), room)
    for (const call of Object.values(functions)) await call()
  }
  const explain = name === 'sqlite' ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN'
  t.ok(statements.size > 20, `${statements.size} statements`)
  const lengths = (column: string) => [...statements.keys()].filter((sql) => sql.includes(`${column} IN`)).length
  t.strictSame([lengths('u.id'), lengths('s.handle_hash')], [3, 3], 'who asks together is one query')
  for (const [sql, values] of statements) {
    if (sql.startsWith('INSERT') || SMALL.test(sql)) continue
    const plan = await engine.all<Record<string, unknown>>(`${explain} ${sql}`, values)
    t.equal(fault(name, plan), undefined, sql, { plan })
  }
  const whole = await engine.all<Record<string, unknown>>(`${explain} SELECT email FROM users WHERE email = 'x'`)
  t.ok(fault(name, whole), 'and one that does is seen')
})
