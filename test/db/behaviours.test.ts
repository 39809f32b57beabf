/** What the database room promises, as one list that runs on every engine; and no function of it is left out. */
import t, { type Test } from 'tap'
import { type Engine as Database, UniqueViolation } from '../../plugins/db/engine.ts'
import type { Db } from '../../plugins/db/index.ts'
import { deleteKey, insertKey, type StoredKey, updateKey } from '../../plugins/db/keys.ts'
import type { Session } from '../../schemas/session.ts'
import type { Account } from '../../schemas/user.ts'
import { onEachEngine } from '../engines.ts'
import { account, DAY, disable, only, openRoom, type Room, randomId, SECOND, session, T0 } from './room.ts'

const MAX_SESSIONS = 3

/** The room with what a behaviour needs to set it up. */
interface Place extends Room {
  /** A room on a database that is used by nobody else. */
  fresh: () => Promise<Room>
  /** Another instance on the same database. */
  beside: () => Promise<Room>
  /** A registered person with one session. */
  person: (own?: Partial<Account>, ownSession?: Partial<Session>) => Promise<{ account: Account; session: Session }>
  /** One more login of this person. */
  login: (account: Account, own?: Partial<Session>) => Promise<Session>
}

type Behaviour = (t: Test, place: Place) => Promise<void>

/** How many of the answers are this one. */
const count = <T>(answers: T[], wanted: T) => answers.filter((answer) => answer === wanted).length
const times = <T>(number: number, make: (index: number) => T): T[] => Array.from({ length: number }, (_, i) => make(i))

/** How many rows a person has, ended ones too. */
const sessionsOf = (engine: Database, userId: string) =>
  only(engine, 'SELECT COUNT(*) AS n FROM sessions WHERE user_id = ?', [userId])
const livingOf = async (db: Db, userId: string, time = T0) =>
  (await db.sessions.list(userId, time)).map(({ id }) => id).sort()
/** Whether a statement is refused for a name that is there already; false where it is refused for something else. */
const isTaken = (statement: Promise<unknown>) =>
  statement.then(
    () => undefined,
    (error: unknown) => error instanceof UniqueViolation,
  )
/** When each session of a person ended, in milliseconds after T0. */
async function endingsOf(db: Db, userId: string): Promise<Map<string, number>> {
  const moments = await Promise.all(times(10, (n) => db.sessions.endedOf(userId, T0 + n)))
  return new Map(moments.flat().map(({ id, endedAt }) => [id, endedAt - T0]))
}

const ids = (sessions: { id: string }[]) => sessions.map(({ id }) => id).sort()

const users: Record<string, Behaviour> = {
  async 'register makes the account and its first session, whole'(t, { db }) {
    const ann = account({ emailVerified: true, roles: ['admin', 'a.b-c_d'], updatedAt: T0 + 1 })
    const first = session(ann.id, { ip: '2001:db8::1', userAgent: 'Mozilla' })
    t.equal(await db.users.register(ann, first), undefined)
    t.strictSame(await db.users.byId(ann.id), ann)
    t.strictSame(await db.sessions.list(ann.id, T0), [first])
    t.strictSame(await db.sessions.byId(first.id), {
      session: first,
      ended: false,
      account: ann,
    })
  },

  async 'an account without roles has none'(t, { db, person }) {
    const { account } = await person()
    t.strictSame((await db.users.byId(account.id))?.roles, [])
  },

  async 'byId gives each his own, however many are asked for at once'(t, { db, person }) {
    const made = [await person(), await person(), await person()].map(({ account }) => account)
    const asked = Array.from({ length: 150 }, (_, index) => made[index % 4]?.id ?? randomId())
    const found = await Promise.all(asked.map((id) => db.users.byId(id)))
    t.strictSame(
      found,
      asked.map((id) => made.find((one) => one.id === id)),
    )
  },

  async 'byId finds nobody by an unknown id'(t, { db }) {
    t.equal(await db.users.byId(randomId()), undefined)
    t.equal(await db.users.byId(''), undefined)
  },

  async 'byName compares canonical forms and shows the text as typed'(t, { db, person }) {
    const key = randomId()
    const { account } = await person({ username: `Straße ${key} ΣΑΣ`, email: `Ann.${key}@BÜCHER.example` })
    for (const username of [`straße ${key} σας`, `STRASSE ${key} ΣΑΣ`, `ｓtrasse ${key} σασ`])
      t.strictSame(await db.users.byName({ username }), account, username)
    for (const email of [`ann.${key}@bücher.example`, `ANN.${key}@xn--bcher-kva.EXAMPLE`])
      t.strictSame(await db.users.byName({ email }), account, email)
  },

  async 'byName finds nobody by another or an impossible name'(t, { db, person }) {
    const key = randomId()
    const { account } = await person({ username: `café ${key}`, email: `cafe${key}@strasse.example` })
    for (const username of [`cafe ${key}`, `café ${key} `, `café ${key}\u200b`, `café${key}`, '', '@', account.email])
      t.equal(await db.users.byName({ username }), undefined, username)
    for (const email of [`cafe${key}@straße.example`, `cafe${key}@strasse.example `, '', '@', account.username])
      t.equal(await db.users.byName({ email }), undefined, email)
  },

  async 'a username of digits stays text'(t, { db, engine, person }) {
    const digits = String(10 ** 12 + Math.floor(Math.random() * 10 ** 12))
    const { account } = await person({ username: digits })
    t.strictSame(await db.users.byName({ username: digits }), account)
    for (const other of [`0${digits}`, `${digits}.0`, `${digits}a`, `+${digits}`])
      t.equal(await db.users.byName({ username: other }), undefined, other)
    t.equal(await only(engine, 'SELECT LENGTH(username_canonical) AS n FROM users WHERE id = ?', [account.id]), 13)
  },

  async 'text of every script and the longest that is allowed comes back whole'(t, { db, person }) {
    const smileys = '😀'.repeat(74)
    const names = [`${randomId().slice(0, 6)}${smileys}`, `${randomId().slice(0, 5)} 한국어 עברית ÄÖ`]
    for (const username of names) {
      const key = randomId()
      const email = `${key}@${'ü'.repeat(20)}.${`${'a'.repeat(60)}.`.repeat(2)}example`
      const userAgent = '𝔘'.repeat(255)
      const { account, session } = await person({ username, email }, { userAgent })
      t.strictSame(await db.users.byId(account.id), account)
      t.strictSame(await db.users.byName({ username }), account)
      t.equal((await db.sessions.byId(session.id))?.session.userAgent, userAgent)
    }
  },

  async 'canonical columns tell apart whatever differs in a byte'(t, { engine }) {
    const key = randomId()
    const forms = [
      'ann',
      'ann ',
      'ANN',
      'Ann',
      'änn',
      'a\u0308nn',
      'ａｎｎ',
      'ann\u200b',
      'straße',
      'strasse',
      '1',
      '01',
    ]
    for (const form of forms) await insertRaw(engine, key + form)
    for (const form of forms) {
      const found = await engine.all<{ id: string }>('SELECT id FROM users WHERE username_canonical = ?', [key + form])
      t.equal(found.length, 1, JSON.stringify(form))
      const mailed = await engine.all<{ id: string }>('SELECT id FROM users WHERE email_canonical = ?', [key + form])
      t.strictSame(mailed, found, JSON.stringify(form))
      t.ok(await isTaken(insertRaw(engine, key + form)), JSON.stringify(form))
    }
  },

  async 'nothing is cut short silently'(t, { engine }) {
    const long = randomId().repeat(20)
    for (const column of ['email', 'username', 'email_canonical', 'username_canonical', 'password_hash', 'id']) {
      const key = randomId()
      const stored = await insertRaw(engine, key, { [column]: key + long }).then(
        () => true,
        () => false,
      )
      const rows = await engine.all(`SELECT ${column} FROM users WHERE ${column} = ?`, [key + long])
      t.equal(rows.length, stored ? 1 : 0, `${column} is whole or refused`)
      const cut = await engine.all(`SELECT id FROM users WHERE ${column} LIKE ?`, [`${key}%`])
      t.equal(cut.length, rows.length, `${column} is not there in part`)
    }
  },

  async 'an account without a canonical name is refused'(t, { db }) {
    for (const own of [{ username: 'ann ' }, { email: 'nowhere' }]) {
      const nobody = account(own)
      await t.rejects(db.users.register(nobody, session(nobody.id)))
      t.equal(await db.users.byId(nobody.id), undefined)
    }
  },

  async 'taken tells which name an account has, the e-mail where both are'(t, { db, person }) {
    const { account: ann } = await person()
    const free = account()
    t.equal(await db.users.taken(free.email, free.username), undefined)
    t.equal(await db.users.taken(ann.email.toUpperCase(), free.username), 'EMAIL_TAKEN')
    t.equal(await db.users.taken(free.email, ann.username.toUpperCase()), 'USERNAME_TAKEN')
    t.equal(await db.users.taken(ann.email, ann.username), 'EMAIL_TAKEN')
  },

  async 'register tells which name is taken and leaves nothing behind'(t, { db, engine, person }) {
    const { account: ann } = await person()
    const cases = [
      [{ email: ann.email.toUpperCase() }, 'EMAIL_TAKEN'],
      [{ username: ann.username.toUpperCase() }, 'USERNAME_TAKEN'],
      [{ email: ann.email, username: ann.username }, 'EMAIL_TAKEN'],
    ] as const
    for (const [own, code] of cases) {
      const late = account(own)
      t.equal(await db.users.register(late, session(late.id)), code)
      t.equal(await db.users.byId(late.id), undefined)
      t.equal(await sessionsOf(engine, late.id), 0)
    }
  },

  async 'of registrations at once for one name one wins'(t, { db, engine }) {
    for (const [name, code] of [['email', 'EMAIL_TAKEN'] as const, ['username', 'USERNAME_TAKEN'] as const]) {
      const shared = account()[name]
      const rivals = times(8, () => account({ [name]: shared }))
      const answers = await Promise.all(rivals.map((rival) => db.users.register(rival, session(rival.id))))
      t.equal(count<string | undefined>(answers, undefined), 1, `one has the ${name}`)
      t.equal(count<string | undefined>(answers, code), 7)
      const counts = await Promise.all(rivals.map((rival) => sessionsOf(engine, rival.id)))
      t.strictSame(
        counts,
        answers.map((answer) => (answer ? 0 : 1)),
        'the losers left no session',
      )
    }
  },

  async 'login opens a session and counts'(t, { db, engine, person }) {
    const { account: ann, session: first } = await person()
    const second = session(ann.id, { createdAt: T0 + 1 })
    t.equal(await db.users.login(ann, undefined, second), 0)
    t.strictSame(await db.sessions.list(ann.id, T0 + 1), [second, first])
    t.strictSame(await db.users.byId(ann.id), ann, 'a login does not change the account')
    t.equal(await only(engine, 'SELECT logins FROM users WHERE id = ?', [ann.id]), 1)
  },

  async 'login stores a renewed hash'(t, { db, person }) {
    const { account: ann } = await person()
    t.equal(await db.users.login(ann, 'a renewed hash', session(ann.id)), 0)
    t.strictSame(await db.users.byId(ann.id), { ...ann, passwordHash: 'a renewed hash' })
    t.equal(await db.users.login(ann, undefined, session(ann.id)), undefined, 'the old hash holds no longer')
  },

  async 'login opens nothing where the hash is another, or the account disabled or gone'(t, { db, engine, person }) {
    const { account: ann, session: first } = await person()
    const refused = async (asked: Account, why: string) => {
      t.equal(await db.users.login(asked, 'renewed', session(ann.id)), undefined, why)
      t.equal(await sessionsOf(engine, ann.id), 1, why)
    }
    await refused({ ...ann, passwordHash: ann.passwordHash.toUpperCase() }, 'another hash')
    await disable(engine, ann.id)
    await refused(ann, 'disabled')
    t.equal((await db.users.byId(ann.id))?.passwordHash, ann.passwordHash)
    t.equal((await db.users.byId(ann.id))?.disabled, true)
    await disable(engine, ann.id, null)
    t.ok(await db.users.remove(ann, first.id, T0))
    await refused(ann, 'gone')
  },

  async 'of logins at once that renew a hash one wins'(t, { db, engine, person }) {
    const { account: ann } = await person()
    const answers = await Promise.all(times(8, (n) => db.users.login(ann, `renewed ${n}`, session(ann.id))))
    t.equal(answers.filter((answer) => answer !== undefined).length, 1)
    t.equal((await db.users.byId(ann.id))?.passwordHash, `renewed ${answers.findIndex((one) => one !== undefined)}`)
    t.equal(await sessionsOf(engine, ann.id), 2)
  },

  async 'login ends what is beyond the bound and keeps the last used sessions'(t, { db, person }) {
    const { account: ann, session: first } = await person()
    const second = session(ann.id, { createdAt: T0 + 1 })
    const third = session(ann.id, { createdAt: T0 + 2 })
    t.equal(await db.users.login(ann, undefined, second), 0)
    t.equal(await db.users.login(ann, undefined, third), 0)
    const used = { ...first, generation: 1, rotatedAt: T0 + 3, lastUsedAt: T0 + 3 }
    t.ok(await db.sessions.rotate(first, used))
    const fourth = session(ann.id, { createdAt: T0 + 4 })
    t.equal(await db.users.login(ann, undefined, fourth), 1)
    t.strictSame(await livingOf(db, ann.id, T0 + 4), ids([first, third, fourth]))
    t.strictSame(await endingsOf(db, ann.id), new Map([[second.id, 4]]))
  },

  async 'login counts only living sessions of that person'(t, { db, person, login }) {
    const { account: bob, session: bobs } = await person()
    const { account: ann, session: short } = await person({}, { expiresAt: T0 + 10 })
    const ended = await login(ann)
    t.ok(await db.sessions.end(ann.id, ended.id, T0 + 1))
    const later = times(4, (n) => session(ann.id, { createdAt: T0 + 10 + n }))
    const ends: unknown[] = []
    for (const one of later) ends.push(await db.users.login(ann, undefined, one))
    t.strictSame(ends, [0, 0, 0, 1])
    t.strictSame(await livingOf(db, ann.id, T0 + 20), ids(later.slice(1)))
    t.equal((await db.sessions.byId(short.id))?.ended, false, 'an expired one needs no ending')
    t.strictSame(await livingOf(db, bob.id), [bobs.id])
  },

  async 'login ends many at once where the bound was lowered'(t, { fresh }) {
    const { db, engine } = await fresh()
    const ann = account()
    const all = times(20, (n) => session(ann.id, { createdAt: T0 + n }))
    await db.users.register(ann, all[0]!)
    for (const one of all.slice(1)) await insertSession(engine, one)
    const last = session(ann.id, { createdAt: T0 + 100 })
    t.equal(await db.users.login(ann, undefined, last), 18)
    t.strictSame(await livingOf(db, ann.id, T0 + 100), ids([...all.slice(18), last]))
  },

  async 'of logins at once no more than the bound stay'(t, { db, person }) {
    const { account: ann } = await person()
    const answers = await Promise.all(times(8, () => db.users.login(ann, undefined, session(ann.id))))
    t.equal(count<number | undefined>(answers, undefined), 0)
    t.equal((await livingOf(db, ann.id)).length, MAX_SESSIONS)
  },

  async 'changePassword ends every session and opens a new one'(t, { db, person, login }) {
    const { account: bob, session: bobs } = await person()
    const { account: ann, session: asking } = await person()
    const other = await login(ann)
    const earlier = await login(ann)
    await db.sessions.end(ann.id, earlier.id, T0 + 1)
    const next = session(ann.id, { createdAt: T0 + 5 })
    t.equal(await db.users.changePassword(ann, asking.id, 'the new hash', next), true)
    t.strictSame(await db.users.byId(ann.id), { ...ann, passwordHash: 'the new hash', updatedAt: T0 + 5 })
    t.strictSame(await livingOf(db, ann.id, T0 + 5), [next.id])
    const endings = await endingsOf(db, ann.id)
    t.strictSame(
      [asking, other, earlier, next].map(({ id }) => endings.get(id)),
      [5, 5, 1, undefined],
    )
    t.strictSame(await livingOf(db, bob.id), [bobs.id])
  },

  async 'changePassword changes nothing where hash or asking session no longer hold'(t, { db, engine, person, login }) {
    const { account: ann, session: asking } = await person()
    const ended = await login(ann)
    await db.sessions.end(ann.id, ended.id, T0)
    const refused = async (asked: Account, by: string, why: string) => {
      const rows = await sessionsOf(engine, ann.id)
      t.equal(await db.users.changePassword(asked, by, 'new', session(ann.id, { createdAt: T0 + 5 })), false, why)
      t.strictSame(await livingOf(db, ann.id), [asking.id], why)
      t.equal(await sessionsOf(engine, ann.id), rows, why)
      t.match(await db.users.byId(ann.id), { passwordHash: ann.passwordHash, updatedAt: T0 }, why)
    }
    await refused({ ...ann, passwordHash: 'another' }, asking.id, 'another hash')
    await refused(ann, ended.id, 'the asking session has ended')
    await refused(ann, randomId(), 'no such session')
    await disable(engine, ann.id)
    await refused(ann, asking.id, 'disabled')
  },

  async 'of changes of a password at once one wins'(t, { db, person }) {
    const { account: ann, session: asking } = await person()
    const news = times(6, () => session(ann.id))
    const answers = await Promise.all(
      news.map((one, n) => db.users.changePassword(ann, asking.id, `new hash ${n}`, one)),
    )
    t.equal(count(answers, true), 1)
    t.equal((await db.users.byId(ann.id))?.passwordHash, `new hash ${answers.indexOf(true)}`)
    t.strictSame(await livingOf(db, ann.id), [news[answers.indexOf(true)]!.id])
  },

  async 'a login beside a change of the password never outlives it'(t, { db, person }) {
    for (const round of times(5, (n) => n)) {
      const { account: ann, session: asking } = await person()
      const next = session(ann.id)
      const logins = times(4, () => session(ann.id))
      const [changed] = await Promise.all([
        db.users.changePassword(ann, asking.id, 'the new hash', next),
        ...logins.map((one) => db.users.login(ann, undefined, one)),
      ])
      // The asking session may have been ended by the bound on sessions, never by anything else.
      if (changed) t.strictSame(await livingOf(db, ann.id), [next.id], `round ${round}`)
      else t.equal((await db.sessions.byId(asking.id))?.ended, true, `round ${round}`)
    }
  },

  async 'remove deletes the account, ends its sessions and frees its names'(t, { db, person, login }) {
    const { account: ann, session: asking } = await person()
    const other = await login(ann)
    t.equal(await db.users.remove(ann, asking.id, T0 + 5), true)
    t.equal(await db.users.byId(ann.id), undefined)
    t.equal(await db.users.byName({ email: ann.email }), undefined)
    for (const { id } of [asking, other]) t.match(await db.sessions.byId(id), { ended: true, account: undefined })
    t.strictSame(ids(await db.sessions.endedOf(ann.id, T0 + 5)), ids([asking, other]), 'their endings are remembered')
    t.equal(await db.users.remove(ann, asking.id, T0 + 6), false, 'only once')
    const next = account({ email: ann.email, username: ann.username })
    t.equal(await db.users.register(next, session(next.id)), undefined)
  },

  async 'remove removes nothing where hash or asking session no longer hold'(t, { db, engine, person, login }) {
    const { account: ann, session: asking } = await person()
    const ended = await login(ann)
    await db.sessions.end(ann.id, ended.id, T0)
    t.equal(await db.users.remove({ ...ann, passwordHash: 'another' }, asking.id, T0), false)
    t.equal(await db.users.remove(ann, ended.id, T0), false)
    await disable(engine, ann.id)
    t.equal(await db.users.remove(ann, asking.id, T0), false)
    t.equal((await db.users.byId(ann.id))?.id, ann.id)
    t.strictSame(await livingOf(db, ann.id), [asking.id])
  },

  async 'of login, change and removal at once no session outlives the account'(t, { db, person }) {
    for (const round of times(5, (n) => n)) {
      const { account: ann, session: asking } = await person()
      const [removed, changed] = await Promise.all([
        db.users.remove(ann, asking.id, T0),
        db.users.changePassword(ann, asking.id, 'new', session(ann.id)),
        db.users.login(ann, undefined, session(ann.id)),
      ])
      t.not(removed, changed, `round ${round}: one of the two won`)
      t.equal((await db.users.byId(ann.id)) === undefined, removed, `round ${round}`)
      t.equal((await livingOf(db, ann.id)).length, removed ? 0 : 1, `round ${round}`)
    }
  },

  async 'rename gives another username'(t, { db, person }) {
    const { account: ann } = await person()
    const username = `Ann ${randomId()} é`
    t.equal(await db.users.rename(ann.id, username, T0 + 5), undefined)
    t.strictSame(await db.users.byName({ username: username.toUpperCase() }), { ...ann, username, updatedAt: T0 + 5 })
    t.equal(await db.users.byName({ username: ann.username }), undefined)
    t.equal(await db.users.rename(ann.id, username.toUpperCase(), T0 + 6), undefined, 'its own name in another case')
    t.equal((await db.users.byId(ann.id))?.username, username.toUpperCase())
  },

  async 'rename refuses a name that is taken, also of two at once'(t, { db, person }) {
    const [{ account: ann }, { account: bob }] = [await person(), await person()]
    t.equal(await db.users.rename(ann.id, bob.username.toUpperCase(), T0 + 5), 'USERNAME_TAKEN')
    t.strictSame(await db.users.byId(ann.id), ann)
    const username = `wanted ${randomId()}`
    const answers = await Promise.all([ann, bob].map(({ id }) => db.users.rename(id, username, T0 + 5)))
    t.equal(count<string | undefined>(answers, 'USERNAME_TAKEN'), 1)
  },

  async 'rename of an account that is gone, or to no name, changes nothing'(t, { db, person }) {
    t.equal(await db.users.rename(randomId(), account().username, T0), undefined)
    const { account: ann } = await person()
    await t.rejects(db.users.rename(ann.id, 'ann ', T0 + 5))
    t.strictSame(await db.users.byId(ann.id), ann)
  },

  async 'register that meets somebody who is gone again says that the e-mail is taken'(t, { db, person }) {
    const { account: ann } = await person()
    const next = { ...account(), id: ann.id }
    t.equal(await db.users.register(next, session(next.id)), 'EMAIL_TAKEN')
    t.equal(await db.users.byName({ email: next.email }), undefined)
  },
}

const sessions: Record<string, Behaviour> = {
  async 'byId and byHandle give the session with its person'(t, { db, engine, person }) {
    const { account: ann, session: one } = await person({ roles: ['admin'] })
    const wanted = { session: one, ended: false, account: ann }
    t.strictSame(await db.sessions.byId(one.id), wanted)
    t.strictSame(await db.sessions.byHandle(one.handleHash), wanted)
    t.equal(await db.sessions.byId(one.handleHash), undefined)
    t.equal(await db.sessions.byHandle(one.id), undefined)
    t.equal(await db.sessions.byHandle(one.handleHash.toUpperCase()), undefined)
    await disable(engine, ann.id)
    t.match(await db.sessions.byId(one.id), { ended: false, account: { disabled: true } })
    await disable(engine, ann.id, null)
    await db.sessions.end(ann.id, one.id, T0)
    t.match(await db.sessions.byHandle(one.handleHash), { ended: true, account: { disabled: false } })
  },

  async 'list shows the living sessions of one person, the newest first'(t, { db, person, login }) {
    await person()
    const { account: ann, session: first } = await person({}, { expiresAt: T0 + 10 })
    const third = await login(ann, { createdAt: T0 + 2, id: `a${randomId().slice(1)}` })
    const second = await login(ann, { createdAt: T0 + 1 })
    t.strictSame(await db.sessions.list(ann.id, T0 + 9), [third, second, first])
    t.strictSame(await db.sessions.list(ann.id, T0 + 10), [third, second], 'one that ends now has ended')
    await db.sessions.end(ann.id, third.id, T0 + 3)
    t.strictSame(await db.sessions.list(ann.id, T0 + 10), [second])
    t.strictSame(await db.sessions.list(randomId(), T0), [])
  },

  async 'sessions of one moment have an order too'(t, { db, person, login }) {
    const { account: ann, session: first } = await person()
    const others = [await login(ann), await login(ann)]
    const order = [first, ...others].map(({ id }) => id).sort()
    t.strictSame(
      (await db.sessions.list(ann.id, T0)).map(({ id }) => id),
      order.reverse(),
    )
  },

  async 'rotate moves a session on'(t, { db, person }) {
    const { session: one } = await person()
    const next = rotated(one, T0 + 5)
    t.equal(await db.sessions.rotate(one, next), true)
    t.strictSame((await db.sessions.byId(one.id))?.session, next)
  },

  async 'rotate moves nothing where the generation is another'(t, { db, person }) {
    const { session: zero } = await person()
    const one = rotated(zero, T0)
    t.equal(await db.sessions.rotate(one, rotated(one, T0)), false, 'ahead')
    t.equal(await db.sessions.rotate(zero, one), true)
    t.equal(await db.sessions.rotate(zero, rotated(zero, T0 + DAY)), false, 'behind')
    t.strictSame((await db.sessions.byId(zero.id))?.session, one)
  },

  async 'rotate moves nothing that has ended, or whose person is disabled or gone'(t, { db, engine, person }) {
    const { account: ann, session: one } = await person()
    await disable(engine, ann.id)
    t.equal(await db.sessions.rotate(one, rotated(one, T0)), false, 'disabled')
    await disable(engine, ann.id, null)
    await db.sessions.end(ann.id, one.id, T0)
    t.equal(await db.sessions.rotate(one, rotated(one, T0)), false, 'ended')
    t.strictSame((await db.sessions.byId(one.id))?.session, one)
    const stray = session(randomId())
    await insertSession(engine, stray)
    t.equal(await db.sessions.rotate(stray, rotated(stray, T0)), false, 'gone')
  },

  async 'of rotations at once one wins'(t, { db, person }) {
    const { session: one } = await person()
    const answers = await Promise.all(times(8, () => db.sessions.rotate(one, rotated(one, T0 + 1))))
    t.equal(count(answers, true), 1)
    t.equal((await db.sessions.byId(one.id))?.session.generation, 1)
  },

  async 'end ends a living session of that person once'(t, { db, person }) {
    const [{ account: ann, session: one }, { account: bob }] = [await person(), await person()]
    t.equal(await db.sessions.end(bob.id, one.id, T0), false, "another person's")
    t.equal(await db.sessions.end(ann.id, randomId(), T0), false, 'unknown')
    t.equal(await db.sessions.end(ann.id, one.id, one.expiresAt), false, 'expired')
    t.equal((await db.sessions.byId(one.id))?.ended, false)
    t.equal(await db.sessions.end(ann.id, one.id, one.expiresAt - 1), true)
    t.equal(await db.sessions.end(ann.id, one.id, T0), false, 'twice')
    t.match(await db.sessions.endedOf(ann.id, one.expiresAt - 1), [{ id: one.id, endedAt: one.expiresAt - 1 }])
  },

  async 'of endings at once one did it'(t, { db, person }) {
    const { account: ann, session: one } = await person()
    const answers = await Promise.all(times(8, () => db.sessions.end(ann.id, one.id, T0)))
    t.equal(count(answers, true), 1)
  },

  async 'an id that was not made here names no session'(t, { db, person }) {
    const { account: ann, session: one } = await person({}, { id: `Ab${randomId()}` })
    const odd = ['é', '한국', '😀', '', ' ', '%', '_', '\0', '?', "' OR 1=1 --", 'x'.repeat(37), 'x'.repeat(70_000)]
    const near = [`${one.id} `, ` ${one.id}`, `${one.id}\0`, `${one.id}é`, one.id.toLowerCase(), one.id.slice(0, -1)]
    for (const id of [...odd, ...near]) t.equal(await db.sessions.end(ann.id, id, T0), false, JSON.stringify(id))
    t.strictSame(await livingOf(db, ann.id), [one.id])
  },

  async 'endAll ends all sessions of that person, or all but one'(t, { db, person, login }) {
    const { account: bob, session: bobs } = await person()
    const { account: ann, session: first } = await person()
    const [second, third] = [await login(ann), await login(ann)]
    await db.sessions.end(ann.id, first.id, T0 + 1)
    await db.sessions.endAll(ann.id, T0 + 2, second.id)
    t.strictSame(await livingOf(db, ann.id), [second.id])
    await db.sessions.endAll(ann.id, T0 + 3)
    t.strictSame(await livingOf(db, ann.id), [])
    const endings = await endingsOf(db, ann.id)
    t.strictSame(
      [first, second, third].map(({ id }) => endings.get(id)),
      [1, 3, 2],
      'each at its own time',
    )
    t.strictSame(await livingOf(db, bob.id), [bobs.id])
    t.equal(await db.sessions.endAll(randomId(), T0), undefined)
  },

  async 'endedOf gives what of a person ended at one moment'(t, { db, person, login }) {
    await person()
    const { account: ann, session: one } = await person({}, { until: T0 + 100 })
    const [two, three] = [await login(ann), await login(ann)]
    await db.sessions.end(ann.id, one.id, T0 + 1)
    await db.sessions.endAll(ann.id, T0 + 2)
    t.strictSame(await db.sessions.endedOf(ann.id, T0 + 1), [{ id: one.id, until: T0 + 100, endedAt: T0 + 1 }])
    t.strictSame(ids(await db.sessions.endedOf(ann.id, T0 + 2)), ids([two, three]))
    t.strictSame(await db.sessions.endedOf(ann.id, T0), [])
    t.strictSame(await db.sessions.endedOf(randomId(), T0 + 1), [])
  },

  async 'endedSince gives what ended after a time, of everybody'(t, { fresh }) {
    const { db } = await fresh()
    const made: Session[] = []
    for (const n of [0, 1, 2, 3]) {
      const ann = account()
      made.push(session(ann.id, { until: T0 + 100 + n }))
      await db.users.register(ann, made[n]!)
      if (n < 3) await db.sessions.end(ann.id, made[n]!.id, T0 + 10 * n)
    }
    const [zero, one, two] = made as [Session, Session, Session, Session]
    t.strictSame(ids(await db.sessions.endedSince(Number.NEGATIVE_INFINITY, T0)), ids([zero, one, two]), 'all of them')
    t.strictSame(ids(await db.sessions.endedSince(-30_000, T0)), ids([zero, one, two]))
    t.strictSame(ids(await db.sessions.endedSince(T0, T0)), ids([one, two]))
    t.strictSame(ids(await db.sessions.endedSince(T0 + 9, T0)), ids([one, two]), 'read again where polls overlap')
    t.strictSame(await db.sessions.endedSince(T0 + 19, T0), [{ id: two.id, until: T0 + 102, endedAt: T0 + 20 }])
    t.strictSame(await db.sessions.endedSince(T0 + 20, T0), [])
    t.strictSame(ids(await db.sessions.endedSince(T0 - 1, T0 + 101)), ids([two]), 'dead tokens need no list')
  },

  async 'purge deletes in batches what is over, and only that'(t, { fresh }) {
    const { db, engine } = await fresh()
    const now = T0 + DAY
    const over = { createdAt: T0 - DAY, expiresAt: now, until: now }
    const make = async (number: number, own: Partial<Session>, endedAt: number | null = null) => {
      const made = times(number, () => session(randomId(), own))
      for (const one of made) await insertSession(engine, one, endedAt)
      return made
    }
    await make(5, over)
    await make(5, { ...over, expiresAt: now + DAY }, T0)
    await make(1, { ...over, expiresAt: now + DAY }, now)
    const kept = [
      ...(await make(2, { until: now + 1 }, T0)),
      ...(await make(2, { expiresAt: now, until: now + 1 })),
      ...(await make(2, { expiresAt: now + 1, until: now })),
      ...(await make(1, { expiresAt: now + DAY, until: now + 1 })),
      ...(await make(1, { expiresAt: now + DAY, until: now }, now + 1)),
    ]
    await make(201, over)
    const deleted: number[] = []
    do deleted.push(await db.sessions.purge(now))
    while (deleted.at(-1)! > 0)
    t.equal(deleted.length, 3, 'some at a time')
    t.equal(
      deleted.reduce((sum, number) => sum + number, 0),
      212,
    )
    t.strictSame(ids(await engine.all<{ id: string }>('SELECT id FROM sessions')), ids(kept))
  },
}

const rest: Record<string, Behaviour> = {
  async 'keys come back whole, the newest first'(t, { fresh }) {
    const { db } = await fresh()
    const made = await db.keys.all()
    t.equal(made.length, 2, 'the first two are made at the start')
    const key = (n: number): StoredKey => ({
      kid: randomId(),
      alg: 'RS256',
      privateSealed: 'y'.repeat(5000),
      createdAt: T0 + n,
      signsAt: n === 1 ? null : T0 + 7,
      tokenTtl: 86_400,
    })
    const [older, newest] = [key(-1), key(1)]
    const jwk = JSON.stringify({ x: 'x'.repeat(3000) })
    t.equal(await db.keys.change([insertKey(newest, jwk), insertKey(older, jwk)]), true)
    t.strictSame(await db.keys.all(), [...made, newest, older])
    t.ok(await isTaken(db.keys.change([insertKey({ ...newest, alg: 'other' }, jwk)])))
  },

  async 'keys change together, as they were read, or not at all'(t, { fresh }) {
    const { db } = await fresh()
    const [next, signing] = (await db.keys.all()).sort((a) => (a.signsAt === null ? -1 : 1)) as [StoredKey, StoredKey]
    const appointed = { ...next, signsAt: T0 }
    t.equal(await db.keys.change([updateKey(next, { signsAt: T0 }), updateKey(signing, { privateSealed: 'w' })]), true)
    const resealed = { ...signing, privateSealed: 'w' }
    const keys = async () => (await db.keys.all()).sort((a) => (a.kid === next.kid ? -1 : 1))
    t.strictSame(await keys(), [appointed, resealed])
    const late = [next, signing, { ...appointed, signsAt: T0 + 1 }, { ...resealed, signsAt: null }]
    for (const stale of [...late, { ...appointed, privateSealed: 'x' }, { ...appointed, kid: 'x' }]) {
      t.equal(await db.keys.change([updateKey(appointed, { privateSealed: 'y' }), updateKey(stale, {})]), false)
      t.equal(await db.keys.change([deleteKey(stale)]), false)
    }
    t.strictSame(await keys(), [appointed, resealed], 'who comes late changes nothing')
    await db.keys.noteTtl(next.kid, 500)
    await db.keys.noteTtl(next.kid, 7000)
    await db.keys.noteTtl(next.kid, 6000)
    t.strictSame(
      (await keys()).map(({ tokenTtl }) => tokenTtl),
      [7000, 900],
      'the longest stays',
    )
    t.equal(await db.keys.change([updateKey(appointed, { privateSealed: 'z' }), deleteKey(resealed)]), true)
    t.strictSame(await db.keys.all(), [{ ...appointed, privateSealed: 'z', tokenTtl: 7000 }])
  },

  async 'a key of the version before signs from its beginning'(t, { fresh }) {
    const { db, engine } = await fresh()
    await engine.run('DELETE FROM signing_keys')
    await engine.run(
      'INSERT INTO signing_keys (kid, alg, public_jwk, private_sealed, created_at) VALUES (?, ?, ?, ?, ?)',
      [...['old', 'ES256', '{}', 'sealed'], T0],
    )
    const [old] = (await db.keys.all()) as [StoredKey]
    t.match(old, { createdAt: T0, signsAt: T0, tokenTtl: 86_400 })
    t.equal(await db.keys.change([updateKey(old, { privateSealed: 'y' })]), true)
    t.strictSame(await db.keys.all(), [{ ...old, privateSealed: 'y' }])
  },

  async 'a lease is held by one instance at a time'(t, { beside }) {
    const rooms = [await beside(), await beside(), await beside()]
    const name = `lease ${randomId()}`
    let inside = 0
    const answers = await Promise.all(
      rooms.map(({ db }, n) =>
        db.withLease(name, async (renew) => {
          t.equal(++inside, 1)
          await renew()
          await db.ping()
          t.equal(inside--, 1)
          return n
        }),
      ),
    )
    t.strictSame(answers, [0, 1, 2])
  },

  async 'a lease that another instance has is not waited for where nothing needs to be done'(t, { db, beside }) {
    const [other, name] = [await beside(), `lease ${randomId()}`]
    const done: string[] = []
    const work = (what: string) => async (check: () => Promise<void>) => {
      await check()
      done.push(what)
    }
    await db.withLease(name, () => other.db.tryLease(name, work('held')))
    await other.db.tryLease(name, work('free'))
    await db.tryLease(name, work('given back'))
    t.strictSame(done, ['free', 'given back'])
  },

  async 'a lease is free after a failure'(t, { db, beside }) {
    const name = `lease ${randomId()}`
    const failure = new Error('no')
    await t.rejects(
      db.withLease(name, () => Promise.reject(failure)),
      failure,
    )
    t.equal(await (await beside()).db.withLease(name, async () => 'done'), 'done')
  },

  async 'ping and clock answer'(t, { db }) {
    const before = Date.now()
    await db.ping()
    const time = await db.clock()
    // On one machine there is one clock; some read it in whole milliseconds.
    t.ok(time >= before - 1 && time <= Date.now() + 1, String(time))
  },

  async 'a batch gives the counts of its statements'(t, { engine }) {
    const name = await table(engine, 3)
    const counts = await engine.batch([
      { sql: `UPDATE ${name} SET n = n + 1`, values: [], expect: 3 },
      { sql: `INSERT INTO ${name} (id, n) VALUES (?, ?)`, values: ['new', 7] },
      { sql: `UPDATE ${name} SET n = n WHERE n < ?`, values: [3] },
      { sql: `DELETE FROM ${name} WHERE id = ?`, values: ['nobody'], expect: 0 },
    ])
    t.strictSame(counts, [3, 1, 2, 0], 'rows that match count, changed or not')
    t.equal(await only(engine, `SELECT n FROM ${name} WHERE id = ?`, ['new']), 7)
    t.strictSame(await engine.batch([]), [])
  },

  async 'a batch that misses a count, a unique name or the syntax is undone'(t, { engine }) {
    const name = await table(engine, 2)
    const change = { sql: `UPDATE ${name} SET n = n + 100`, values: [] }
    const insert = (id: string) => ({ sql: `INSERT INTO ${name} (id, n) VALUES (?, ?)`, values: [id, 1] })
    const never = { sql: `DELETE FROM ${name}`, values: [] }
    t.equal(await engine.batch([change, { ...change, expect: 1 }, never]), undefined)
    t.equal(await engine.batch([change, insert('a'), { ...change, expect: 4 }, never]), undefined)
    t.ok(await isTaken(engine.batch([change, insert('b'), insert('b'), never])))
    await t.rejects(engine.batch([change, insert('c'), { sql: 'SELEKT', values: [] }, never]), Error)
    await t.rejects(engine.batch([change, insert('d'), { sql: `UPDATE ${name} SET n = NULL`, values: [] }]), Error)
    t.strictSame(await engine.all(`SELECT id, n FROM ${name} ORDER BY id`), [
      { id: '0', n: 0 },
      { id: '1', n: 1 },
    ])
    t.strictSame(await engine.batch([change]), [2], 'and nothing of it is left open')
  },

  async 'batches at once all count'(t, { engine }) {
    const name = await table(engine, 1)
    const add = { sql: `UPDATE ${name} SET n = n + 1`, values: [], expect: 1 }
    await Promise.all(times(20, () => engine.batch([add, add])))
    t.equal(await only(engine, `SELECT n FROM ${name}`), 40)
  },

  async 'run gives the rows that matched and knows a name that is taken'(t, { engine }) {
    const name = await table(engine, 3)
    t.equal(await engine.run(`UPDATE ${name} SET n = n`), 3)
    t.equal(await engine.run(`UPDATE ${name} SET n = 9 WHERE id = ?`, ['x']), 0)
    t.equal(await isTaken(engine.run(`INSERT INTO ${name} (id, n) VALUES ('0', 0)`)), true)
    t.equal(await isTaken(engine.run(`INSERT INTO ${name} (id, n) VALUES ('9', NULL)`)), false, 'another constraint')
  },

  async 'define may be said again, and says what is wrong'(t, { engine }) {
    const name = await table(engine, 1)
    for (const sql of [
      `CREATE TABLE ${name} (id INTEGER PRIMARY KEY)`,
      `ALTER TABLE ${name} ADD COLUMN n INTEGER`,
      `CREATE INDEX ${name}_n ON ${name} (n)`,
      `CREATE INDEX ${name}_n ON ${name} (n)`,
    ])
      await engine.define(sql)
    t.equal(await only(engine, `SELECT n FROM ${name}`), 0)
    await t.rejects(engine.define(`CREATE INDEX ${name}_x ON ${name} (nothing)`))
    await t.rejects(engine.define('CREATE TABLE'))
  },

  async 'numbers come back as numbers, however large a time is'(t, { engine }) {
    const name = await table(engine, 1)
    for (const n of [0, -1, T0, 8_640_000_000_000_000]) {
      await engine.run(`UPDATE ${name} SET n = ?`, [n])
      t.strictSame(await engine.all(`SELECT n FROM ${name} WHERE n = ?`, [n]), [{ n }])
    }
  },

  async 'the name says which database it is, without its password'(t, { db, engine }) {
    t.match(db.name, /^(SQLite \/.+\.db|MySQL 127\.0\.0\.1:\d+\/test_\w+)$/)
    t.equal(typeof (await engine.clock()), 'number')
  },
}

/** The next generation of a session, rotated at this time. */
function rotated(before: Session, time: number): Session {
  const generation = before.generation + 1
  const lives = { expiresAt: time + DAY + 1, until: time + 1500 * SECOND }
  return { ...before, ...lives, generation, rotatedAt: time, lastUsedAt: time }
}

async function insertRaw(engine: Database, canonical: string, own: Record<string, string> = {}): Promise<void> {
  const row: Record<string, string | number> = {
    id: randomId(),
    email: 'shown',
    email_canonical: canonical,
    email_verified: 0,
    username: 'shown',
    username_canonical: canonical,
    password_hash: 'hash',
    roles: '',
    logins: 0,
    created_at: T0,
    updated_at: T0,
    ...own,
  }
  const marks = Object.keys(row).map(() => '?')
  await engine.run(
    `INSERT INTO users (${Object.keys(row).join(', ')}) VALUES (${marks.join(', ')})`,
    Object.values(row),
  )
}

async function insertSession(engine: Database, one: Session, endedAt: number | null = null): Promise<void> {
  await engine.run(
    `INSERT INTO sessions (id, user_id, handle_hash, generation, created_at, last_used_at, expires_at, until, ended_at, ip, user_agent)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      one.id,
      one.userId,
      one.handleHash,
      one.generation,
      one.createdAt,
      one.lastUsedAt,
      one.expiresAt,
      one.until,
      endedAt,
      one.ip,
      one.userAgent,
    ],
  )
}

/** A table of one test with so many rows: ids and numbers from 0 on. */
async function table(engine: Database, rows: number): Promise<string> {
  const name = `t${randomId()}`
  await engine.define(`CREATE TABLE ${name} (id ${engine.types.id} NOT NULL PRIMARY KEY, n BIGINT NOT NULL)`)
  for (const n of times(rows, (n) => n)) await engine.run(`INSERT INTO ${name} (id, n) VALUES (?, ?)`, [String(n), n])
  return name
}

/** Notes which functions of an object are called from outside; calls among them do not count. */
function recorded<T extends object>(target: T, called: Set<PropertyKey>): T {
  return new Proxy(target, {
    get(_target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        called.add(name)
        return Reflect.apply(value, target, args)
      }
    },
  })
}

const functionsOf = (object: object) =>
  Object.entries(object)
    .filter(([, value]) => typeof value === 'function')
    .map(([name]) => name)

function recordedRoom(room: Room) {
  const parts = { db: room.db, users: room.db.users, sessions: room.db.sessions, keys: room.db.keys }
  const called = { db: new Set(), users: new Set(), sessions: new Set(), keys: new Set() } as Record<
    keyof typeof parts,
    Set<PropertyKey>
  >
  const wrap = (one: Room): Room => {
    const { users, sessions, keys } = one.db
    const db = {
      ...recorded(one.db, called.db),
      users: recorded(users, called.users),
      sessions: recorded(sessions, called.sessions),
      keys: recorded(keys, called.keys),
    }
    return { ...one, db }
  }
  const forgotten = () =>
    Object.entries(parts).flatMap(([part, object]) =>
      functionsOf(object)
        .filter((name) => !called[part as keyof typeof parts].has(name))
        .map((name) => `${part}.${name}`),
    )
  return { wrap, forgotten }
}

onEachEngine(t, 'the database', async (t, engine) => {
  const settings = { MAX_SESSIONS: String(MAX_SESSIONS) }
  const url = await engine.databaseUrl()
  const bare = await openRoom(t, url, settings)
  const { wrap, forgotten } = recordedRoom(bare)
  const room = wrap(bare)
  t.strictSame(
    Object.values(bare.db).filter((part) => typeof part === 'object'),
    [bare.db.users, bare.db.sessions, bare.db.keys],
    'each table of the room is held against the list',
  )

  const placeOf = (t: Test): Place => ({
    ...room,
    fresh: async () => wrap(await openRoom(t, await engine.databaseUrl(), settings)),
    beside: async () => wrap(await openRoom(t, url, settings)),
    person: async (own, ownSession) => {
      const made = account(own)
      const first = session(made.id, ownSession)
      const taken = await bare.db.users.register(made, first)
      if (taken) throw new Error(taken)
      return { account: made, session: first }
    },
    login: async (account, own) => {
      const one = session(account.id, own)
      if ((await bare.db.users.login(account, undefined, one)) === undefined) throw new Error('no login')
      return one
    },
  })
  for (const [name, behaviour] of Object.entries({ ...users, ...sessions, ...rest }))
    await t.test(name, (t) => behaviour(t, placeOf(t)))

  t.strictSame(forgotten(), [], 'no function is left out')
})
