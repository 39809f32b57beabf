/** How fast refusals may leave, by itself; that they are held is in admission.test.ts. */
import t from 'tap'
import { createBrake } from '../../../plugins/passwords/brake.ts'

/** Two threads at cost 10, on a machine that hashes in 60 ms: a refusal each 2 ms. */
const HASH_MS = 30

t.test('ten times more than can be hashed is never held', async (t) => {
  const brake = createBrake()
  const held = Array.from({ length: 10_000 }, (_, index) => brake((index * HASH_MS) / 10, HASH_MS))
  t.equal(Math.max(...held), 0)
})

t.test('one by one none is held, however long a hash takes', async (t) => {
  const brake = createBrake()
  const held = Array.from({ length: 100 }, (_, index) => brake(index * 1700, 1700))
  t.equal(Math.max(...held), 0)
})

t.test('a crowd leaves at once, and who comes after it by and by', async (t) => {
  const brake = createBrake()
  const held = Array.from({ length: 200 }, () => brake(1000, HASH_MS))
  t.strictSame(held.slice(0, 25), Array(25).fill(0))
  t.strictSame(
    held.slice(25, 125),
    Array.from({ length: 100 }, (_, index) => 2 * (index + 1)),
  )
  t.strictSame(held.slice(125), Array(75).fill(200), 'never for longer')
  t.equal(brake(1100, HASH_MS), 102, 'while they wait, who comes is behind them')
  t.equal(brake(2000, HASH_MS), 0, 'and when they are gone, all is as before')
})
