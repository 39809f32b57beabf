/**
 * Sessions: opens, refreshes and ends them, and gives the two tokens of each. What races is decided in plugins/db; what a
 * refresh token means is judged in judge.ts.
 */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../../parts.ts'
import { fail } from '../../schemas/errors.ts'
import type { Client, Session } from '../../schemas/session.ts'
import type { TokenAnswer } from '../../schemas/tokens.ts'
import { type Account, userOf } from '../../schemas/user.ts'
import { type Db, dbOf } from '../db/index.ts'
import type { Taken } from '../db/users.ts'
import { withBudget } from '../db/waiting.ts'
import { type AccessTokens, accessTokensOf } from '../jwt.ts'
import { type Keys, keysOf } from '../keys/index.ts'
import { createEndedList } from './ended.ts'
import { createJudge, meaningOf } from './judge.ts'
import { type Living, lifetimes, livingOf } from './living.ts'
import { createRefreshTokens, hashOf } from './refresh-token.ts'
import { startTimers } from './timers.ts'

export type Scope = 'local' | 'others' | 'global'

interface Needs extends Pick<Parts, 'config' | 'now' | 'randomBytes' | 'newId'> {
  db: Db
  accessTokens: AccessTokens
  keys: Keys
  log: FastifyBaseLogger
}

function createSessions({ config, now, randomBytes, newId, db, accessTokens, keys, log }: Needs) {
  const refreshTokens = createRefreshTokens(keys.derive('refresh-token-mac'))
  const ended = createEndedList({
    db,
    now,
    stalenessMs: config.REVOCATION_MAX_STALENESS * 1000,
    maxWaitMs: config.DB_MAX_WAIT_MS,
  })

  /** A session that is not in the database yet, and its first token. Throws UNAVAILABLE where no access token could be issued for it. */
  async function draft(userId: string, client: Client) {
    await accessTokens.ready()
    const handle = refreshTokens.newHandle(randomBytes)
    const time = now()
    const session: Session = {
      id: newId(),
      userId,
      handleHash: hashOf(handle),
      generation: 0,
      createdAt: time,
      lastUsedAt: time,
      rotatedAt: null,
      ...lifetimes(config, time, time),
      ...client,
    }
    return { session, handle }
  }

  /** The tokens of a session as of `time`, at which it was alive. */
  function answer(account: Account, session: Session, handle: Buffer, time: number): TokenAnswer {
    const iat = Math.floor(time / 1000)
    const exp = Math.min(iat + config.ACCESS_TOKEN_TTL, session.expiresAt / 1000)
    return {
      result: 'success',
      access_token: accessTokens.issue({ sub: account.id, sid: session.id, roles: account.roles, iat, exp }),
      token_type: 'Bearer',
      expires_in: exp - iat,
      refresh_token: refreshTokens.write({ handle, generation: session.generation }),
      refresh_expires_in: session.expiresAt / 1000 - iat,
      user: userOf(account),
    }
  }

  /**
   * Puts what ended at `time` into this instance's own list, so that it is refused at once. It is committed by then, so a
   * failure here is none of the request: `known` is refused all the same, and the next poll brings the rest.
   */
  async function note(userId: string, time: number, known: string[] = []): Promise<void> {
    try {
      ended.add(await withBudget(config.DB_MAX_WAIT_MS, () => db.sessions.endedOf(userId, time)))
    } catch (err) {
      log.warn({ err }, 'ended sessions could not be read back')
      const { until } = lifetimes(config, time, time)
      ended.add(known.map((id) => ({ id, until, endedAt: time })))
    }
  }

  const judge = createJudge({ db, config, log, note })

  /** The living session of a refresh token, with its person, and what the token is to it. */
  async function byRefreshToken(text: string) {
    const token = refreshTokens.read(text)
    const time = now()
    const living = token && livingOf(await db.sessions.byHandle(hashOf(token.handle)), time)
    return living && { living, meaning: meaningOf(living.session, token.generation, time, config) }
  }

  return {
    ended,

    /**
     * Reads what other instances have changed: first the keys, since it is by the age of the list of ended sessions that
     * tokens are judged or not.
     */
    async poll(): Promise<void> {
      await keys.set?.poll()
      await ended.poll()
    },

    /** Makes an account and its first session. Gives the code where one of its names is taken. */
    async register(account: Account, client: Client): Promise<TokenAnswer | Taken> {
      const { session, handle } = await draft(account.id, client)
      return (await db.users.register(account, session)) ?? answer(account, session, handle, session.createdAt)
    },

    /** Opens a session; undefined where the account was changed since its password was verified. */
    async open(account: Account, renewed: string | undefined, client: Client): Promise<TokenAnswer | undefined> {
      const { session, handle } = await draft(account.id, client)
      const tooMany = await db.users.login(account, renewed, session)
      if (tooMany === undefined) return undefined
      if (tooMany > 0) await note(account.id, session.createdAt)
      return answer(account, session, handle, session.createdAt)
    },

    /** Changes the password: ends every session and opens a new one. Undefined where account or asking session have changed since. */
    async replace(account: Account, asking: string, hash: string, client: Client): Promise<TokenAnswer | undefined> {
      const { session, handle } = await draft(account.id, client)
      if (!(await db.users.changePassword(account, asking, hash, session))) return undefined
      await note(account.id, session.createdAt, [asking])
      return answer({ ...account, updatedAt: session.createdAt }, session, handle, session.createdAt)
    },

    /** Deletes the account with its sessions. Undefined where account or asking session have changed since. */
    async remove(account: Account, asking: string): Promise<true | undefined> {
      const time = now()
      if (!(await db.users.remove(account, asking, time))) return undefined
      await note(account.id, time, [asking])
      return true
    },

    /** Answers a refresh. Throws INVALID_REFRESH_TOKEN and REFRESH_TOKEN_REUSED. */
    async refresh(text: string): Promise<TokenAnswer> {
      const token = refreshTokens.read(text) ?? fail('INVALID_REFRESH_TOKEN')
      const handleHash = hashOf(token.handle)
      await accessTokens.ready()
      for (;;) {
        const time = now()
        const living = await judge(await db.sessions.byHandle(handleHash), token.generation, time)
        if (living) return answer(living.account, living.session, token.handle, time)
      }
    },

    /** The living session of a refresh token of whatever generation; undefined where there is none. */
    ofRefreshToken: async (text: string): Promise<Session | undefined> => (await byRefreshToken(text))?.living.session,

    /** The living session of a refresh token that a refresh would accept right now, with its person. Nothing is written. */
    async ofGoodRefreshToken(text: string): Promise<Living | undefined> {
      const found = await byRefreshToken(text)
      return found && (found.meaning === 'next' || found.meaning === 'again') ? found.living : undefined
    },

    /** A session that lives, with its person; undefined where it has ended, expired, or its person is disabled or gone. */
    live: async (id: string) => livingOf(await db.sessions.byId(id), now()),

    list: (userId: string) => db.sessions.list(userId, now()),

    /** Ends sessions of a person: this one, the others, or all. */
    async end({ userId, id }: Pick<Session, 'userId' | 'id'>, scope: Scope): Promise<boolean> {
      const time = now()
      let done = true
      if (scope === 'local') done = await db.sessions.end(userId, id, time)
      else await db.sessions.endAll(userId, time, scope === 'others' ? id : undefined)
      // Of an id that names no session of this person nothing is noted: it may be another's.
      if (done) await note(userId, time, scope === 'others' ? [] : [id])
      return done
    },
  }
}

export type Sessions = ReturnType<typeof createSessions>
export const sessionsOf = (app: FastifyInstance) => app.getDecorator<Sessions>('sessions')

export default fp<Parts>(
  async (app, parts) => {
    const db = dbOf(app)
    const sessions = createSessions({
      ...parts,
      db,
      accessTokens: accessTokensOf(app),
      keys: keysOf(app),
      log: app.log,
    })
    if (parts.routes) await sessions.ended.poll()
    app.decorate('sessions', sessions)
    startTimers(app, { db, now: parts.now, sessions, keys: keysOf(app) })
  },
  { name: 'sessions', dependencies: ['jwt'] },
)
