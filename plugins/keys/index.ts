/**
 * Signing keys: they live in the database, sealed under SECRET, and change while many instances run. One that does not
 * open stops the start and is never replaced. With HS256 there are none: a secret signs that every verifier shares.
 */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../../parts.ts'
import { type Db, dbOf } from '../db/index.ts'
import { createKeyChanges } from './changes.ts'
import { createKeySet } from './key-set.ts'
import type { Rules } from './life.ts'
import { createSecrets } from './secrets.ts'
import type { Alg, PublicJwk } from './signing-key.ts'

/** Seconds that the clocks of two instances may be apart; further, they say so. */
const CLOCKS_APART = 5
/** Seconds that a retired key stays beyond its last token. */
const KEEP = 60
const DAY = 86_400

interface Needs extends Parts {
  db: Db
  log: FastifyBaseLogger
}

/**
 * A list is cached for its max-age, by whoever fetched it from an instance that may have gone without a poll for
 * REVOCATION_MAX_STALENESS: after both nobody lacks a key. And for as long an instance may not know that another signs.
 */
function rulesOf({ config, jwksMaxAge }: Parts): Rules {
  const { REVOCATION_MAX_STALENESS: stale, KEY_ROTATION_DAYS: days } = config
  return {
    lead: (jwksMaxAge + stale + CLOCKS_APART) * 1000,
    keep: (stale + KEEP) * 1000,
    stale: stale * 1000,
    remember: config.REFRESH_TOKEN_TTL * 1000,
    rotation: days * DAY * 1000,
  }
}

async function createKeySetOf({ db, log, sealing, ...parts }: Needs & { sealing: [Buffer, ...Buffer[]] }) {
  const { config, now, randomBytes, routes } = parts
  const rules = rulesOf(parts)
  const { ACCESS_TOKEN_TTL: tokenTtl } = config
  const changes = createKeyChanges({ db, sealing, rules, alg: config.JWT_ALG as Alg, tokenTtl, now, randomBytes })
  const set = createKeySet({ db, sealing, rules, log, tokenTtl: routes ? tokenTtl : 0, now })
  await changes.complete(routes)
  await set.load()

  /** What this instance changes it knows at once. */
  const known = async <T>(change: Promise<T>): Promise<T> => {
    const result = await change
    await set.poll()
    return result
  }
  return {
    ...set,
    rotate: () => known(changes.rotate()),
    revoke: (kid: string) => known(changes.revoke(kid)),
    reseal: changes.reseal,
    /** Does what each minute is to be done: keys go, and by schedule a key is appointed. */
    async tend(): Promise<void> {
      if (!(await changes.tend())) return
      await set.poll()
      log.info({ signing: set.current().kid, next_key_rotation: isoOf(set.nextRotation()) }, 'the signing keys changed')
    },
  }
}

/** A time for people; undefined where there is none. */
export const isoOf = (time: number | undefined) => (time === undefined ? undefined : new Date(time).toISOString())

async function createKeys(needs: Needs) {
  const { JWT_ALG } = needs.config
  const derive = createSecrets(needs.config)
  const sealing = derive('signing-key-seal')
  const set = JWT_ALG === 'HS256' ? undefined : await createKeySetOf({ ...needs, sealing })
  return {
    derive,
    /** The signing keys; undefined with HS256. */
    set,
    /** The public keys, for everyone. Throws UNAVAILABLE where they may be out of date. */
    async published(): Promise<PublicJwk[]> {
      await set?.renew()
      return set ? set.published().map(({ publicJwk }) => publicJwk) : []
    },
    /** What tokens are signed by: the one that is chosen, and those of keys whose tokens may live. */
    algorithms: (): string[] => [...new Set([JWT_ALG, ...(set?.published() ?? []).map(({ alg }) => alg)])],
  }
}

export type Keys = Awaited<ReturnType<typeof createKeys>>
export const keysOf = (app: FastifyInstance) => app.getDecorator<Keys>('keys')

export default fp<Parts>(
  async (app, parts) => {
    app.decorate('keys', await createKeys({ ...parts, db: dbOf(app), log: app.log }))
  },
  { name: 'keys', dependencies: ['db'] },
)
