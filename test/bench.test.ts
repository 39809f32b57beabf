/** `npm run bench`: what it reckons and draws, its command line, and one scenario for a second. How fast is not judged here. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { expectStatuses } from '../bench/answers.ts'
import { capacityTable, measuredBy, needsOf } from '../bench/capacity.ts'
import { comparison, growth } from '../bench/chart.ts'
import { readOptions, UsageError } from '../bench/options.ts'
import { someOf } from '../bench/people.ts'
import { publish, withFigures } from '../bench/publish.ts'
import { figuresOf, linesOf, type Report, show, tableOf } from '../bench/report.ts'
import { latenciesOf, quantile, spreadOf } from '../bench/statistics.ts'
import { ROWS } from '../bench/targets.ts'
import { node } from './process.ts'

const SCENARIOS = ['verify', 'me'].map((name) => ({ name, about: name, estimate: () => 1, run: async () => {} }))

t.test('medians and percentiles', async (t) => {
  t.strictSame(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3, values: [3, 1, 2] })
  t.equal(spreadOf([4, 1, 2, 3]).median, 2.5)
  t.equal(quantile([], 0.5), 0)
  t.equal(quantile([7], 0.99), 7)
  const hundred = Array.from({ length: 101 }, (_, index) => 100 - index)
  t.strictSame(latenciesOf(hundred), { count: 101, p50: 50, p99: 99, max: 100 })
  t.strictSame(latenciesOf([]), { count: 0, p50: 0, p99: 0, max: 0 })
})

t.test('people at random are different ones, and within bounds', async (t) => {
  const some = someOf(1000, 500)
  t.equal(new Set(some).size, 500)
  t.ok(some.every((number) => number >= 1 && number <= 1000))
  t.strictSame(someOf(3, 5), [1, 2, 3])
})

/** A report with these values, each of one round. */
const reportOf = (values: Record<string, number>): Report => ({
  about: { latchkey: '1', cores: 2, processor: 'a < b', rounds: 1, seconds: 1, node: '24' },
  figures: figuresOf(new Map(Object.entries(values).map(([name, value]) => [name, [value]]))),
})

t.test('the table has medians, ratios and whether a target was reached', async (t) => {
  const { figures } = reportOf({
    'verify/sqlite/rate': 9000,
    'verify/fastify/rate': 10_000,
    'verify/express/rate': 1000,
    'login/sqlite/rate': 35,
    'login/hashes/rate': 36,
    'storm/sqlite/probe/p99': 5.1,
    'storm/sqlite/calm/p99': 1,
    'me/sqlite/rate': 1,
  })
  const reached = linesOf(figures).map((line) => [line.label, line.ratio, line.reached])
  t.strictSame(reached, [
    ['GET /auth/verify', '0.90 of bare Fastify (10,000)', true],
    ['GET /auth/verify', '9.00 of Express (1,000)', false],
    ['Logins, SQLite', '0.97 of hashes alone (36.0)', true],
    ['GET while 64 clients log in, SQLite: p99', '', false],
    ['GET without them, SQLite: p99', '', undefined],
  ])
  const table = tableOf(linesOf(figures)).split('\n')
  t.match(
    table[2],
    /^\| GET \/auth\/verify +\| 9,000 a second +\| 0\.90 of bare Fastify \(10,000\) +\| at least 0\.85 +\| ✓ +\|$/,
  )
  t.match(table[5], /\| 5\.10 ms +\| +\| at most 5 ms +\| ✗ missed \|$/)
  t.equal(new Set(table.map((line) => [...line].length)).size, 1, 'its columns are straight')
  t.strictSame([0.123, 12.34, 1234.5].map(show), ['0.12', '12.3', '1,235'])
  const stalled = linesOf(reportOf({ 'verify/sqlite/rate': 9000, 'verify/fastify/rate': 0 }).figures)
  t.match(stalled, [{ ratio: '? of bare Fastify (0.00)', reached: false }], 'over nothing there is no ratio')
  t.equal(new Set(ROWS.map((row) => `${row.figure} ${row.over?.figure}`)).size, ROWS.length, 'no row stands twice')
})

t.test('the charts show what there is', async (t) => {
  const report = reportOf({
    'verify/sqlite/rate': 9000,
    'verify/fastify/rate': 10_000,
    'sizes/sqlite/1000/login/rate': 35,
    'sizes/sqlite/100000/login/rate': 34,
  })
  const bars = comparison(report)
  t.match(bars, /^<svg [^>]*viewBox/)
  t.match(bars, 'a &lt; b', 'text is escaped')
  const widths = [...bars.matchAll(/<rect class="(own|other)" [^>]*width="([\d.]+)"/g)].map(([, , width]) =>
    Number(width),
  )
  t.equal(widths.length, 2)
  t.equal((widths[0]! / widths[1]!).toFixed(2), '0.90', 'bars are as long as their values')
  t.notMatch(bars, 'Logins', 'no panel without bars')
  const lines = growth(report)
  t.equal(lines.match(/<polyline/g)?.length, 1)
  t.equal(lines.match(/<circle/g)?.length, 2)
  const nothing = comparison(reportOf({ 'verify/sqlite/rate': 0 }))
  for (const drawing of [bars, nothing, lines, growth(reportOf({}))]) t.notMatch(drawing, /NaN|Infinity|undefined/)
})

t.test('what so many people need', async (t) => {
  const figures = {
    'login/mariadb/rate': 20,
    'sizes/mariadb/1000/megabytes': 9,
    'sizes/mariadb/1000000/megabytes': 800,
    'sizes/sqlite/10000000/megabytes': 7000,
  }
  const measured = measuredBy(reportOf(figures))!
  t.strictSame(measured, { loginsACore: 10, bytesAPerson: 800 }, 'by the largest that was measured')
  const demand = { people: 1_000_000, logins: 360_000, peak: 0.2 }
  t.strictSame(needsOf(demand, measured), {
    rate: 20,
    cores: { 10: 3, 12: 12 },
    instances: 6,
    hours: 1200,
    gigabytes: 0.8,
  })
  t.match(needsOf({ people: 1, logins: 1, peak: 1 }, measured), { cores: { 10: 1, 12: 1 }, instances: 2 })
  t.match(
    capacityTable(reportOf(figures)),
    /^\| 1,000,000 +\| 200,000 +\| 11\.1 +\| 2 +\| 7 +\| 4 +\| 667 +\| 0\.8 +\|$/m,
  )
  for (const name of ['login/mariadb/rate', 'sizes/mariadb/1000/megabytes'])
    t.equal(capacityTable(reportOf({ [name]: 1 })), undefined, 'not without the other')
})

t.test('figures stand on the page between its marks', async (t) => {
  const report = reportOf({ 'verify/sqlite/rate': 9, 'verify/fastify/rate': 10 })
  const page = withFigures('a\n<!-- figures -->\nold\n<!-- /figures -->\nb\n', report)
  t.match(page, /^a\n<!-- figures -->\n\nLatchkey 1, .*\| GET \/auth\/verify .*\n\n<!-- \/figures -->\nb\n$/s)
  t.notMatch(page, 'old')
  t.equal(withFigures(page, report), page)
  t.throws(() => withFigures('a', report), /no <!-- figures -->/)

  const docs = mkdtempSync(join(tmpdir(), 'latchkey-docs-'))
  t.teardown(() => rmSync(docs, { recursive: true }))
  for (const name of ['performance.md', 'capacity.md'])
    writeFileSync(join(docs, name), `${name}\n<!-- figures -->\nold\n<!-- /figures -->\n`)
  const read = (name: string) => readFileSync(join(docs, name), 'utf8')
  publish(report, docs)
  t.match(read('performance.md'), 'Latchkey 1, ')
  t.strictSame(JSON.parse(read('performance.json')), report)
  for (const name of ['performance.svg', 'performance-sizes.svg']) t.match(read(name), /^<svg/)
  t.match(read('capacity.md'), 'old', 'it cannot be reckoned from this run')
  publish(reportOf({ 'login/mariadb/rate': 20, 'sizes/mariadb/1000/megabytes': 1 }), docs)
  t.match(read('capacity.md'), /^capacity\.md\n<!-- figures -->\n\nReckoned from .*\n\n<!-- \/figures -->\n$/s)
})

t.test('the command line', async (t) => {
  const read = (...args: string[]) => readOptions(args, SCENARIOS)
  t.match(read(), { seconds: 4, rounds: 3, publish: false, help: false, scenarios: { length: 2 } })
  t.match(read('me', '--duration', '7', '--rounds=1'), { seconds: 7, rounds: 1, scenarios: [{ name: 'me' }] })
  const faults: [args: string[], message: RegExp][] = [
    [['nope'], /^There is no scenario nope\. There are verify, me\.$/],
    [['--duration', '0'], /^--duration is 0; it must be a whole number from 1 to 600\.$/],
    [['--rounds', 'x'], /^--rounds is x; /],
    [['--people', '10'], /^--people is 10; /],
    [['--nope'], /^Unknown option '--nope'\.$/],
    [['me', '--publish'], /name none\.$/],
  ]
  for (const [args, message] of faults) t.throws(() => read(...args), message && { message, constructor: UsageError })
})

t.test('an answer that nobody expects ends a run', async (t) => {
  const answers = { 200: latenciesOf([1]), 503: latenciesOf([1, 2]) }
  expectStatuses('x', { seconds: 1, answers }, [200, 503])
  t.throws(() => expectStatuses('x', { seconds: 1, answers }, [200]), /^x: expected 200, got also 2 × 503\.$/)
})

t.test('one scenario', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-results-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const output = join(folder, 'results.json')
  const bench = node(t, ['dist/bench/run.js', 'verify', '--duration=1', '--rounds=1', `--output=${output}`])
  t.equal(await bench.ended, 0, bench.stderr())
  t.match(bench.stdout(), /^ 0:\d\d left {2}verify: round 1 of 1: express$/m, 'progress, and how long is left')
  t.match(bench.stdout(), /^\| GET \/auth\/verify .* of bare Fastify .* at least 0\.85 /m, 'the table')
  const { about, figures } = JSON.parse(readFileSync(output, 'utf8'))
  t.match(about, { node: process.versions.node, seconds: 1, rounds: 1 })
  for (const service of ['sqlite', 'fastify', 'express'])
    for (const what of ['rate', 'p50', 'p99', 'slowest'])
      t.ok(figures[`verify/${service}/${what}`].median > 0, `${service} ${what}`)

  const help = node(t, ['dist/bench/run.js', '--help'])
  t.equal(await help.ended, 0)
  t.match(help.stdout(), /verify .*\n {2}me /)
  t.match(help.stdout(), /takes about \d+ minutes, and for the while up to 23 GB of disk/)
  const small = node(t, ['dist/bench/run.js', 'sizes', '--people=1000', '--help'])
  t.equal(await small.ended, 0)
  t.match(small.stdout(), /up to 1 GB/, 'of what is asked for')
  const wrong = node(t, ['dist/bench/run.js', 'nope'])
  t.equal(await wrong.ended, 1)
  t.match(wrong.stderr(), /^There is no scenario nope\. .* See --help\.$/m)
})
