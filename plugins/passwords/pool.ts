/**
 * The threads that hash. Not by piscina, which was tried at 5.3.2 (docs/architecture.md has the figures): it hashes as
 * many a second, but its `close` ends threads whose hash is still running, hashes on afterwards, and loads for 15 ms more.
 */
import { Worker } from 'node:worker_threads'
import { fail } from '../../schemas/errors.ts'
import type { Message } from './worker.ts'

interface Thread {
  worker: Worker
  busy: boolean
  /** Takes the answer, or nothing where the thread is gone. */
  settle?: (answer?: unknown) => void
  cause?: unknown
}

/** As many threads as were ever asked at the same time; the queue bounds them. */
export function createPool() {
  const threads = new Set<Thread>()

  function start(): Thread {
    const worker = new Worker(new URL('./worker.js', import.meta.url))
    const thread: Thread = { worker, busy: false }
    worker.on('message', (answer) => thread.settle?.(answer))
    worker.on('error', (cause) => {
      thread.cause = cause
    })
    // A thread counts until its exit, which follows an error: so there are never more of them than places.
    worker.on('exit', () => {
      threads.delete(thread)
      thread.settle?.()
    })
    threads.add(thread)
    return thread
  }

  return {
    /** Gives the thread's answer. Throws OVERLOADED where the thread dies of it. A thread keeps the process alive while it is asked, and only then. */
    async ask(message: Message): Promise<unknown> {
      const thread = [...threads].find(({ busy }) => !busy) ?? start()
      thread.busy = true
      thread.worker.ref()
      try {
        const answer = await new Promise((resolve) => {
          thread.settle = resolve
          thread.worker.postMessage(message)
        })
        return answer ?? fail('OVERLOADED', { cause: thread.cause })
      } finally {
        thread.worker.unref()
        thread.busy = false
      }
    },

    async close(): Promise<void> {
      await Promise.all([...threads].map(({ worker }) => farewell(worker)))
    },
  }
}

function farewell(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.ref()
    worker.once('exit', () => resolve())
    worker.postMessage(null)
  })
}
