/** What goes on beside the requests: clocks that are compared, endings that are forgotten. */
import t from 'tap'
import { dbOf } from '../../../plugins/db/index.ts'
import { sessionsOf } from '../../../plugins/sessions/index.ts'
import { compareClocks } from '../../../plugins/sessions/timers.ts'
import { onEachEngine } from '../../engines.ts'
import { openApp, stall, startApp, type TestApp, watchCalls } from '../../helper.ts'
import { until } from '../../process.ts'

onEachEngine(t, 'clocks that are apart are told, naming both', async (t, engine) => {
  const { server } = await startApp(t, engine)
  const db = dbOf(server)
  const told: { database: string; here: string }[] = []
  const log = { error: (clocks: { database: string; here: string }) => told.push(clocks) }
  await compareClocks({ log } as never, db, Date.now)
  t.strictSame(told, [], 'together')
  for (const apart of [-6000, 6000]) await compareClocks({ log } as never, db, () => Date.now() + apart)
  t.equal(told.length, 2)
  for (const [index, { database, here }] of told.entries()) {
    const seconds = (Date.parse(here) - Date.parse(database)) / 1000
    t.equal(Math.sign(seconds), index === 0 ? -1 : 1)
    t.ok(Math.abs(seconds) > 4 && Math.abs(seconds) < 8, `${seconds}`)
  }
})

t.test('an ending is forgotten when the last token of its session is dead, and no earlier', async (t) => {
  let time = 1000
  const { createEndedList } = await import('../../../plugins/sessions/ended.ts')
  const list = createEndedList({ db: {} as never, now: () => time, stalenessMs: 1, maxWaitMs: 1 })
  list.add([
    { id: 'short', until: 2000, endedAt: 1 },
    { id: 'long', until: 3000, endedAt: 1 },
  ])
  time = 2000
  list.forget()
  t.strictSame([list.has('short'), list.has('long')], [false, true])
})

onEachEngine(t, 'what is over is purged while the service listens', async (t, engine) => {
  const app = await startApp(t, engine)
  await app.register('ann')
  await app.advance(app.config.SESSION_MAX_AGE)
  const bob = await app.register('bob')
  await app.server.listen({ host: '127.0.0.1', port: 0 })
  await until(async () => (await app.sql('SELECT id FROM sessions')).length === 1)
  t.equal((await bob.get('/user/sessions')).status, 200, 'the living one stays')
})

onEachEngine(t, 'one instance purges at a time, and one that dies is followed by the next', async (t, engine) => {
  // A file has one instance that serves.
  if (engine.name === 'sqlite') return
  const first = await startApp(t, engine)
  await first.register('ann')
  const wall = stall(dbOf(first.server).sessions, 'purge', 'before')
  const listen = ({ server }: TestApp) => server.listen({ host: '127.0.0.1', port: 0 })
  await listen(first)
  await wall.arrival

  /** Another instance after its first look at the lease: what it did with the sessions. */
  const beside = async (seconds: number) => {
    const app = await openApp(
      t,
      { DATABASE_URL: first.config.DATABASE_URL },
      { time: first.clock.time + seconds * 1000 },
    )
    const db = dbOf(app.server)
    const calls = watchCalls(db.sessions)
    const { tryLease } = db
    const looked = new Promise<void>((resolve, reject) => {
      db.tryLease = (...args) =>
        tryLease(...args)
          .finally(() => resolve())
          .catch(reject)
    })
    await listen(app)
    await looked
    return calls.filter((call) => call === 'purge')
  }
  t.strictSame(await beside(0), [], 'the first one has the lease')
  t.strictSame(await beside(30), ['purge'], 'and would have renewed it if it lived')
  wall.release()
})

onEachEngine(t, 'a clock that is ahead hides nothing that others end', async (t, engine) => {
  const app = await startApp(t, engine)
  const [ann, bob] = [await app.register('ann'), await app.register('bob')]
  const sid = (await bob.get('/user/sessions')).body.sessions[0].id
  const other = (await ann.get('/user/sessions')).body.sessions[0].id
  const end = (id: string, at: number) => app.sql('UPDATE sessions SET ended_at = ? WHERE id = ?', [at, id])
  await end(other, app.clock.time + 3_600_000)
  await sessionsOf(app.server).ended.poll()
  t.equal((await ann.get('/user/me')).body.code, 'INVALID_TOKEN')
  await end(sid, app.clock.time)
  await sessionsOf(app.server).ended.poll()
  t.equal((await bob.get('/user/me')).body.code, 'INVALID_TOKEN')
})
