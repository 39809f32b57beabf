/**
 * The signing keys as this instance knows them: read at the start and by a poll each second, so that no request asks the
 * database which key signs, whether one is known, or which are published.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Parts } from '../../parts.ts'
import type { Db } from '../db/index.ts'
import type { StoredKey } from '../db/keys.ts'
import { unopened } from './changes.ts'
import { publishedUntil, type Rules, rotationAt, signingOf, stateOf, stillSigning } from './life.ts'
import { openKey, type SigningKey } from './signing-key.ts'

interface Needs extends Pick<Parts, 'now'> {
  db: Db
  sealing: Buffer[]
  rules: Rules
  log: FastifyBaseLogger
  /** Seconds that the tokens of this instance live; 0 where it issues none. */
  tokenTtl: number
}

/** A key that is known, and until when it is published. */
interface Known extends SigningKey {
  until: number
}

export function createKeySet({ db, sealing, rules, log, tokenTtl, now }: Needs) {
  const told = new Set<string>()
  let rows: StoredKey[] = []
  /** One map for good: what each request looks into must not be another object each second. */
  const known = new Map<string, Known>()
  let readAt = Number.NEGATIVE_INFINITY
  /** Reads in the order in which they were begun, and the latest of them that came back. */
  let [begun, taken] = [0, 0]
  let renewing: Promise<void> | undefined

  /** Goes over to these keys. Those known are not opened again; what does not open is complained of, and left out. */
  function take(stored: StoredKey[], complain: (kid: string) => void): void {
    const keys = new Map<string, SigningKey>()
    for (const key of stored) {
      const open = known.get(key.kid) ?? openKey(key, sealing)
      if (open) keys.set(key.kid, open)
      else complain(key.kid)
    }
    const usable = stored.filter(({ kid }) => keys.has(kid))
    if (!signingOf(usable, now())) throw new Error('The database has no signing key that opens under SECRET.')
    rows = usable
    const ends = [...publishedUntil(usable, rules)]
    known.clear()
    for (const [{ kid }, until] of ends) known.set(kid, { ...keys.get(kid)!, until })
  }

  async function read(complain: (kid: string) => void): Promise<void> {
    const [time, turn] = [now(), ++begun]
    const stored = await db.keys.all()
    // A read that took long must not bring back what a later one knows to be gone.
    if (turn < taken) return
    taken = turn
    take(stored, complain)
    readAt = time
    await noteTtl()
  }

  function tellOnce(kid: string): void {
    if (!told.has(kid)) log.error({ kid }, unopened(kid).message)
    told.add(kid)
  }

  /** A key must not go before the tokens of this instance are dead, also where a TTL is lowered later. */
  async function noteTtl(): Promise<void> {
    for (const { kid, tokenTtl: noted } of stillSigning(rows, now()))
      if (noted < tokenTtl) await db.keys.noteTtl(kid, tokenTtl)
  }

  const poll = () => read(tellOnce)

  /** The key that signs now, by this instance's clock. */
  const current = (): SigningKey => known.get(signingOf(rows, now())!.kid)!

  return {
    current,

    /** Reads the keys for the first time. Throws where one does not open under SECRET. */
    load: () =>
      read((kid) => {
        throw unopened(kid)
      }),

    /** Reads what other instances have changed. A key that does not open is told once, and the others go on. */
    poll,

    /** Reads the keys where they went unread for so long that others may count on newer ones; once for all who ask. Throws UNAVAILABLE. */
    async renew(): Promise<void> {
      if (now() - readAt <= rules.stale) return
      renewing ??= poll().finally(() => {
        renewing = undefined
      })
      await renewing
    },

    /** The public key of this id, as PEM; undefined where there is none, it was revoked, or it is for another alg. */
    find(kid: unknown, alg: unknown): string | undefined {
      const key = known.get(kid as string)
      return key && key.alg === alg ? key.publicPem : undefined
    },

    /** Whether the key of this id may have living tokens; it may have gone since it was found. */
    isPublished(kid: unknown): boolean {
      const key = known.get(kid as string)
      return key !== undefined && now() < key.until
    },

    /** The keys that everyone may know now, the one that signs first. */
    published(): SigningKey[] {
      const { kid } = current()
      const alive = [...known.values()].filter(({ until }) => now() < until)
      return alive.sort((a, b) => Number(b.kid === kid) - Number(a.kid === kid))
    },

    /** When the next key signs, in milliseconds since 1970; undefined where only a command changes it. */
    nextRotation: () => rotationAt(rows, now(), rules),

    /** All keys with where in their lives they are: who signs last comes first. */
    list: () =>
      [...publishedUntil(rows, rules)]
        .toReversed()
        .map(([key, until]) => ({ ...key, state: stateOf(key, rows, now()), publishedUntil: until })),
  }
}

export type KeySet = ReturnType<typeof createKeySet>
