/**
 * The thread that hashes: one job at a time, in the order in which they come, until it is told to close. Everything else
 * that the process does goes before it.
 */
import { constants, setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import { type Checked, checkPassword, hashPassword } from './formats.ts'

export type Job = { kind: 'hash'; password: string } | { kind: 'check'; password: string; stored: string | null }

/** What the thread answers: the hash, or what the check found. */
export type Answer<J extends Job> = J extends { kind: 'hash' } ? string : Checked

/** `null` asks the thread to end by itself, which lets it report its coverage; a terminated one cannot. */
export type Message = (Job & { cost: number }) | null

// Linux alone takes 0 for the thread that calls, see setpriority(2); elsewhere it is the whole process.
/* c8 ignore next 4 -- one side of it on each system; where a sandbox forbids it, hashing goes on all the same */
try {
  if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_LOW)
} catch {}

const port = parentPort!

port.on('message', (message: Message) => {
  if (message === null) port.close()
  else port.postMessage(work(message))
})

function work(job: NonNullable<Message>): string | Checked {
  if (job.kind === 'hash') return hashPassword(job.password, job.cost)
  return checkPassword(job.password, job.stored, job.cost)
}
