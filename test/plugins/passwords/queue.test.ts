/** The queue in front of the hash threads, the threads, and the room around both. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import Fastify from 'fastify'
import t from 'tap'
import type { Parts } from '../../../parts.ts'
import plugin, { createPasswords, passwordsOf } from '../../../plugins/passwords/index.ts'
import { createQueue, type Turn } from '../../../plugins/passwords/queue.ts'

const HASH = { kind: 'hash', password: 'correct horse' } as const
const NO_LIMIT = 600_000
/** In form alone: nothing is compared with it. */
const PLAIN_12 = `$2b$12$${'a'.repeat(53)}`

/** A turn that waits until the test lets it pass, or throws in it. */
function gate() {
  let open!: () => void
  let refuse!: (reason: Error) => void
  const passed = new Promise<void>((resolve, reject) => {
    open = resolve
    refuse = reject
  })
  let reached!: () => void
  const entered = new Promise<void>((resolve) => {
    reached = resolve
  })
  const turn: Turn = () => {
    reached()
    return passed
  }
  return { turn, entered, open, refuse }
}

/** The threads that are started during a test, as Node itself tells of them. */
function watchThreads(t: { teardown: (fn: () => void) => void }): Worker[] {
  const threads: Worker[] = []
  const note = (worker: Worker) => threads.push(worker)
  process.on('worker', note)
  t.teardown(() => process.off('worker', note))
  return threads
}

/** A thread that is gone has the id -1. */
const living = (threads: Worker[]) => threads.filter(({ threadId }) => threadId !== -1).length

t.test('hashes and checks on a thread', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: NO_LIMIT, cost: 4 })
  const stored = await queue.run(HASH)
  t.match(stored, /^\$bcrypt-sha256\$v=2,t=2b,r=4\$/)
  t.strictSame(await queue.run({ ...HASH, kind: 'check', stored }), { ok: true })
  t.strictSame(await queue.run({ ...HASH, kind: 'check', stored: null }), { ok: false })
  await queue.close()
})

t.test('a job is refused at once where those ahead take longer than the limit', async (t) => {
  // At cost 10 the first guess is 53 ms: with 20 ahead of two workers 530 ms, with 21 it is 556.5.
  const queue = createQueue({ workers: 2, maxWaitMs: 530, cost: 10, clock: () => 0 })
  const held = gate()
  const admitted = Array.from({ length: 21 }, () => queue.run(HASH, held.turn))
  const refused = queue.run(HASH, async () => void t.fail('a refused job has no turn'))
  await t.rejects(refused, { code: 'OVERLOADED', statusCode: 503, particulars: { retryAfter: 1 } })
  held.open()
  t.equal((await Promise.all(admitted)).length, 21)
  t.ok(await queue.run(HASH), 'and room again')
  await queue.close()
})

t.test('Retry-After is the expected wait in seconds, rounded up', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: 1000, cost: 14, clock: () => 0 })
  const held = gate()
  const admitted = [queue.run(HASH, held.turn), queue.run(HASH, held.turn)]
  await t.rejects(queue.run(HASH), { code: 'OVERLOADED', particulars: { retryAfter: 2 } }, '2 × 848 ms')
  held.refuse(new Error('not needed'))
  await Promise.allSettled(admitted)
  await queue.close()
})

t.test('the expected wait follows what hashes really take', async (t) => {
  let now = 0
  // Each hash seems to take 1,000 ms: the average rises from 53 ms to 53 + 947 / 10 = 147.7.
  const clock = () => {
    now += 1000
    return now
  }
  const queue = createQueue({ workers: 1, maxWaitMs: 147, cost: 10, clock })
  const before = gate()
  const first = [queue.run(HASH, before.turn), queue.run(HASH, () => Promise.reject(new Error('no hash')))]
  before.open()
  await Promise.allSettled(first)
  const after = gate()
  const second = queue.run(HASH, after.turn)
  await t.rejects(queue.run(HASH), { code: 'OVERLOADED' }, 'one ahead is too many now')
  after.open()
  await second
  await queue.close()
})

t.test('first come, first served, never on more threads than there are workers', async (t) => {
  const threads = watchThreads(t)
  const queue = createQueue({ workers: 2, maxWaitMs: NO_LIMIT, cost: 4 })
  t.equal(threads.length, 0, 'no thread before the first job')
  await queue.run(HASH)
  await queue.run(HASH)
  t.equal(threads.length, 1, 'one is enough for one job after another')

  const order: number[] = []
  const numbers = Array.from({ length: 12 }, (_, index) => index)
  await Promise.all(numbers.map((number) => queue.run(HASH, async () => void order.push(number))))
  t.strictSame(order, numbers)
  t.equal(threads.length, 2)
  await queue.close()
})

t.test('a job holds its place from before its turn until its hash is done', async (t) => {
  const order: string[] = []
  // The clock is read when a place is taken and when its hash is done.
  const queue = createQueue({ workers: 1, maxWaitMs: NO_LIMIT, cost: 4, clock: () => order.push('clock') })
  const held = gate()
  const first = queue.run(HASH, () => held.turn().then(() => void order.push('first')))
  const second = queue.run(HASH, async () => void order.push('second'))
  await held.entered
  held.open()
  await Promise.all([first, second])
  t.strictSame(order, ['clock', 'first', 'clock', 'clock', 'second', 'clock'])
  await queue.close()
})

t.test('a turn that throws costs no hash, and the place goes on', async (t) => {
  const threads = watchThreads(t)
  const queue = createQueue({ workers: 1, maxWaitMs: NO_LIMIT, cost: 4 })
  const held = gate()
  const taken = new Error('taken in the meantime')
  const first = queue.run(HASH, held.turn)
  const next = gate()
  const second = queue.run(HASH, next.turn)
  held.refuse(taken)
  await t.rejects(first, taken)
  await next.entered
  t.equal(threads.length, 0, 'not even a thread')
  next.open()
  t.ok(await second)
  await queue.close()
})

t.test('a thread that dies costs its own job alone', async (t) => {
  const threads = watchThreads(t)
  const queue = createQueue({ workers: 1, maxWaitMs: NO_LIMIT, cost: 4 })
  const deadly = queue.run({ kind: 'hash', password: 5 as never })
  const next = queue.run(HASH)
  await t.rejects(deadly, { code: 'OVERLOADED', cause: { name: 'TypeError' } })
  t.match(await next, /^\$bcrypt-sha256\$/)
  t.equal(threads.length, 2)
  t.equal(living(threads), 1)

  await t.rejects(queue.run({ kind: 'hash', password: (() => 5) as never }), { name: 'DataCloneError' })
  t.ok(await queue.run(HASH), 'what could not be sent kills nothing')
  t.equal(threads.length, 2)

  await threads[1]!.terminate()
  t.ok(await queue.run(HASH), 'an idle thread that dies is replaced')
  t.equal(threads.length, 3)
  await queue.close()
  t.equal(living(threads), 0)
})

/** By which the system's scheduler puts off each thread of this process: proc_pid_stat(5), field 19. */
const niceOfThreads = () =>
  readdirSync('/proc/self/task').map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  })

t.test(
  'what hashes has the lowest priority, and nothing else has',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const before = niceOfThreads()
    const queue = createQueue({ workers: 2, maxWaitMs: NO_LIMIT, cost: 4 })
    await Promise.all([queue.run(HASH), queue.run(HASH)])
    const lowest = niceOfThreads().filter((nice) => nice === 19)
    t.equal(lowest.length, before.filter((nice) => nice === 19).length + 2)
    t.equal(niceOfThreads()[0], before[0], 'the first is the main thread')
    await queue.close()
  },
)

/** By which each hash takes what is guessed at cost 10. */
function steadyClock() {
  let now = 0
  return () => {
    now += 53
    return now
  }
}

t.test('a place counts from when it is taken, for all its hashes, until they are done or it is left', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: 100, cost: 10, clock: steadyClock() })
  const refused = { code: 'OVERLOADED' }
  const [two, one, late] = [queue.place('a', 2), queue.place('b', 1), queue.place('c', 1)]
  two.take()
  two.take()
  t.throws(() => one.take(), refused, '2 × 53 ms')
  await two.run(HASH, async () => void t.throws(() => one.take(), refused, 'a hash that runs counts too'))
  t.doesNotThrow(() => one.take(), 'one of the two is done')
  t.throws(() => late.take(), refused)
  await t.rejects(late.run(HASH), refused)
  one.leave()
  one.leave()
  t.doesNotThrow(() => late.take())
  t.throws(() => one.take(), { code: 'BAD_REQUEST' }, 'it was left for good')
  two.leave()
  late.leave()
  t.doesNotThrow(() => queue.place('d', 1).take())
  await queue.close()
})

t.test('the order is that of admission, for a second hash too', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: NO_LIMIT, cost: 4 })
  const order: string[] = []
  const [first, second, third] = [queue.place('a', 2), queue.place('b', 1), queue.place('c', 1)]
  for (const place of [first, second, third]) place.take()
  const held = gate()
  const busy = first.run(HASH, held.turn)
  const note = (name: string) => async () => void order.push(name)
  const others = [third.run(HASH, note('third')), second.run(HASH, note('second'))]
  const again = busy.then(() => order.push('first'))
  held.open()
  await busy
  // The thread has gone on to the next by now.
  const more = first.run(HASH, note('first again'))
  const last = queue.run(HASH, note('last'))
  await Promise.all([...others, again, more, last])
  t.strictSame(order, ['first', 'second', 'first again', 'third', 'last'])
  await queue.close()
})

t.test('a place whose job does not come is given away, and the job is judged anew', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: 1, cost: 10, slackMs: 0 })
  const [slow, quick] = [queue.place('a', 1), queue.place('b', 1)]
  slow.take()
  const held = gate()
  const admitted = async () => {
    for (;;) {
      const hash = quick.run(HASH, held.turn)
      if (await Promise.race([hash.catch(() => false), held.entered.then(() => true)])) return hash
      await setImmediate()
    }
  }
  const running = admitted()
  await held.entered
  await t.rejects(slow.run(HASH), { code: 'OVERLOADED' })
  held.open()
  await running
  t.ok(await slow.run(HASH))
  await queue.close()
})

t.test('a job that waits longer than was expected is refused then', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: 60, cost: 10, slackMs: 0 })
  const held = gate()
  const busy = queue.run(HASH, held.turn)
  await t.rejects(queue.place('a').run(HASH), { code: 'OVERLOADED', particulars: { retryAfter: 1 } })
  held.open()
  t.ok(await busy, 'one that has its thread is not')
  t.ok(await queue.run(HASH), 'and its place is free')
  await queue.close()
})

t.test('a stored hash of another cost counts as what it costs', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: 200, cost: 10, clock: steadyClock() })
  const held = gate()
  const busy = queue.run({ ...HASH, kind: 'check', stored: PLAIN_12 }, held.turn)
  await t.rejects(queue.run(HASH), { code: 'OVERLOADED' }, '212 ms and 53')
  held.refuse(new Error('not needed'))
  await t.rejects(busy, { message: 'not needed' })
  const others = [queue.run(HASH), queue.run(HASH), queue.run(HASH)]
  t.equal((await Promise.all(others)).length, 3, '159 ms')
  await queue.close()
})

t.test('who leaves while its hash runs is finished, and nobody else loses anything', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: 60, cost: 10, clock: steadyClock() })
  const place = queue.place('a', 2)
  const held = gate()
  const running = place.run(HASH, held.turn)
  await held.entered
  place.leave()
  const next = queue.run(HASH)
  await t.rejects(queue.run(HASH), { code: 'OVERLOADED' }, 'the one that runs counts, the other does not any more')
  held.open()
  t.ok(await running)
  await t.rejects(place.run(HASH), { code: 'BAD_REQUEST' })
  t.ok(await next)
  await queue.close()
})

t.test('close finishes what was admitted, admits nothing more, and ends the threads', async (t) => {
  const threads = watchThreads(t)
  const queue = createQueue({ workers: 2, maxWaitMs: NO_LIMIT, cost: 4 })
  const held = gate()
  const admitted = Array.from({ length: 5 }, () => queue.run(HASH, held.turn))
  const finished = Promise.all(admitted).then((hashes) => {
    t.equal(living(threads), 2)
    return hashes.length
  })
  const closed = queue.close()
  await t.rejects(queue.run(HASH), { code: 'UNAVAILABLE', statusCode: 503 })
  held.open()
  t.equal(await finished, 5)
  await closed
  t.equal(living(threads), 0)
  t.equal(queue.close(), closed, 'a second close is the first')
})

t.test('who was admitted before the end is served, unless the job comes when the threads are gone', async (t) => {
  const queue = createQueue({ workers: 1, maxWaitMs: NO_LIMIT, cost: 4 })
  const [busy, waiting, late] = [queue.place('a', 1), queue.place('b', 1), queue.place('c', 1)]
  for (const place of [busy, waiting, late]) place.take()
  const held = gate()
  const first = busy.run(HASH, held.turn)
  const closed = queue.close()
  const second = waiting.run(HASH)
  held.open()
  t.ok(await first)
  t.ok(await second)
  await closed
  await t.rejects(late.run(HASH), { code: 'UNAVAILABLE' })
  late.leave()
})

t.test('a queue that was never used closes', async (t) => {
  await t.resolves(createQueue({ workers: 3, maxWaitMs: 1, cost: 12 }).close())
})

t.test('a thread keeps the process alive while it hashes, and not longer', async (t) => {
  const url = new URL('../../../plugins/passwords/queue.js', import.meta.url)
  const script = `import { createQueue } from '${url}'
console.log(await createQueue({ workers: 1, maxWaitMs: 1, cost: 4 }).run({ kind: 'hash', password: 'correct horse' }))`
  const file = `${t.testdir({ 'once.mjs': script })}/once.mjs`
  t.match(execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 20_000 }), /^\$bcrypt-sha256\$/)
})

const config = { BCRYPT_COST: 5, HASH_CONCURRENCY: 2, HASH_MAX_WAIT_MS: 1 } as Parts['config']

t.test('the room takes cost, workers and limit from the settings', async (t) => {
  const passwords = createPasswords({ config })
  const held = gate()
  const admitted = [passwords.hash('correct horse', held.turn), passwords.hash('correct horse', held.turn)]
  await t.rejects(passwords.verify('correct horse', null), { code: 'OVERLOADED' }, '2 ahead ÷ 2 workers × 1.7 ms')
  held.open()
  const [stored] = await Promise.all(admitted)
  t.match(stored, /r=5\$/)
  t.strictSame(await passwords.verify('correct horse', stored!), { ok: true })
  t.strictSame(await passwords.verify('correct horse', null), { ok: false })
  const taken = new Error('taken in the meantime')
  const turn: Turn = () => Promise.reject(taken)
  await t.rejects(passwords.hash('correct horse', turn), taken)
  await t.rejects(passwords.verify('correct horse', stored!, turn), taken)
  t.equal(await passwords.isCommon('Password1', []), true)
  await passwords.close()
})

t.test('the plugin closes the queue with the app', async (t) => {
  const app = Fastify()
  await app.register(plugin, { config } as Parts)
  const passwords = passwordsOf(app)
  t.strictSame(await passwords.verify('correct horse', await passwords.hash('correct horse')), { ok: true })
  await app.close()
  await t.rejects(passwords.hash('correct horse'), { code: 'UNAVAILABLE' })
})
