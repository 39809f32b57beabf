/**
 * All that changes signing keys. One instance at a time, under the lease `keys`; each change is decided by the keys as
 * they are then, and made as one list.
 */
import type { Parts } from '../../parts.ts'
import type { Statement } from '../db/engine.ts'
import type { Db } from '../db/index.ts'
import { deleteKey, insertKey, type StoredKey, updateKey } from '../db/keys.ts'
import { appointedOf, completion, type Order, type Rules, revocation, rotation, upkeep } from './life.ts'
import { type Alg, makeKey, openKey, resealKey } from './signing-key.ts'

interface Needs extends Pick<Parts, 'now' | 'randomBytes'> {
  db: Db
  sealing: [Buffer, ...Buffer[]]
  rules: Rules
  /** The alg of the first keys. */
  alg: Alg
  /** Seconds that tokens live. */
  tokenTtl: number
}

/** What is done with the keys as they are at this time. */
type Work<T> = (keys: StoredKey[], change: (orders: Order[]) => Promise<void>, time: number) => Promise<T>

/** A key that no entry of SECRET opens: nobody may go on as if it were not there. */
export function unopened(kid: string): Error {
  return new Error(
    `The signing key ${kid} in the database does not open under SECRET. Start with the SECRET that sealed it (it may be the second one of a list).`,
  )
}

export function createKeyChanges({ db, sealing, rules, alg, tokenTtl, now, randomBytes }: Needs) {
  const NONCE = 12

  /** Its times begin when it is there, since an RSA key takes a while. */
  async function make(wanted: Alg, after: number | undefined): Promise<Statement> {
    const { publicJwk, ...made } = await makeKey(wanted, sealing[0], randomBytes(NONCE))
    const createdAt = now()
    const signsAt = after === undefined ? null : createdAt + after
    return insertKey({ ...made, createdAt, signsAt, tokenTtl }, publicJwk)
  }

  async function statementOf(order: Order): Promise<Statement> {
    if ('make' in order) return make(order.make, order.after)
    if ('remove' in order) return deleteKey(order.remove)
    if ('appoint' in order) return updateKey(order.appoint, { signsAt: order.at })
    return updateKey(order.reseal, { privateSealed: order.privateSealed })
  }

  /** An instance with another SECRET must not make keys that the others cannot open. */
  async function readAll(): Promise<StoredKey[]> {
    const keys = await db.keys.all()
    for (const key of keys) if (!openKey(key, sealing)) throw unopened(key.kid)
    return keys
  }

  /** The lease keeps other instances out, not this one. */
  let last: Promise<unknown> = Promise.resolve()
  function alone<T>(work: Work<T>, changeAlg = false): Promise<T> {
    const mine = last.then(() => underLease(work, changeAlg))
    last = mine.catch(() => {})
    return mine
  }

  /** Makes the set whole, then runs `work` on it. */
  async function underLease<T>(work: Work<T>, changeAlg: boolean): Promise<T> {
    return db.withLease('keys', async (check) => {
      let keys = await readAll()
      const carryOut = async (orders: Order[]) => {
        const statements = await Promise.all(orders.map(statementOf))
        await check()
        if (!(await db.keys.change(statements))) throw new Error('The signing keys were changed meanwhile. Try again.')
      }
      const missing = completion(keys, now(), rules, alg, changeAlg)
      if (missing.length > 0) {
        await carryOut(missing)
        keys = await db.keys.all()
      }
      return work(keys, carryOut, now())
    })
  }

  return {
    /** Makes what is missing. With `changeAlg`, the setting of this instance becomes the alg of the keys to come. */
    async complete(changeAlg: boolean): Promise<void> {
      const missing = completion(await readAll(), now(), rules, alg, changeAlg)
      if (missing.length > 0) await alone(async () => {}, changeAlg)
    },

    /** Appoints the key that waits. Gives it, or where one is on its way already, that one and `done: false`. */
    rotate: () =>
      alone(async (keys, change, time) => {
        const [appointed] = appointedOf(keys, time)
        if (appointed) return { kid: appointed.kid, signsAt: appointed.signsAt!, done: false }
        const orders = rotation(keys, time, rules)
        await change(orders)
        const [{ appoint, at }] = orders
        return { kid: appoint.kid, signsAt: at, done: true }
      }),

    /** Does what each minute is to be done. True where that was something. */
    async tend(): Promise<boolean> {
      const keys = await db.keys.all()
      const missing = completion(keys, now(), rules, alg, false)
      if (missing.length === 0 && upkeep(keys, now(), rules).length === 0) return false
      await alone((found, change, time) => change(upkeep(found, time, rules)))
      return true
    },

    /** Revokes a key at once. False where there is none of this id. */
    revoke: (kid: string) =>
      alone(async (keys, change, time) => {
        const key = keys.find((one) => one.kid === kid)
        if (key) await change(revocation(key, keys, time, rules))
        return key !== undefined
      }),

    /** Seals every key under the first entry of SECRET. Gives how many there are, and how many were sealed anew. */
    reseal: () =>
      alone(async (keys, change) => {
        const orders = keys.flatMap((reseal): Order[] => {
          const privateSealed = resealKey(reseal, sealing, randomBytes(NONCE))
          return privateSealed === undefined ? [] : [{ reseal, privateSealed }]
        })
        await change(orders)
        return { keys: keys.length, anew: orders.length }
      }),
  }
}

export type KeyChanges = ReturnType<typeof createKeyChanges>
