/**
 * How long one request may wait for the database, all its queries together (DB_MAX_WAIT_MS). The budget rides along in
 * an AsyncLocalStorage, so that no function between the hook and the engine has to hand it on.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { fail } from '../../schemas/errors.ts'

interface Budget {
  left: number
}

const budgets = new AsyncLocalStorage<Budget>()
/** How many requests have a budget just now. */
let inside = 0

/** Runs `work` with a budget of its own, in milliseconds. */
export function withBudget<T>(ms: number, work: () => T): T {
  return budgets.run({ left: ms }, work)
}

/**
 * The same for a request, until its answer is out. An AsyncLocalStorage that was ever used costs Node.js 20 and 22 some
 * microseconds at every request, those that never enter it too: so it is off while no request is inside.
 */
export function withBudgetUntil(whenOver: (over: () => void) => void, ms: number, work: () => void): void {
  inside++
  whenOver(() => {
    if (--inside === 0) budgets.disable()
  })
  withBudget(ms, work)
}

/** Whether this request has waited for nothing yet. Outside of a request nothing is counted. */
export function isUnspent(ms: number): boolean {
  return (budgets.getStore()?.left ?? ms) >= ms
}

/** Runs what several requests wait for, none of which has spent anything, with a budget that is nobody's own. */
export function shared<T>(ms: number, work: () => T): T {
  return budgets.getStore() ? withBudget(ms, work) : work()
}

/**
 * Runs `work` with the milliseconds that are left, and takes off what it took. Outside of a request `ms` is the budget.
 * Throws UNAVAILABLE where nothing is left.
 */
export async function spend<T>(ms: number, work: (left: number) => Promise<T>): Promise<T> {
  const budget = budgets.getStore() ?? { left: ms }
  if (budget.left <= 0) fail('UNAVAILABLE')
  const start = performance.now()
  try {
    return await work(budget.left)
  } finally {
    budget.left -= performance.now() - start
  }
}
