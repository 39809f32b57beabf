/**
 * A process of its own that does nothing but bcrypt, with as many threads as there are cores: the limit of what these
 * cores can hash, and so of logins.
 */
import { setPriority } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import bcrypt from 'bcrypt'

export interface HashLoad {
  threads: number
  cost: number
  seconds: number
  /** Of the threads, as setpriority(2) has it: 0 is that of every process, 19 the lowest. Linux alone sets it for a thread. */
  priority: number
}

if (isMainThread) process.once('message', (load: HashLoad) => void measure(load))
else parentPort!.postMessage(hash(workerData))

async function measure(load: HashLoad): Promise<void> {
  const threads = Array.from({ length: load.threads }, () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: load })
    return new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject))
  })
  const rates = await Promise.all(threads)
  process.send!(
    rates.reduce((sum, rate) => sum + rate, 0),
    () => process.exit(),
  )
}

/** Hashes a second, of whole hashes. The first one is not counted: the other threads are still starting. */
function hash({ cost, seconds, priority }: HashLoad): number {
  if (priority > 0 && process.platform === 'linux') setPriority(priority)
  const salt = bcrypt.genSaltSync(cost)
  bcrypt.hashSync('correct horse battery', salt)
  const begun = performance.now()
  let count = 0
  while (performance.now() - begun < seconds * 1000) {
    bcrypt.hashSync('correct horse battery', salt)
    count++
  }
  return (count / (performance.now() - begun)) * 1000
}
