/**
 * A first guard against guessing (ASVS 5.0, 6.3.1): so many failed passwords a minute for one name from one address.
 * Counted in memory, for known and unknown names alike; successes do not count.
 */
import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../parts.ts'
import { fail } from '../schemas/errors.ts'

const MOST = 20
const WINDOW_MS = 60_000
/** Names and addresses remembered at most. */
const STORE = 100_000

/** Those of one name from one address that are being verified right now. */
interface Running {
  count: number
  /** Called when the next of them is decided. */
  decided: (() => void)[]
}

/** Somebody who gives a password for a name. */
export interface Guesser {
  name: string
  ip: string
}

/** Says that the bound would be passed if all that are running failed. Wait until the next of them is decided. */
class Full extends Error {
  readonly decided: Promise<void>

  constructor({ decided }: Running) {
    super()
    this.decided = new Promise((resolve) => decided.push(resolve))
  }
}

function createLimits({ now }: Pick<Parts, 'now'>) {
  /**
   * Who failed last stands last. Only a failure, which costs a hash, makes an entry: requests that cost nothing push
   * nobody out. (An LRUCache would take the memory for all of its entries at the start.)
   */
  const failures = new Map<string, number[]>()
  const running = new Map<string, Running>()

  /** The times of the failures of the last minute, the oldest first; never more than the bound. */
  function recent(key: string): number[] {
    const since = now() - WINDOW_MS
    return (failures.get(key) ?? []).filter((time) => time > since)
  }

  function refuseTooMany(key: string): void {
    const times = recent(key)
    if (times.length < MOST) return
    // When the oldest of them is a minute old, there is room for one more.
    fail('RATE_LIMITED', { retryAfter: Math.ceil((times[0]! + WINDOW_MS - now()) / 1000) })
  }

  function note(key: string): void {
    const times = [...recent(key), now()]
    failures.delete(key)
    failures.set(key, times)
    if (failures.size > STORE) failures.delete(failures.keys().next().value!)
  }

  function begin(key: string): void {
    refuseTooMany(key)
    const others = running.get(key) ?? { count: 0, decided: [] }
    if (recent(key).length + others.count >= MOST) throw new Full(others)
    others.count++
    running.set(key, others)
  }

  function settle(key: string, failed: boolean): void {
    if (failed) note(key)
    const others = running.get(key)!
    if (--others.count === 0) running.delete(key)
    for (const resume of others.decided.splice(0)) resume()
  }

  async function attempt<T extends { ok: boolean }>(key: string, verify: Verify<T>): Promise<T> {
    let begun = false
    let failed = false
    try {
      const verdict = await verify(async () => {
        begin(key)
        begun = true
      })
      failed = !verdict.ok
      return verdict
    } finally {
      if (begun) settle(key, failed)
    }
  }

  return {
    /**
     * Lets `verify` judge a guess. It calls `turn` when its place at the hash has come: only there is it known how many
     * guesses before it have failed. Where those beside it could fill up the bound, it gives its place away, waits until
     * one of them is decided, and asks for a place again. Throws RATE_LIMITED.
     */
    async guess<T extends { ok: boolean }>({ name, ip }: Guesser, verify: Verify<T>): Promise<T> {
      const key = createHash('sha256')
        .update(`${networkOf(ip)} ${name}`)
        .digest('base64url')
      for (;;) {
        refuseTooMany(key)
        try {
          return await attempt(key, verify)
        } catch (error) {
          if (!(error instanceof Full)) throw error
          await error.decided
        }
      }
    },
  }
}

/** Verifies a password; calls `turn` when its place has come, and nothing more where that throws. */
type Verify<T> = (turn: () => Promise<void>) => Promise<T>

/** An IPv4 address, or the /64 of an IPv6 one: a single customer has all of it. */
export function networkOf(ip: string): string {
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
