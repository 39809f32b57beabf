/**
 * A first guard against guessing (ASVS 5.0, 6.3.1): so many failed passwords a minute for one name from one address.
 * Counted in memory, for known and unknown names alike; who knows the password is never held up.
 */
import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'
import type { Parts } from '../app.ts'
import { fail } from '../schemas/errors.ts'

const MOST = 20
const WINDOW_MS = 60_000
/** Names and addresses remembered at most. */
const STORE = 100_000

interface Attempts {
  failed: number
  /** When the window of the first failure is over. */
  resetAt: number
  /** Being verified right now. */
  running: number
  /** Those who wait until one of the running is decided. */
  waiting: (() => void)[]
}

/** Somebody who gives a password for a name. */
export interface Guesser {
  name: string
  ip: string
}

function createLimits({ now }: Pick<Parts, 'now'>) {
  const store = new LRUCache<string, Attempts>({ max: STORE })

  function attemptsOf(key: string): Attempts {
    const known = store.get(key)
    if (known && (known.running > 0 || now() < known.resetAt)) return known
    const fresh: Attempts = { failed: 0, resetAt: 0, running: 0, waiting: [] }
    store.set(key, fresh)
    return fresh
  }

  function refuseTooMany(attempts: Attempts): void {
    if (attempts.failed > 0 && now() >= attempts.resetAt) attempts.failed = 0
    if (attempts.failed < MOST) return
    fail('RATE_LIMITED', { retryAfter: Math.max(1, Math.ceil((attempts.resetAt - now()) / 1000)) })
  }

  /** Takes a place among those being verified; waits where their failures could fill up the bound. */
  async function begin(attempts: Attempts): Promise<void> {
    refuseTooMany(attempts)
    while (attempts.failed + attempts.running >= MOST) {
      await new Promise<void>((resolve) => attempts.waiting.push(resolve))
      refuseTooMany(attempts)
    }
    attempts.running++
  }

  function settle(attempts: Attempts, failed: boolean): void {
    attempts.running--
    if (failed && attempts.failed++ === 0) attempts.resetAt = now() + WINDOW_MS
    for (const resume of attempts.waiting.splice(0)) resume()
  }

  return {
    /**
     * Lets `verify` judge a guess. It calls `turn` when its place at the hash has come: only there is it known how many
     * guesses before it have failed. Throws RATE_LIMITED.
     */
    async guess<T extends { ok: boolean }>(
      guesser: Guesser,
      verify: (turn: () => Promise<void>) => Promise<T>,
    ): Promise<T> {
      const attempts = attemptsOf(`${networkOf(guesser.ip)} ${guesser.name}`)
      refuseTooMany(attempts)
      let begun = false
      let failed = false
      try {
        const verdict = await verify(async () => {
          await begin(attempts)
          begun = true
        })
        failed = !verdict.ok
        return verdict
      } finally {
        if (begun) settle(attempts, failed)
      }
    },
  }
}

/** An IPv4 address, or the /64 of an IPv6 one: a single customer has all of it. */
function networkOf(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1]
  if (mapped !== undefined || isIP(ip) !== 6) return mapped ?? ip
  const [head = '', tail = ''] = ip.split('%')[0]!.split('::') as [string, string?]
  const groups = head.split(':').filter(Boolean)
  const after = tail.split(':').filter(Boolean)
  const all = [...groups, ...Array(Math.max(0, 8 - groups.length - after.length)).fill('0'), ...after]
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}

export type Limits = ReturnType<typeof createLimits>
export const limitsOf = (app: FastifyInstance) => app.getDecorator<Limits>('limits')

export default fp<Parts>(
  async (app, parts) => {
    app.decorate('limits', createLimits(parts))
  },
  { name: 'limits' },
)
