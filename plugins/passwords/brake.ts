/**
 * How fast refusals leave. A client that asks again at once, whatever Retry-After says, would else be refused some
 * thousands of times a second, and take the cores from those who are hashing: they have the lowest priority.
 */

/** So many refusals for each hash: a service that is asked for ten times what it can hash does not feel the brake. */
const REFUSALS = 15
/** So many may leave together: people do not come evenly. */
const BURST = 25
/** The longest that a refusal is held: many who ask on and on must not pile up here. */
const LONGEST_MS = 200

/** Gives, for a refusal at `time`, how many milliseconds it is to be held; `hashMs` is the time between two hashes. */
export function createBrake() {
  /** When the next one may leave, had all come evenly. */
  let next = Number.NEGATIVE_INFINITY
  return (time: number, hashMs: number): number => {
    const step = hashMs / REFUSALS
    next = Math.min(Math.max(next, time - BURST * step) + step, time + LONGEST_MS)
    return Math.max(0, next - time)
  }
}
