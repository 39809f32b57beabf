/** The guard against guessing: 20 failed passwords a minute for one name from one address, and nobody else is held up. */
import t, { type Test } from 'tap'
import { limitsOf } from '../../plugins/limits.ts'
import { createEngine } from '../engines.ts'
import { PASSWORD, startApp, type TestApp } from '../helper.ts'

const start = (t: Test, settings = {}) => startApp(t, createEngine(t, 'sqlite'), settings)

interface Guess {
  username?: string
  email?: string
  password?: string
  ip?: string
  forwarded?: string
}

/** A login, wrong where no password is given. Gives its code, or `ok`. */
async function guess(app: TestApp, { ip = '192.0.2.1', forwarded, password = 'wrong', ...name }: Guess) {
  const answer = await app.server.inject({
    method: 'POST',
    url: '/user/login',
    remoteAddress: ip,
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    payload: { ...name, password },
  })
  return answer.statusCode === 200 ? 'ok' : `${answer.statusCode} ${answer.json().code}`
}

/** The codes of so many guesses, one after the other, taken in turn from a list; each with its count. */
async function guesses(app: TestApp, count: number, ...list: Guess[]) {
  const codes: string[] = []
  for (let i = 0; i < count; i++) codes.push(await guess(app, list[i % list.length]!))
  return tally(codes)
}

function tally(codes: string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1
  return counts
}

/** Failures that cost no hash. The name is canonical. */
async function fail(app: TestApp, count: number, name: string, ip = '192.0.2.1') {
  const wrong = async (turn: () => Promise<void>) => {
    await turn()
    return { ok: false }
  }
  for (let i = 0; i < count; i++) await limitsOf(app.server).guess({ name, ip }, wrong)
}

const FAILED = '401 INVALID_CREDENTIALS'
const LIMITED = '429 RATE_LIMITED'

t.test('of 100,000 names those that failed last are remembered', async (t) => {
  const app = await start(t)
  await fail(app, 10, 'ann')
  await fail(app, 20, 'bob')
  await fail(app, 10, 'ann')
  for (let i = 2; i < 100_000; i++) await fail(app, 1, `name ${i}`)
  t.equal(await guess(app, { username: 'bob' }), LIMITED, 'all are remembered')
  await fail(app, 1, 'one more')
  t.equal(await guess(app, { username: 'ann' }), LIMITED, 'she failed later, though first too')
  t.equal(await guess(app, { username: 'bob' }), FAILED, 'his failures made room')
})

t.test(
  '20 failures, then 429: the same for a name that is there, one that is not, and one that cannot be',
  async (t) => {
    const app = await start(t)
    await app.register('ann')
    await fail(app, 19, 'not an address')
    t.strictSame(await guesses(app, 2, { email: 'Not an address' }), { [FAILED]: 1, [LIMITED]: 1 })
    const names: Guess[] = [{ username: 'ann' }, { username: 'nobody' }]
    for (const name of names) {
      t.strictSame(await guesses(app, 22, name), { [FAILED]: 20, [LIMITED]: 2 }, JSON.stringify(name))
    }
    t.equal(await guess(app, { username: 'ann', password: PASSWORD }), LIMITED, 'the right password is not told apart')
    t.equal(await guess(app, { username: 'ann', password: PASSWORD, ip: '192.0.2.2' }), 'ok', 'from another address')
    t.equal(await guess(app, { username: 'bob' }), FAILED, 'another name')
    t.equal(
      await guess(app, { email: 'ann@example.com', password: PASSWORD }),
      'ok',
      'her e-mail address is another name',
    )
  },
)

t.test('all spellings of a name count together', async (t) => {
  const app = await start(t)
  const cases: [canonical: string, spellings: Guess[]][] = [
    ['ann@example.com', [{ email: 'ann@example.com' }, { email: 'ANN@example.com' }, { email: 'Ann@EXAMPLE.Com' }]],
    ['ann', [{ username: 'ann' }, { username: 'ANN' }, { username: 'ａｎｎ' }]],
    ['x@xn--mnchen-3ya.de', [{ email: 'x@münchen.de' }, { email: 'x@xn--mnchen-3ya.de' }, { email: 'X@MÜNCHEN.de' }]],
    ['no address', [{ email: 'No Address' }, { email: 'no address' }]],
  ]
  for (const [name, spellings] of cases) {
    await fail(app, 20 - spellings.length, name)
    t.strictSame(await guesses(app, spellings.length, ...spellings), { [FAILED]: spellings.length }, name)
    for (const spelling of spellings) t.equal(await guess(app, spelling), LIMITED, JSON.stringify(spelling))
  }
})

t.test('addresses: IPv6 by /64, IPv4 in whatever form', async (t) => {
  const app = await start(t)
  const cases: [same: string[], other: string][] = [
    [['2001:db8:0:1::1', '2001:db8:0:1:ffff::', '2001:DB8:0:1:0:0:0:9', '2001:0db8:0000:0001::1'], '2001:db8:0:2::1'],
    [['2001:db8::1', '2001:db8::', '2001:db8:0:0:1::'], '2001:db8:1::1'],
    [['::1', '::2', '0:0:0:0:1::'], '1::1'],
    [['fe80::1', 'fe80::2%eth0'], 'fe80:0:0:1::1'],
    [['198.51.100.1', '::ffff:198.51.100.1', '::FFFF:198.51.100.1'], '198.51.100.2'],
  ]
  for (const [same, other] of cases) {
    for (const [i, first] of same.entries()) {
      const username = `${i} of ${other}`
      await fail(app, 20, username, first)
      for (const ip of same) t.equal(await guess(app, { username, ip }), LIMITED, `${first} and ${ip}`)
      if (i === 0) t.equal(await guess(app, { username, ip: other }), FAILED, `${first} and ${other}`)
    }
  }
})

t.test('the minute of the first failure passes, and Retry-After says when', async (t) => {
  const app = await start(t)
  const ask = () => app.anon.post('/user/login', { username: 'nobody', password: 'x' })
  const limited = async (retryAfter: string) =>
    t.match(await ask(), { status: 429, headers: { 'retry-after': new RegExp(`^${retryAfter}$`) } }, retryAfter)
  const ip = '127.0.0.1'
  t.equal((await ask()).status, 401)
  await app.advance(30)
  await fail(app, 19, 'nobody', ip)
  await limited('30')
  await app.advance(0.5)
  await limited('30')
  await app.advance(29)
  await limited('1')
  await app.advance(0.499)
  await limited('1')
  await app.advance(0.001)
  t.equal((await ask()).status, 401, 'a minute after the first')
  await limited('30')
  await app.advance(30)
  await fail(app, 18, 'nobody', ip)
  t.equal((await ask()).status, 401, 'a minute after the other 19')
  await limited('30')
})

t.test('who knows the password is not held up', async (t) => {
  const app = await start(t)
  await app.register('ann')
  const right = { username: 'ann', password: PASSWORD }
  const parallel = (count: number, one: Guess) => Promise.all(Array.from({ length: count }, () => guess(app, one)))
  t.strictSame(tally(await parallel(30, right)), { ok: 30 }, '30 at once')
  await fail(app, 19, 'ann')
  t.strictSame(tally(await parallel(5, right)), { ok: 5 }, 'after 19 failures too')
  t.equal(await guess(app, { username: 'ann' }), FAILED, 'successes neither count')
  t.equal(await guess(app, { username: 'ann' }), LIMITED, 'nor give another 20')
})

t.test('40 wrong ones at once: 20 are judged', async (t) => {
  const app = await start(t)
  await app.register('ann')
  for (const username of ['ann', 'nobody']) {
    const codes = await Promise.all(Array.from({ length: 40 }, () => guess(app, { username })))
    t.strictSame(tally(codes), { [FAILED]: 20, [LIMITED]: 20 }, username)
  }
})

t.test('what is refused for load is no failure', async (t) => {
  const app = await start(t, { HASH_CONCURRENCY: '1', HASH_MAX_WAIT_MS: '1' })
  const codes = tally(await Promise.all(Array.from({ length: 30 }, () => guess(app, { username: 'nobody' }))))
  t.strictSame(codes, { [FAILED]: 1, '503 OVERLOADED': 29 })
  await fail(app, 19, 'nobody')
  t.equal(await guess(app, { username: 'nobody' }), LIMITED)
})

t.test('the present password, asked for again, counts too', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  const wrong = [
    () => ann.put('/user/password', { current_password: 'wrong', new_password: 'another good phrase' }),
    () => ann.post('/user/delete', { password: 'wrong' }),
    () => app.anon.post('/user/login', { email: 'Ann@Example.com', password: 'wrong' }),
  ]
  await fail(app, 17, 'ann@example.com', '127.0.0.1')
  const codes: string[] = []
  for (const ask of wrong) codes.push((await ask()).body.code)
  t.strictSame(codes, ['WRONG_PASSWORD', 'WRONG_PASSWORD', 'INVALID_CREDENTIALS'])
  for (const ask of wrong) t.match(await ask(), { status: 429, body: { code: 'RATE_LIMITED' } })
  t.equal((await ann.post('/user/delete', { password: PASSWORD })).status, 429, 'the right one too')
  t.equal((await ann.get('/user/sessions')).status, 200, 'her session goes on')
  await app.advance(60)
  t.equal((await ann.post('/user/delete', { password: PASSWORD })).status, 204)
})

t.test('a disabled account counts like one that is not there', async (t) => {
  const app = await start(t)
  const ann = await app.register('ann')
  await app.sql('UPDATE users SET disabled_at = ? WHERE id = ?', [app.clock.time, ann.tokens.user.id])
  await fail(app, 19, 'ann')
  t.equal(await guess(app, { username: 'ann', password: PASSWORD }), FAILED)
  t.equal(await guess(app, { username: 'ann', password: PASSWORD }), LIMITED)
})

t.test('what cannot be read is no guess', async (t) => {
  const app = await start(t)
  for (let i = 0; i < 25; i++) await app.anon.post('/user/login', { username: 'ann', password: '' })
  t.equal((await app.anon.post('/user/login', { username: 'ann', password: 'x' })).status, 401)
})

t.test('no header gives a stranger another 20', async (t) => {
  const app = await start(t, { TRUSTED_PROXIES: '10.0.0.0/8' })
  const proxy = '10.0.0.1'
  for (const ip of [proxy, '192.0.2.7']) await fail(app, 20, 'ann', ip)
  for (const forwarded of [
    'garbage',
    'more garbage',
    '192.0.2.300',
    '203.0.113.1, x',
    'unknown',
    '_hidden',
    '203.0.113.1:80',
  ])
    t.equal(await guess(app, { username: 'ann', forwarded, ip: proxy }), LIMITED, `from a proxy: ${forwarded}`)
  for (const before of ['203.0.113.1', '203.0.113.2', '10.0.0.2', 'garbage']) {
    const forwarded = `${before}, 192.0.2.7`
    t.equal(
      await guess(app, { username: 'ann', forwarded, ip: proxy }),
      LIMITED,
      `what came before the proxy: ${before}`,
    )
    t.equal(
      await guess(app, { username: 'ann', forwarded: before, ip: '192.0.2.7' }),
      LIMITED,
      `not by way of it: ${before}`,
    )
  }
  t.equal(
    await guess(app, { username: 'ann', forwarded: '192.0.2.8', ip: proxy }),
    FAILED,
    'another client of the proxy',
  )
})
