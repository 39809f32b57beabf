/** LOG_REQUESTS: which requests get a line in the log of the process, and what stands in it. */
import t, { type Test } from 'tap'
import { connect, createEngine } from './engines.ts'
import { PASSWORD } from './helper.ts'
import { serve } from './process.ts'

/** What the log says of requests, of a service that was asked for what is there, what is not, and what nobody may know. */
async function linesOf(t: Test, LOG_REQUESTS: string | undefined, sabotage?: string) {
  const databaseUrl = await createEngine(t, 'sqlite').databaseUrl()
  const service = await serve(t, databaseUrl, { LOG_REQUESTS })
  if (sabotage) {
    const connection = await connect(databaseUrl)
    await connection.sql(sabotage)
    await connection.close()
    await service.ask('POST /user/login', { username: 'ann', password: PASSWORD })
  }
  for (const path of ['/health/live?secret=1', '/nowhere?secret=2', '/auth/verify?secret=3', '/%zz?secret=4'])
    await service.ask(`GET ${path}`)
  service.signal('SIGTERM')
  await service.ended
  const lines = service.stdout().trim().split('\n')
  return { lines: lines.map((line) => JSON.parse(line)).filter(({ method }) => method), text: service.stdout() }
}

const REFUSED = [
  { level: 30, code: 'NOT_FOUND', statusCode: 404, method: 'GET', msg: 'refused' },
  { level: 30, code: 'UNAUTHENTICATED', statusCode: 401, method: 'GET', route: '/auth/verify', msg: 'refused' },
  { level: 30, reqId: String, code: 'BAD_REQUEST', statusCode: 400, method: 'GET', msg: 'refused' },
]

t.test('errors alone, by default', async (t) => {
  const { lines } = await linesOf(t, undefined)
  t.match(lines, REFUSED)
  t.equal(lines.length, 3)
})

t.test('all: one line for each answer, with its route and its time, and never its address', async (t) => {
  const { lines, text } = await linesOf(t, 'all')
  t.match(lines, [
    { level: 30, reqId: String, statusCode: 200, method: 'GET', route: '/health/live', ms: Number, msg: 'answered' },
    ...REFUSED,
  ])
  t.equal(lines.length, 4)
  t.notMatch(text, /secret=/)
})

t.test('none: only what is our own fault, such as a table that is not there', async (t) => {
  const { lines } = await linesOf(t, 'none', 'DROP TABLE users')
  t.match(lines, [{ level: 50, code: 'INTERNAL', statusCode: 500, method: 'POST', route: '/user/login' }])
  t.equal(lines.length, 1)
})

/** What the log says of a crowd of whom one at a time is let to the hashes, and how many were refused. */
async function linesOfCrowd(t: Test, LOG_REQUESTS: string) {
  const settings = { LOG_REQUESTS, HASH_CONCURRENCY: '1', HASH_MAX_WAIT_MS: '1' }
  const service = await serve(t, await createEngine(t, 'sqlite').databaseUrl(), settings)
  const login = () => service.ask('POST /user/login', { username: 'ann', password: PASSWORD })
  const answers = await Promise.all(Array.from({ length: 30 }, login))
  service.signal('SIGTERM')
  await service.ended
  const lines = service.stdout().trim().split('\n')
  const overloaded = lines.map((line) => JSON.parse(line)).filter(({ code }) => code === 'OVERLOADED')
  return { overloaded, refused: answers.filter(({ status }) => status === 503).length }
}

t.test('who is refused in a storm is counted, one line a second', async (t) => {
  const { overloaded, refused } = await linesOfCrowd(t, 'errors')
  t.ok(refused > 20, `${refused} refused`)
  for (const line of overloaded) t.match(line, { level: 40, statusCode: 503, count: Number, msg: 'failed' })
  t.equal(
    overloaded.reduce((sum, { count }) => sum + count, 0),
    refused,
  )
  t.ok(overloaded.length < refused / 2, `${overloaded.length} lines`)
})

t.test('with all and none it is as with every other error', async (t) => {
  const all = await linesOfCrowd(t, 'all')
  t.equal(all.overloaded.length, all.refused)
  t.match(all.overloaded[0], { reqId: String, method: 'POST', route: '/user/login' })
  t.strictSame((await linesOfCrowd(t, 'none')).overloaded, [])
})
