/**
 * The password room: hash and verify at the cost in force, and judge a new password. Both hashing calls wait in one
 * queue; `turn` is called when the wait is over and may still call the job off.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../../parts.ts'
import { isCommon } from './policy.ts'
import { createQueue, type Turn } from './queue.ts'

type Settings = Pick<Parts['config'], 'BCRYPT_COST' | 'HASH_CONCURRENCY' | 'HASH_MAX_WAIT_MS'>

export function createPasswords({ config }: { config: Settings }) {
  const queue = createQueue({
    workers: config.HASH_CONCURRENCY,
    maxWaitMs: config.HASH_MAX_WAIT_MS,
    cost: config.BCRYPT_COST,
  })
  return {
    hash: (password: string, turn?: Turn) => queue.run({ kind: 'hash', password }, turn),
    /** With `null`, for an account that is not there, it takes its time all the same. */
    verify: (password: string, stored: string | null, turn?: Turn) =>
      queue.run({ kind: 'check', password, stored }, turn),
    isCommon,
    close: queue.close,
  }
}

export type Passwords = ReturnType<typeof createPasswords>
export const passwordsOf = (app: FastifyInstance) => app.getDecorator<Passwords>('passwords')

export default fp<Parts>(
  async (app, { config }) => {
    const passwords = createPasswords({ config })
    app.decorate('passwords', passwords)
    // Fastify calls this after the requests in flight were answered: it stops the server first.
    app.addHook('onClose', passwords.close)
  },
  { name: 'passwords' },
)
