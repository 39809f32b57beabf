/**
 * The life of signing keys, as functions of their rows and the time: which one signs, how long each is published, what is
 * to be done next. A key is published before it signs, signs, stays published until its last token is dead, and goes.
 */
import type { StoredKey } from '../db/keys.ts'
import type { Alg } from './signing-key.ts'

export type KeyState = 'next' | 'appointed' | 'signing' | 'retired' | 'revoked'

/** Times in milliseconds. */
export interface Rules {
  /** A key is published for so long before it signs: by then nobody holds a list without it. */
  lead: number
  /** A key stays for so long after its last token is dead: instances may learn late that another one signs. */
  keep: number
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
  | { revoke: StoredKey; at: number }
  | { reseal: StoredKey; privateSealed: string }
  | { remove: StoredKey }
  | { make: Alg; after?: number }

const signsFrom = ({ signsAt }: StoredKey) => signsAt ?? Number.POSITIVE_INFINITY

/** The keys that are not revoked, in the order in which they sign; who only waits comes last. */
export function inOrder(keys: readonly StoredKey[]): StoredKey[] {
  return keys
    .filter(({ revokedAt }) => revokedAt === null)
    .sort((a, b) => signsFrom(a) - signsFrom(b) || a.createdAt - b.createdAt || (a.kid < b.kid ? -1 : 1))
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
 * will. Undefined where all are revoked.
 */
export function signingOf(keys: readonly StoredKey[], time: number): StoredKey | undefined {
  const order = inOrder(keys)
  return order.findLast((key) => signsFrom(key) <= time) ?? order[0]
}

export function stateOf(key: StoredKey, keys: readonly StoredKey[], time: number): KeyState {
  if (key.revokedAt !== null) return 'revoked'
  if (key === signingOf(keys, time)) return 'signing'
  if (key.signsAt === null) return 'next'
  return key.signsAt > time ? 'appointed' : 'retired'
}

/** When a key goes: some time after its last token is dead. Infinity where nothing follows it yet. */
export function goneAt(key: StoredKey, keys: readonly StoredKey[], { keep }: Rules): number {
  const order = inOrder(keys)
  const following = order[order.indexOf(key) + 1]
  const last = key.revokedAt ?? (following ? signsFrom(following) : Number.POSITIVE_INFINITY)
  return last + key.tokenTtl * 1000 + keep
}

/** The keys that this instance may sign with, now or later: all but those that others have followed. */
export function stillSigning(keys: readonly StoredKey[], time: number): StoredKey[] {
  const order = inOrder(keys)
  return order.slice(order.indexOf(signingOf(keys, time)!))
}

/** When the next rotation is: of a key that is appointed, else by schedule; undefined where there is none. */
export function rotationAt(keys: readonly StoredKey[], time: number, { rotation }: Rules): number | undefined {
  if (rotation === 0) return undefined
  const [appointed] = appointedOf(keys, time)
  return appointed ? signsFrom(appointed) : Math.max(time, signsFrom(signingOf(keys, time)!) + rotation)
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
export function completion(
  keys: readonly StoredKey[],
  time: number,
  { lead }: Rules,
  alg: Alg,
  change: boolean,
): Order[] {
  const [latest, next] = [latestOf(keys), nextOf(keys)]
  if (!latest) return [...(next ? [{ appoint: next, at: time }] : [{ make: alg, after: 0 }]), { make: alg }]
  const wanted = change ? alg : ((next ?? latest).alg as Alg)
  const usable = next?.alg === wanted
  const orders: Order[] = next && !usable ? [{ remove: next }] : []
  if (latest.alg === wanted || !change) return usable ? [] : [...orders, { make: wanted }]
  const successor: Order = usable
    ? { appoint: next, at: Math.max(time, next.createdAt + lead) }
    : { make: wanted, after: lead }
  return [...orders, successor, { make: wanted }]
}

/** What happens to a whole set each minute: keys go whose tokens are dead, and one is appointed where the schedule says so. */
export function upkeep(keys: readonly StoredKey[], time: number, rules: Rules): Order[] {
  const dead = keys.filter((key) => goneAt(key, keys, rules) <= time).map((key) => ({ remove: key }))
  const at = rotationAt(keys, time, rules)
  return at !== undefined && at <= time ? [...dead, ...rotation(keys, time, rules)] : dead
}

/** A key of a whole set is compromised. Whoever takes its place signs at once, whether caches know it or not. */
export function revocation(key: StoredKey, keys: readonly StoredKey[], time: number): Order[] {
  const revoke: Order = { revoke: key, at: time }
  const state = stateOf(key, keys, time)
  if (state === 'next') return [revoke, { make: key.alg as Alg }]
  if (state !== 'signing') return [revoke]
  const [appointed] = appointedOf(keys, time)
  if (appointed) return [revoke, { appoint: appointed, at: time }]
  const next = nextOf(keys)!
  return [revoke, { appoint: next, at: time }, { make: next.alg as Alg }]
}
