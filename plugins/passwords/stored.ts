/**
 * What can be read in a stored hash without hashing: its form and its cost. Apart from formats.ts, since the queue asks
 * for the cost, and only the threads have to load bcrypt.
 */
import type { Job } from './worker.ts'

export interface Stored {
  keyed: boolean
  cost: number
  salt: string
  digest: string
}

const CURRENT = /^\$bcrypt-sha256\$v=2,t=2b,r=(\d{1,2})\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})$/
const PLAIN = /^\$2[aby]\$(\d\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/

/** Below 4 bcrypt does not go. One hash at 18 takes some 14 s; one at 31 would hold a thread for more than a day. */
const COSTS = { least: 4, most: 18 }

/** The parts of a stored hash. Gives undefined where its form is not known, or its cost too high. */
export function parse(stored: string): Stored | undefined {
  const current = CURRENT.exec(stored)
  const [, digits, salt, digest] = current ?? PLAIN.exec(stored) ?? []
  if (!salt || !digest) return undefined
  const cost = Number(digits)
  return cost < COSTS.least || cost > COSTS.most ? undefined : { keyed: current !== null, cost, salt, digest }
}

/** Whether it is of the form and the cost in force. */
export const isCurrent = (parts: Stored | undefined, cost: number): boolean =>
  parts?.keyed === true && parts.cost === cost

/** The costs of the hashes that a job makes, where `cost` is the one in force: see checkPassword. */
export function costsOf(job: Job, cost: number): number[] {
  const parts = job.kind === 'check' ? parse(job.stored ?? '') : undefined
  return parts && !isCurrent(parts, cost) ? [parts.cost, cost] : [cost]
}
