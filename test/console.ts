// Runs the ```console blocks of a page as a reader does, in bash, and compares what they print with what the page shows.

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Test } from 'tap'
import type { Block } from './pages.ts'
import { start } from './process.ts'

export interface Step {
  command: string
  /** What the page shows as its output. */
  shown: string
  line: number
}

/** `$ command` lines, each with its output. A command goes on after a `\` at its end, and on lines that begin with `> `. */
export function stepsOf({ text, line }: Block): Step[] {
  const steps: Step[] = []
  let open = false
  text.split('\n').forEach((content, index) => {
    const last = steps.at(-1)
    if (content.startsWith('$ ')) {
      steps.push({ command: content.slice(2), shown: '', line: line + 1 + index })
      open = true
    } else if (last && open && (last.command.endsWith('\\') || content.startsWith('> '))) {
      last.command += `\n${content.replace(/^> /, '')}`
    } else if (last) {
      last.shown += `${content}\n`
      open = false
    } else throw new Error(`Line ${line}: a console block begins with a \`$ command\` line.`)
  })
  return steps.map((step) => ({ ...step, shown: step.shown.trimEnd() }))
}

/** What a page shows, and the pattern of what may stand there in truth. Where two fit, the first counts. */
const MAY_DIFFER: [shown: RegExp, real: string][] = [
  // A line of `…` alone: any lines, or none.
  [/\n *…(?=\n|$)/, '(?:\\n[^]*)?'],
  // A long line that the page has broken: it goes on indented.
  [/\n +/, '\\s*'],
  // Access tokens, refresh tokens, ids, times, digests and keys, durations.
  ...[
    /eyJ[\w-]+(?:\.[\w-]+)*/,
    /lkr_[\w-]+/,
    /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/,
    /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/,
    /\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/,
    /\b[0-9a-f]{32,}\b/,
    /(?<![\w-])[\w-]{43}(?![\w-])/,
    /\d+(?:\.\d+)? ms\b/,
    /(?<=[Rr]etry-[Aa]fter: )\d+/,
  ].map((kind): [RegExp, string] => [kind, kind.source]),
  // A word that is cut short, or the rest of a line.
  [/[\w-]*…/, '.+?'],
]
const DIFFERING = new RegExp(MAY_DIFFER.map(([{ source }]) => `(${source})`).join('|'), 'g')

/** Whether this output is what the page shows. */
export function isAsShown(shown: string, real: string): boolean {
  const text = `\n${shown}`
  let pattern = ''
  let end = 0
  for (const { 0: part, index, ...kinds } of text.matchAll(DIFFERING)) {
    const kind = MAY_DIFFER.findIndex((_, number) => kinds[number + 1] !== undefined)
    pattern += literal(text.slice(end, index)) + MAY_DIFFER[kind]![1]
    end = index + part.length
  }
  return new RegExp(`^${pattern}${literal(text.slice(end))}$`).test(`\n${real}`)
}

const literal = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

export interface Outcome {
  output: string
  code: number
}

/**
 * A bash with these variables alone, which runs one command after the other, each with what the ones before have set. Both
 * outputs of a command are one, as on a terminal.
 */
export function openShell(t: Test, cwd: string, env: Record<string, string>): (command: string) => Promise<Outcome> {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const bash = ['env', '-i', ...variables, 'bash', '--noprofile', '--norc']
  const { child, stdout, ended } = start(t, bash, {}, { cwd, group: true })
  let over = false
  void ended.then(() => {
    over = true
  })
  child.stdin!.write('exec 2>&1\n')
  return async (command) => {
    const mark = `end-${randomUUID()}`
    const before = stdout().length
    child.stdin!.write(`{\n${command}\n} </dev/null\n_code=$?; printf '\\n${mark} %s\\n' "$_code"; (exit "$_code")\n`)
    const whole = new RegExp(`^([^]*)\n${mark} (\\d+)\n`)
    for (;;) {
      const [found, output = '', code] = whole.exec(stdout().slice(before)) ?? []
      if (found) return { output: plain(output), code: Number(code) }
      if (over) throw new Error(`The shell ended:\n${stdout().slice(before)}`)
      await Promise.race([once(child.stdout!, 'data'), ended])
    }
  }
}

/** Without colours and spaces at the ends of lines. */
function plain(text: string): string {
  return text
    .replace(/\x1b\[[\d;]*m/g, '')
    .replace(/[ \t\r]+$/gm, '')
    .trimEnd()
}
