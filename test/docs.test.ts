/**
 * The documents are true. What a writer has to know:
 *
 * - A link to a file or a heading, and a file named in `code`, as a path from the top of the repository, exist.
 * - A `console` block is run, all those of a page in order in one bash, in a clone in which Latchkey was started on a fresh
 *   database, with `<!-- service: NAME=value -->` on the page by these settings. `$ command` lines (going on after `\`, or
 *   on lines with `> `) are followed by what they print. Ids, tokens, times and durations may be others; a long line may be
 *   broken where the next one is indented; `…` stands for the rest of a word or line, alone in its line for any lines.
 *   A command exits with 0, or the next one is `echo $?`.
 * - Every other block to copy from says, in a comment before it, `<!-- run by: FILE, FILE -->`, `<!-- from: FILE -->` (it
 *   stands there word for word) or `<!-- not run: reason -->`. Only text, json and ts need none.
 * - README.md has at most 120 lines and leads, link by link, to every page.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { isAsShown, openShell, type Step, stepsOf } from './console.ts'
import { anchorsOf, type Block, exists, linksOf, namesOf, type Page, pagePaths, readPage } from './pages.ts'
import { listening, ROOT, start } from './process.ts'
import { skipWithout } from './programs.ts'

/** Languages of blocks that nobody copies into a shell, an editor or a server. */
const FREE = ['console', 'text', 'json', 'ts', '']
/** A part of a file may stand further to the left on the page. */
const flush = (text: string) => text.replace(/^ +/gm, '')
const SHELLS = ['bash', 'shell', 'zsh', 'shell-session', 'terminal']

for (const page of pagePaths().map((path) => readPage(path))) {
  t.test(page.path, async (t) => {
    for (const { file, heading } of linksOf(page)) {
      t.ok(exists(file), `the link to ${file}`)
      if (heading && exists(file)) t.ok(anchorsOf(readPage(file)).includes(heading), `the link to ${file}#${heading}`)
    }
    for (const name of namesOf(page)) t.ok(exists(name), `the file ${name}`)
    t.notMatch(page.prose, /^\s+```/m, 'a block begins at the start of its line')
    for (const block of page.blocks) holdBlock(t, page, block)
    const steps = page.blocks.filter(({ language }) => language === 'console').flatMap(stepsOf)
    if (steps.length > 0)
      await t.test('its commands', { skip: skipWithout('curl') }, (t) => runSteps(t, steps, settingsOf(page)))
  })
}

function holdBlock(t: Test, { path }: Page, { language, note, text, line }: Block): void {
  const where = `${path}:${line}`
  const [kind, rest = ''] = note.split(/: (.*)/s)
  t.notOk(SHELLS.includes(language), `${where}: commands stand in a console or sh block`)
  if (kind === 'from')
    t.ok(flush(readFileSync(join(ROOT, rest), 'utf8')).includes(flush(text)), `${where}: stands so in ${rest}`)
  else if (kind === 'run by') for (const file of rest.split(', ')) t.ok(exists(file), `${where}: is run by ${file}`)
  else if (kind !== 'not run')
    t.ok(FREE.includes(language), `${where}: a ${language} block says \`from\`, \`run by\` or \`not run\``)
}

/** `<!-- service: NAME=value … -->`: the settings with which the page tells its reader to start Latchkey. */
function settingsOf({ prose }: Page): Record<string, string> {
  const settings = /^<!-- service: (.*) -->$/m.exec(prose)?.[1] ?? ''
  return Object.fromEntries([...settings.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]))
}

/** Runs the commands of a page in a clone in which Latchkey was started. */
async function runSteps(t: Test, steps: Step[], settings: Record<string, string>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'latchkey-docs-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  const folder = cloneIn(home)
  const server = [process.execPath, join(ROOT, 'dist/server.js')]
  const { port } = await listening(start(t, server, { PORT: '0', ...settings }, { cwd: folder }))
  const run = openShell(t, folder, environment(home, port))
  for (const [index, { command, shown, line }] of steps.entries()) {
    await t.test(`line ${line}: ${command}`, async (t) => {
      // The pages name the port that Latchkey has by default; the one that was free is put in its place, and taken back.
      const outcome = await run(command.replace(/(127\.0\.0\.1|localhost):3000\b/g, `$1:${port}`))
      const output = outcome.output.replaceAll(`:${port}`, ':3000').replaceAll(folder, '~/latchkey')
      t.ok(isAsShown(shown, output), 'prints what the page shows', { shown, output })
      // A page that wants to show a failure shows its exit code next.
      if (steps[index + 1]?.command !== 'echo $?') t.equal(outcome.code, 0, 'exits with 0')
    })
  }
}

/** What a clone holds, without what came about by running it. */
function cloneIn(home: string): string {
  const folder = join(home, 'latchkey')
  mkdirSync(folder)
  const own = ['.git', '.tap', 'data']
  for (const name of readdirSync(ROOT)) if (!own.includes(name)) symlinkSync(join(ROOT, name), join(folder, name))
  return folder
}

/** The terminal of a person who has set nothing. */
function environment(home: string, port: number): Record<string, string> {
  // On a terminal curl shows no progress beside an answer; and what npm has to tell of itself is no part of a page.
  writeFileSync(join(home, '.curlrc'), 'no-progress-meter\n')
  writeFileSync(join(home, '.npmrc'), 'update-notifier=false\n')
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter)
  return { PATH: path, HOME: home, PORT: String(port), LANG: 'C.UTF-8', TERM: 'dumb' }
}

t.test('README.md', async (t) => {
  const readme = readPage('README.md')
  t.ok(readme.lines.length <= 120, 'has at most 120 lines')
  const linked = (page: Page) =>
    linksOf(page)
      .map(({ file }) => file)
      .filter((file) => file.endsWith('.md') && exists(file))
  const found = new Set(['README.md'])
  for (const path of found) for (const next of linked(readPage(path))) found.add(next)
  t.strictSame(
    pagePaths().filter((path) => !found.has(path)),
    [],
    'leads to every page',
  )
})

t.test('what a page shows and what is printed', async (t) => {
  const id = '01a20fc8-baa6-76cc-8b69-6497844ebced'
  const cases: [name: string, shown: string, real: string, same: boolean][] = [
    ['the same', '{"a":1}', '{"a":1}', true],
    ['another value', '{"a":1}', '{"a":2}', false],
    ['nothing for something', '', '{"a":2}', false],
    ['something for nothing', '{"a":2}', '', false],
    ['less', '{"a":1', '{"a":1}', false],
    ['a dot is a dot', 'a.b', 'axb', false],
    ['a broken line', '{"a":1,\n "b":2}', '{"a":1,"b":2}', true],
    ['a line broken at a space', 'one two\n three', 'one two three', true],
    ['a line that ends', 'one\ntwo', 'one two', false],
    ['another id', id, id.replaceAll('a', 'b'), true],
    ['no id', id, 'x', false],
    ['another token', '"eyJhbGciOi.eyJp.x_-y"', '"eyJhbGciOi.eyJz.y"', true],
    ['a token cut short', '"eyJhbGci…","b"', '"eyJhbGciOi.eyJz.y","b"', true],
    ['a token of the wrong kind', '"lkr_AXw…"', '"eyJhbGciOi.eyJz.y"', false],
    ['what follows a cut', '"eyJhbGci…","b"', '"eyJhbGciOi.eyJz.y","c"', false],
    ['another time', '2026-11-24T22:59:02.950Z', '2027-01-01T00:00:00.000Z', true],
    ['a time that is null', '"2026-11-24T22:59:02.950Z"', 'null', false],
    ['another duration', 'in 12 ms', 'in 3.5 ms', true],
    ['seconds to wait', 'retry-after: 60', 'retry-after: 59', true],
    ['any other number', '"expires_in":900', '"expires_in":899', false],
    ['lines left out', 'one\n…\nlast', 'one\ntwo\nthree\nlast', true],
    ['none left out', 'one\n…\nlast', 'one\nlast', true],
    ['another last line', 'one\n…\nlast', 'one\ntwo', false],
  ]
  for (const [name, shown, real, same] of cases) t.equal(isAsShown(shown, real), same, name)
})
