/**
 * A lease: the right to do what only one instance may do at a time. It is a row, taken by a committed conditional
 * UPDATE and running out by itself, since a lock of the database protects one node of a cluster only.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type Engine, UniqueViolation } from './engine.ts'

const LEASE_MS = 30_000

/** Makes the table; safe in ten instances at once. */
export async function defineLeases({ define, types }: Engine): Promise<void> {
  await define(`CREATE TABLE leases (
    name ${types.id} NOT NULL PRIMARY KEY,
    holder ${types.id} NOT NULL,
    expires_at BIGINT NOT NULL
  )`)
}

type Work<T> = (check: () => Promise<void>) => Promise<T>

export function createLeases(engine: Engine, now: () => number, newId: () => string) {
  const holder = newId()

  async function take(name: string): Promise<boolean> {
    const time = now()
    const taken = await engine.run(
      'UPDATE leases SET holder = ?, expires_at = ? WHERE name = ? AND (expires_at <= ? OR holder = ?)',
      [holder, time + LEASE_MS, name, time, holder],
    )
    return taken === 1
  }

  async function exist(name: string): Promise<void> {
    await engine.run('INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, 0)', [name, '']).catch((error) => {
      if (!(error instanceof UniqueViolation)) throw error
    })
  }

  /** Keeps the lease while a step takes long; the next step is stopped where that failed. */
  function keep(name: string) {
    let held = Promise.resolve(true)
    const renew = async (before: Promise<boolean>) => (await before) && take(name).catch(() => false)
    const timer = setInterval(() => {
      held = renew(held)
    }, LEASE_MS / 3).unref()
    return {
      /** Waits for a renewal that is under way: it must not come after the release. */
      async stop() {
        clearInterval(timer)
        await held
      },
      async check() {
        held = renew(held)
        if (!(await held)) throw new Error(`The lease ${name} was lost to another instance.`)
      },
    }
  }

  /** Runs `work` under a lease that was taken, and gives it back. */
  async function under<T>(name: string, work: Work<T>): Promise<T> {
    const lease = keep(name)
    try {
      return await work(lease.check)
    } finally {
      await lease.stop()
      await engine.run('UPDATE leases SET expires_at = 0 WHERE name = ? AND holder = ?', [name, holder])
    }
  }

  return {
    /** Waits for the lease and runs `work`, which calls `check` between its steps; a lease that was lost stops it. */
    async withLease<T>(name: string, work: Work<T>): Promise<T> {
      await exist(name)
      while (!(await take(name))) await pause(100)
      return under(name, work)
    },

    /** The same, but where another instance has the lease nothing is done. */
    async tryLease(name: string, work: Work<void>): Promise<void> {
      await exist(name)
      if (await take(name)) await under(name, work)
    },
  }
}

export type Leases = ReturnType<typeof createLeases>
