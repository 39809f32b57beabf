/** Brings the schema up to date: at every start, and by `latchkey migrate`. */
import type { Engine } from './engine.ts'
import { createLeases, defineLeases, type WithLease } from './leases.ts'
import { MIGRATIONS } from './migrations.ts'

/** Runs the steps that are missing, one instance at a time. Gives the lease on, since the first signing key is made under it too. */
export async function migrate(engine: Engine, now: () => number, newId: () => string): Promise<WithLease> {
  await defineLeases(engine)
  await engine.define('CREATE TABLE migrations (step INTEGER NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)')
  const withLease = createLeases(engine, now, newId)
  // A newer version may have added steps: additive ones, so an older instance goes on beside it.
  if ((await steps(engine)) < MIGRATIONS.length) await withLease('setup', (renew) => run(engine, now, renew))
  return withLease
}

async function steps(engine: Engine): Promise<number> {
  const [row] = await engine.all<{ done: number }>('SELECT COUNT(*) AS done FROM migrations')
  return Number(row?.done)
}

async function run(engine: Engine, now: () => number, renew: () => Promise<void>): Promise<void> {
  for (let step = await steps(engine); step < MIGRATIONS.length; step++) {
    await engine.define(MIGRATIONS[step]!(engine.types))
    await engine.run('INSERT INTO migrations (step, applied_at) VALUES (?, ?)', [step, now()])
    await renew()
  }
}
