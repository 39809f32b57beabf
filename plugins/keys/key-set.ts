/**
 * The signing keys as this instance knows them: read at the start and by a poll each second, so that no request asks the
 * database which key signs, whether one is known, or which are published.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Parts } from '../../parts.ts'
import type { Db } from '../db/index.ts'
import type { StoredKey } from '../db/keys.ts'
import { unopened } from './changes.ts'
import { goneAt, inOrder, type Rules, rotationAt, signingOf, stateOf, stillSigning } from './life.ts'
import { openKey, type SigningKey } from './signing-key.ts'

interface Needs extends Pick<Parts, 'now'> {
  db: Db
  sealing: Buffer[]
  rules: Rules
  log: FastifyBaseLogger
  /** Seconds that the tokens of this instance live; 0 where it issues none. */
  tokenTtl: number
}

/** A key that is published, and until when. */
interface Published extends SigningKey {
  until: number
}

export function createKeySet({ db, sealing, rules, log, tokenTtl, now }: Needs) {
  const told = new Set<string>()
  let opened = new Map<string, SigningKey>()
  let rows: StoredKey[] = []
  let published = new Map<string, Published>()

  /** Goes over to these keys. Those known are not opened again; what does not open is complained of, and left out. */
  function take(stored: StoredKey[], complain: (kid: string) => void): void {
    const keys = new Map<string, SigningKey>()
    for (const key of stored) {
      const open = opened.get(key.kid) ?? openKey(key, sealing)
      if (open) keys.set(key.kid, open)
      else complain(key.kid)
    }
    const usable = stored.filter(({ kid }) => keys.has(kid))
    if (!signingOf(usable, now())) throw new Error('The database has no signing key that opens under SECRET.')
    opened = keys
    rows = usable
    published = new Map(
      usable
        .filter(({ revokedAt }) => revokedAt === null)
        .map((key) => [key.kid, { ...keys.get(key.kid)!, until: goneAt(key, usable, rules) }]),
    )
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

  /** The key that signs now, by this instance's clock. */
  const current = (): SigningKey => opened.get(signingOf(rows, now())!.kid)!

  return {
    current,

    /** Reads the keys for the first time. Throws where one does not open under SECRET. */
    async load(): Promise<void> {
      take(await db.keys.all(), (kid) => {
        throw unopened(kid)
      })
      await noteTtl()
    },

    /** Reads what other instances have changed. A key that does not open is told once, and the others go on. */
    async poll(): Promise<void> {
      take(await db.keys.all(), tellOnce)
      await noteTtl()
    },

    /** The public key of this id, as PEM; undefined where there is none, it is revoked or long retired, or it is for another alg. */
    find(kid: unknown, alg: unknown): string | undefined {
      const key = published.get(kid as string)
      return key && key.alg === alg && now() < key.until ? key.publicPem : undefined
    },

    /** The keys that everyone may know now, the one that signs first. */
    published(): SigningKey[] {
      const { kid } = current()
      const alive = [...published.values()].filter(({ until }) => now() < until)
      return alive.sort((a, b) => Number(b.kid === kid) - Number(a.kid === kid))
    },

    /** When the next key signs, in milliseconds since 1970; undefined where only a command changes it. */
    nextRotation: () => rotationAt(rows, now(), rules),

    /** All keys with where in their lives they are: who signs last comes first, and who never will again last. */
    list() {
      const revoked = rows.filter(({ revokedAt }) => revokedAt !== null)
      return [...inOrder(rows).toReversed(), ...revoked].map((key) => ({
        ...key,
        state: stateOf(key, rows, now()),
        publishedUntil: goneAt(key, rows, rules),
      }))
    },
  }
}

export type KeySet = ReturnType<typeof createKeySet>
