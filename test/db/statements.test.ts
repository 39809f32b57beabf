/** What a request asks of a MariaDB: so many prepared statements, in one transaction at most, and nothing unprepared. */
import t from 'tap'
import { createEngine } from '../engines.ts'
import { PASSWORD, startApp } from '../helper.ts'

interface Connection {
  execute: (sql: string, ...rest: unknown[]) => unknown
  query: (sql: string, ...rest: unknown[]) => unknown
}
type Pool = { getConnection: (got: (error: unknown, connection: Connection) => void) => void }

/** Notes what is asked, by its first word; what is not prepared, whole. */
function noted(pool: Pool): string[] {
  const asked: string[] = []
  const watch = (connection: Connection): Connection =>
    new Proxy(connection, {
      get(target, name) {
        const value = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          if (name === 'execute') asked.push(String(args[0]).split(' ')[0]!)
          if (name === 'query') asked.push(`unprepared ${args[0]}`)
          return Reflect.apply(value, target, args)
        }
      },
    })
  const getConnection = pool.getConnection.bind(pool)
  pool.getConnection = (got) => getConnection((error, connection) => got(error, connection && watch(connection)))
  return asked
}

const [START, COMMIT] = ['unprepared START TRANSACTION', 'unprepared COMMIT']

t.test('so many statements', { skip: process.env.TEST_MYSQL_URL ? false : 'no MariaDB server' }, async (t) => {
  const app = await startApp(t, createEngine(t, 'mariadb'), { REFRESH_GRACE: '0' })
  const asked = noted((app.server as unknown as { mysql: { pool: { pool: Pool } } }).mysql.pool.pool)
  const of = async <T>(deed: Promise<T>): Promise<[T, string[]]> => [await deed, asked.splice(0)]

  const [ann, register] = await of(app.register('ann'))
  // Whether the two names are free is asked at once, and again when the turn of the hash comes.
  const free = ['SELECT', 'SELECT']
  t.strictSame(register, [...free, ...free, START, 'INSERT', 'INSERT', COMMIT], 'register')
  const [, login] = await of(app.anon.post('/user/login', { username: 'ann', password: PASSWORD }))
  t.strictSame(login, ['SELECT', START, 'UPDATE', 'INSERT', 'UPDATE', COMMIT], 'login')
  const [me, asks] = await of(ann.get('/user/me'))
  t.equal(me.status, 200)
  t.strictSame(asks, ['SELECT'], 'GET /user/me: without a budget, since it is one')
  const [, verify] = await of(ann.get('/auth/verify'))
  t.strictSame(verify, [], 'GET /auth/verify')
  const { refresh_token } = ann.tokens
  const [refreshed, refresh] = await of(app.anon.post('/user/refresh', { refresh_token }))
  t.equal(refreshed.status, 200)
  t.strictSame(refresh, ['SELECT', 'UPDATE'], 'refresh')
})
