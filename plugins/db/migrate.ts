/** Brings the schema up to date: at every start, and by `latchkey migrate`. */
import { Failure } from '../../schemas/errors.ts'
import type { Engine } from './engine.ts'
import { createLeases, defineLeases, type Leases } from './leases.ts'
import { MIGRATIONS } from './migrations.ts'
import { withBudget } from './waiting.ts'

/** A change of a large table may take this long, and the start waits for it. */
const STEP_MS = 600_000

/** Runs the steps that are missing, one instance at a time. Gives the leases on, since the first signing key is made under that one too. */
export async function migrate(engine: Engine, now: () => number, newId: () => string): Promise<Leases> {
  const leases = createLeases(engine, now, newId)
  // Looked at first: an instance that has nothing to do needs no right to change the schema. A newer version may have
  // added steps: additive ones, so an older instance goes on beside it.
  if ((await stepsIfAny(engine)) >= MIGRATIONS.length) return leases
  await defineLeases(engine)
  await engine.define('CREATE TABLE migrations (step INTEGER NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)')
  await leases.withLease('setup', (check) => run(engine, now, check))
  return leases
}

async function steps(engine: Engine): Promise<number> {
  const [row] = await engine.all<{ done: number }>('SELECT COUNT(*) AS done FROM migrations')
  return Number(row?.done)
}

/** In a new database there is no table to ask. */
async function stepsIfAny(engine: Engine): Promise<number> {
  try {
    return await steps(engine)
  } catch (error) {
    if (error instanceof Failure) throw error
    return 0
  }
}

async function run(engine: Engine, now: () => number, check: () => Promise<void>): Promise<void> {
  for (let step = await steps(engine); step < MIGRATIONS.length; step++) {
    await withBudget(STEP_MS, () => engine.define(MIGRATIONS[step]!(engine.types)))
    await engine.run('INSERT INTO migrations (step, applied_at) VALUES (?, ?)', [step, now()])
    await check()
  }
}
