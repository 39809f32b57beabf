/** What hashes are expected to take: an average for each cost, and what is ahead in all and of each network. */
import t from 'tap'
import { createAverages, createLoad } from '../../../plugins/passwords/load.ts'
import { costsOf } from '../../../plugins/passwords/stored.ts'

/** To the microsecond: these are sums of fractions. */
const rounded = (ms: number) => Math.round(ms * 1000) / 1000

t.test('an average for each cost', async (t) => {
  const averages = createAverages(10)
  t.strictSame([4, 9, 10, 11, 12].map(averages.of), [53 / 64, 26.5, 53, 106, 212], 'the first guess')
  averages.learn([10], 153)
  t.equal(rounded(averages.of(10)), 63, 'a tenth of what is new')
  t.equal(rounded(averages.of(12)), 252, 'what was never measured goes by the cost in force')
  averages.learn([12], 352)
  t.equal(rounded(averages.of(12)), 262)
  t.equal(rounded(averages.of(10)), 63)
  averages.learn([12, 10], 650)
  t.equal(rounded(averages.of(12)), 288.2, 'two together share what they took')
  t.equal(rounded(averages.of(10)), 69.3)
})

t.test('what is ahead, by the averages of now', async (t) => {
  const averages = createAverages(10)
  const load = createLoad(averages)
  const all = () => [load.total(), load.of('a'), load.of('b'), load.of(undefined)].map(rounded)
  load.add('a', [10, 12])
  load.add('b', [10])
  load.add(undefined, [10])
  t.strictSame(all(), [371, 265, 53, 0])
  averages.learn([10], 63)
  t.strictSame(all(), [378, 270, 54, 0])
  load.remove('a', [12])
  load.remove(undefined, [10])
  t.strictSame(all(), [108, 54, 54, 0])
  load.remove('a', [10])
  load.remove('b', [10])
  t.strictSame(all(), [0, 0, 0, 0])
})

t.test('which hashes a job makes', async (t) => {
  const bits = (length: number) => 'a'.repeat(length)
  const current = (cost: number) => `$bcrypt-sha256$v=2,t=2b,r=${cost}$${bits(22)}$${bits(31)}`
  const cases: [stored: string | null, costs: number[]][] = [
    [null, [12]],
    ['', [12]],
    ['no hash', [12]],
    [current(12), [12]],
    [current(10), [10, 12]],
    [`$2y$12$${bits(53)}`, [12, 12]],
    [`$2b$09$${bits(53)}`, [9, 12]],
    [`$2b$19$${bits(53)}`, [12]],
  ]
  for (const [stored, costs] of cases)
    t.strictSame(costsOf({ kind: 'check', password: 'x', stored }, 12), costs, String(stored))
  t.strictSame(costsOf({ kind: 'hash', password: 'x' }, 12), [12])
})
