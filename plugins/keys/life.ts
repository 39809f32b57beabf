/**
 * The life of signing keys, as functions of their rows and the time: which one signs, how long each is published, what is
 * to be done next. A key is published before it signs, signs, stays published until its last token is dead, and goes.
 */
import type { StoredKey } from '../db/keys.ts'
import type { Alg } from './signing-key.ts'

export type KeyState = 'next' | 'appointed' | 'signing' | 'retired'

/** Times in milliseconds. */
export interface Rules {
  /** A key is published for so long before it signs: by then nobody holds a list without it. */
  lead: number
  /** A key stays for so long after its last token is dead: instances may learn late that another one signs. */
  keep: number
  /** And for so long after that it is remembered, unpublished: who comes late with a token of its is told to refresh. */
  remember: number
  /** So long an instance may go without reading the keys. */
  stale: number
  /** A key signs for so long; 0 where keys change by hand only. */
  rotation: number
}

export interface Appointment {
  appoint: StoredKey
  at: number
}

/** What is to be done to the keys. A new key begins to sign `after` it was made; one without only waits. */
export type Order =
  | Appointment
  | { reseal: StoredKey; privateSealed: string }
  | { remove: StoredKey }
  | { make: Alg; after?: number }

const DAY = 86_400_000

const signsFrom = ({ signsAt }: StoredKey) => signsAt ?? Number.POSITIVE_INFINITY

/** The keys in the order in which they sign; who only waits comes last. */
function inOrder(keys: readonly StoredKey[]): StoredKey[] {
  return keys.toSorted((a, b) => signsFrom(a) - signsFrom(b) || a.createdAt - b.createdAt || (a.kid < b.kid ? -1 : 1))
}

/** The key that waits to be appointed. */
const nextOf = (keys: readonly StoredKey[]) => inOrder(keys).find(({ signsAt }) => signsAt === null)

/** The keys that are to sign and do not yet, the first one first. */
export const appointedOf = (keys: readonly StoredKey[], time: number) =>
  inOrder(keys).filter(({ signsAt }) => signsAt !== null && signsAt > time)

/** The last key that was chosen to sign, be it now or later. */
const latestOf = (keys: readonly StoredKey[]) => inOrder(keys).findLast(({ signsAt }) => signsAt !== null)

/**
 * The key that signs at this time: the one that has begun last. Where none has, by a clock that is behind, the first that
 * will. Undefined where there is none.
 */
export function signingOf(keys: readonly StoredKey[], time: number): StoredKey | undefined {
  const order = inOrder(keys)
  return order.findLast((key) => signsFrom(key) <= time) ?? order[0]
}

export function stateOf(key: StoredKey, keys: readonly StoredKey[], time: number): KeyState {
  if (key === signingOf(keys, time)) return 'signing'
  if (key.signsAt === null) return 'next'
  return key.signsAt > time ? 'appointed' : 'retired'
}

/**
 * Until when each key is published, in the order in which they sign: for some time after its last token is dead. Infinity
 * where nothing follows it yet.
 */
export function publishedUntil(keys: readonly StoredKey[], { keep }: Rules): Map<StoredKey, number> {
  const order = inOrder(keys)
  return new Map(
    order.map((key, place) => {
      const following = order[place + 1]
      const last = following ? signsFrom(following) : Number.POSITIVE_INFINITY
      return [key, last + key.tokenTtl * 1000 + keep]
    }),
  )
}

/** What takes away the keys that have gone from the list by this time. */
const removals = (keys: readonly StoredKey[], time: number, rules: Rules): { remove: StoredKey }[] =>
  [...publishedUntil(keys, rules)].filter(([, until]) => until <= time).map(([remove]) => ({ remove }))

/** The keys that this instance may sign with, now or later: all but those that others have followed. */
export function stillSigning(keys: readonly StoredKey[], time: number): StoredKey[] {
  const order = inOrder(keys)
  return order.slice(order.indexOf(signingOf(keys, time)!))
}

/**
 * When the next rotation of a whole set is: of a key that is appointed, else by schedule; undefined where there is none.
 * By schedule no key takes over on the day that it was made: after an upgrade, instances of the version before, which read
 * the keys only once, are replaced by then.
 */
export function rotationAt(keys: readonly StoredKey[], time: number, { rotation }: Rules): number | undefined {
  const [appointed] = appointedOf(keys, time)
  if (appointed) return signsFrom(appointed)
  if (rotation === 0) return undefined
  return Math.max(time, signsFrom(signingOf(keys, time)!) + rotation, nextOf(keys)!.createdAt + DAY)
}

/** A rotation of a whole set: the waiting key is appointed, and another one waits. */
export function rotation(keys: readonly StoredKey[], time: number, { lead }: Rules): [Appointment, Order] {
  const next = nextOf(keys)!
  return [{ appoint: next, at: Math.max(time, next.createdAt + lead) }, { make: next.alg as Alg }]
}

/**
 * What makes a whole set of keys of what is there: one that signs and one that waits. `alg` is for the first keys, and
 * with `change` for those to come: keys of the other kind go on until their tokens are dead.
 */
export function completion(keys: readonly StoredKey[], time: number, rules: Rules, alg: Alg, change: boolean): Order[] {
  const [latest, next] = [latestOf(keys), nextOf(keys)]
  if (!latest) return [...(next ? [{ appoint: next, at: time }] : [{ make: alg, after: 0 }]), { make: alg }]
  const wanted = change ? alg : ((next ?? latest).alg as Alg)
  const usable = next?.alg === wanted
  const orders: Order[] = next && !usable ? [{ remove: next }] : []
  if (latest.alg === wanted || !change) return usable ? [] : [...orders, { make: wanted }]
  return usable ? rotation(keys, time, rules) : [...orders, { make: wanted, after: rules.lead }, { make: wanted }]
}

/** What happens to a whole set each minute: keys go of which nobody has a token any more, and one is appointed where the schedule says so. */
export function upkeep(keys: readonly StoredKey[], time: number, rules: Rules): Order[] {
  const dead = removals(keys, time - rules.remember, rules)
  const at = rotationAt(keys, time, rules)
  return at !== undefined && at <= time ? [...dead, ...rotation(keys, time, rules)] : dead
}

/**
 * A key of a whole set is compromised: it goes, as if it had never been. Whoever takes the place of the one that signs does
 * so at once, whether caches know it or not.
 */
export function revocation(key: StoredKey, keys: readonly StoredKey[], time: number, rules: Rules): Order[] {
  // How long a key is published is told by who followed it: those that have gone from the list go for good, or they were back.
  const gone = removals(keys, time, rules).filter(({ remove }) => remove !== key)
  const orders: Order[] = [{ remove: key }, ...gone]
  const [appointed] = appointedOf(keys, time)
  switch (stateOf(key, keys, time)) {
    case 'next':
      return [...orders, { make: key.alg as Alg }]
    case 'appointed':
      return [...orders, ...rotation(keys, time, rules)]
    case 'signing': {
      // In its place, not from now on: an instance whose clock is behind must not go back to the one before.
      const at = Math.min(time, signsFrom(key))
      if (appointed) return [...orders, { appoint: appointed, at }]
      const next = nextOf(keys)!
      return [...orders, { appoint: next, at }, { make: next.alg as Alg }]
    }
    case 'retired':
      return orders
  }
}
