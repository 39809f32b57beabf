/** What goes on beside the requests, from the moment that the service listens: the poll, the purge, a look at the clocks. */
import type { FastifyInstance } from 'fastify'
import type { Db } from '../db/index.ts'
import type { Keys } from '../keys/index.ts'

const POLL_MS = 1000
const MINUTE_MS = 60_000
/** Ended sessions are told by the applications' clocks; further apart than this they may be missed. */
const CLOCKS_APART_MS = 5000

interface Needs {
  db: Db
  now: () => number
  sessions: { poll: () => Promise<void>; ended: { forget: () => void } }
  keys: Keys
}

export function startTimers(app: FastifyInstance, { db, now, sessions, keys }: Needs): void {
  every(app, POLL_MS, 'reading the signing keys and the list of ended sessions', sessions.poll)
  every(app, MINUTE_MS, 'purging sessions', async (closing) => {
    sessions.ended.forget()
    // One instance at a time: two that delete the same rows wait for each other, and delete no more.
    await db.tryLease('purge', async (check) => {
      while (!closing() && (await db.sessions.purge(now())) > 0) await check()
    })
  })
  if (keys.set) every(app, MINUTE_MS, 'tending the signing keys', keys.set.tend)
  // In each instance: it is its own machine's clock that is judged.
  every(app, MINUTE_MS, 'comparing the clocks', () => compareClocks(app, db, now))
}

export async function compareClocks({ log }: Pick<FastifyInstance, 'log'>, db: Db, now: () => number): Promise<void> {
  const before = now()
  const database = await db.clock()
  const here = (before + now()) / 2
  if (Math.abs(database - here) < CLOCKS_APART_MS) return
  const clocks = { database: new Date(database).toISOString(), here: new Date(here).toISOString() }
  log.error(clocks, 'the clocks of the database and of this machine are more than 5 s apart')
}

/** A job of the timers; one that goes on for long asks whether the app is closing. */
type Work = (closing: () => boolean) => Promise<void>

/** Does `work` at once and then `ms` after each time it was done, while the app listens. A failure is logged once, until it goes well again. */
function every(app: FastifyInstance, ms: number, what: string, work: Work): void {
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()
  let closed = false
  let failing = false

  async function tick(): Promise<void> {
    try {
      await work(() => closed)
      failing = false
    } catch (err) {
      if (!failing) app.log.error({ err }, `${what} failed`)
      failing = true
    }
    if (!closed) timer = setTimeout(start, ms).unref()
  }
  function start(): void {
    running = tick()
  }

  app.addHook('onListen', async () => start())
  app.addHook('onClose', async () => {
    closed = true
    clearTimeout(timer)
    await running
  })
}
