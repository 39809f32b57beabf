/** The life of signing keys, as tables: who signs, how long each is published, what is to be done. */
import t from 'tap'
import type { StoredKey } from '../../../plugins/db/keys.ts'
import {
  completion,
  type Order,
  publishedUntil,
  type Rules,
  revocation,
  rotation,
  rotationAt,
  signingOf,
  stateOf,
  stillSigning,
  upkeep,
} from '../../../plugins/keys/life.ts'

/** Small numbers: a key lives for 10 s + 100 ms after its successor has begun. */
const RULES: Rules = { lead: 300, keep: 100, remember: 900, stale: 30, rotation: 50_000 }
const TTL = 10
const DAY = 86_400_000

const key = (kid: string, signsAt: number | null, own: Partial<StoredKey> = {}): StoredKey => ({
  kid,
  alg: 'ES256',
  privateSealed: '',
  createdAt: 0,
  signsAt,
  tokenTtl: TTL,
  ...own,
})

/** Orders as they are easily compared. */
const told = (orders: Order[]) =>
  orders.map((order) => {
    if ('make' in order) return `make ${order.make}${order.after === undefined ? '' : ` after ${order.after}`}`
    if ('appoint' in order) return `appoint ${order.appoint.kid} at ${order.at}`
    return 'remove' in order ? `remove ${order.remove.kid}` : 'reseal'
  })

t.test('who signs, and what each key is', async (t) => {
  const keys = [key('d', null), key('c', 2000), key('b', 1000), key('a', 0)]
  const cases: [time: number, signing: string, states: string][] = [
    [-5, 'a', 'next appointed appointed signing'],
    [0, 'a', 'next appointed appointed signing'],
    [999, 'a', 'next appointed appointed signing'],
    [1000, 'b', 'next appointed signing retired'],
    [1999, 'b', 'next appointed signing retired'],
    [2000, 'c', 'next signing retired retired'],
    [1e9, 'c', 'next signing retired retired'],
  ]
  for (const [time, signing, states] of cases) {
    for (const order of [keys, keys.toReversed()]) t.equal(signingOf(order, time)?.kid, signing, `${time}`)
    t.equal(keys.map((one) => stateOf(one, keys, time)).join(' '), states, `${time}`)
  }
  t.equal(signingOf([], 0), undefined)
  t.equal(signingOf([key('a', null)], 5)?.kid, 'a', 'better one that waits than none')
  const twins = [key('b', 5), key('a', 5), key('c', 5, { createdAt: -1 })]
  for (const order of [twins, twins.toReversed()])
    t.equal(signingOf(order, 9)?.kid, 'b', 'all instances choose the same')
})

t.test('how long a key is published', async (t) => {
  const keys = [key('d', null), key('c', 2000, { tokenTtl: 1 }), key('b', 1000), key('a', 0)]
  const [d, c, b, a] = keys as [StoredKey, StoredKey, StoredKey, StoredKey]
  t.strictSame(
    [a, b, c, d].map((one) => publishedUntil(keys, RULES).get(one)),
    [1000 + 10_100, 2000 + 10_100, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  )
  const kids = (time: number) => stillSigning(keys, time).map(({ kid }) => kid)
  t.strictSame(kids(500), ['a', 'b', 'c', 'd'])
  t.strictSame(kids(1500), ['b', 'c', 'd'])
  t.strictSame(kids(2500), ['c', 'd'])
})

t.test('a rotation', async (t) => {
  const fresh = [key('a', 0), key('b', null, { createdAt: 10 })]
  t.strictSame(told(rotation(fresh, 100, RULES)), ['appoint b at 310', 'make ES256'], 'it has to be known first')
  t.strictSame(told(rotation(fresh, 1000, RULES)), ['appoint b at 1000', 'make ES256'], 'it has been known for long')
  const rsa = [key('a', 0), key('b', null, { alg: 'RS256' })]
  t.strictSame(told(rotation(rsa, 1000, RULES)), ['appoint b at 1000', 'make RS256'], 'the alg stays')
})

t.test('what makes the set whole', async (t) => {
  const es = [key('a', 0), key('n', null, { createdAt: 50 })]
  const cases: [name: string, keys: StoredKey[], alg: 'ES256' | 'RS256', change: boolean, orders: string[]][] = [
    ['a new database', [], 'ES256', false, ['make ES256 after 0', 'make ES256']],
    ['a new database, RS256', [], 'RS256', true, ['make RS256 after 0', 'make RS256']],
    ['one that waits alone', [key('n', null)], 'ES256', true, ['appoint n at 100', 'make ES256']],
    ['of the version before', [key('a', 0)], 'ES256', true, ['make ES256']],
    ['nothing is missing', es, 'ES256', true, []],
    ['a command changes no alg', es, 'RS256', false, []],
    ['a command goes on with the alg that is there', [key('a', 0)], 'RS256', false, ['make ES256']],
    ['another alg', es, 'RS256', true, ['remove n', 'make RS256 after 300', 'make RS256']],
    ['another alg, of the version before', [key('a', 0)], 'RS256', true, ['make RS256 after 300', 'make RS256']],
    [
      'another alg, its key waits already',
      [key('a', 0), key('n', null, { alg: 'RS256', createdAt: 50 })],
      'RS256',
      true,
      ['appoint n at 350', 'make RS256'],
    ],
    [
      'another alg, whose key is appointed',
      [key('a', 0), key('r', 400, { alg: 'RS256' }), key('n', null, { alg: 'RS256' })],
      'RS256',
      true,
      [],
    ],
    [
      'and back again',
      [key('a', 0), key('r', 400, { alg: 'RS256' }), key('n', null, { alg: 'RS256' })],
      'ES256',
      true,
      ['remove n', 'make ES256 after 300', 'make ES256'],
    ],
    [
      'the next of another alg',
      [key('a', 0), key('n', null, { alg: 'RS256' })],
      'ES256',
      true,
      ['remove n', 'make ES256'],
    ],
  ]
  for (const [name, keys, alg, change, orders] of cases)
    t.strictSame(told(completion(keys, 100, RULES, alg, change)), orders, name)
})

t.test('each minute', async (t) => {
  const keys = [key('a', 0), key('b', 1000), key('n', null)]
  t.strictSame(upkeep(keys, 11_999, RULES), [])
  t.strictSame(told(upkeep(keys, 12_000, RULES)), ['remove a'], 'nobody comes with a token of its any more')
  const due = 1000 + RULES.rotation
  const old = [key('b', 1000), key('n', null, { createdAt: due - DAY })]
  t.strictSame(upkeep(old, due - 1, RULES), [])
  t.strictSame(told(upkeep(old, due, RULES)), [`appoint n at ${due}`, 'make ES256'])
  t.strictSame(upkeep(old, due, { ...RULES, rotation: 0 }), [], 'by hand only')
  const appointed = [key('b', 1000), key('c', due + 5), key('n', null)]
  t.strictSame(upkeep(appointed, due, RULES), [], 'once')
})

t.test('when the next rotation is', async (t) => {
  const keys = [key('b', 1000), key('n', null, { createdAt: -DAY })]
  t.equal(rotationAt(keys, 2000, RULES), 51_000)
  const young = [key('b', 1000), key('n', null, { createdAt: 60_000 })]
  t.equal(rotationAt(young, 70_000, RULES), 60_000 + DAY, 'none takes over on the day that it was made')
  t.equal(rotationAt(keys, 70_000, RULES), 70_000, 'overdue')
  t.equal(rotationAt([...keys, key('c', 2500)], 2000, RULES), 2500, 'one is appointed')
  t.equal(rotationAt(keys, 2000, { ...RULES, rotation: 0 }), undefined)
  t.equal(rotationAt([...keys, key('c', 2500)], 2000, { ...RULES, rotation: 0 }), 2500, 'by hand')
})

t.test('a key is compromised', async (t) => {
  const [old, signing, next] = [key('a', 0), key('b', 1000), key('n', null, { createdAt: 1999 })]
  const keys = [old, signing, next]
  const revoked = (one: StoredKey, all: StoredKey[]) => told(revocation(one, all, 2000, RULES))
  t.strictSame(revoked(old, keys), ['remove a'])
  t.strictSame(
    revoked(signing, keys),
    ['remove b', 'appoint n at 1000', 'make ES256'],
    'the next one in its place, known or not',
  )
  const gone = [key('o', 0), ...[-20_000, -10_000].map((at) => key(`o${at}`, at)), signing, next]
  t.strictSame(
    revoked(signing, gone),
    ['remove b', 'remove o-20000', 'appoint n at 1000', 'make ES256'],
    'none that went from the list comes back',
  )
  t.strictSame(revoked(next, keys), ['remove n', 'make ES256'])
  const appointed = key('c', 2500)
  const more = [...keys, appointed]
  t.strictSame(revoked(signing, more), ['remove b', 'appoint c at 1000'])
  t.strictSame(revoked(appointed, more), ['remove c', 'appoint n at 2299', 'make ES256'], 'the rotation goes on')
})
