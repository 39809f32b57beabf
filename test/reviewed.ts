// Pages that are made from the code and committed, so that a change of either is seen in review.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

const ROOT = join(import.meta.dirname, '..', '..')

/** Compares with the committed file, or with UPDATE=1 writes it. */
export function holdAgainstFile(t: Test, name: string, text: string): void {
  const file = join(ROOT, name)
  if (process.env.UPDATE) writeFileSync(file, text)
  const message = `${name} is the page that was reviewed. If the change is meant, \`UPDATE=1 node dist/test/run.js reviewed surface caches\` writes it anew.`
  t.equal(text, readFileSync(file, 'utf8'), message)
}

/** The same for the part of a page that begins with `<!-- NAME -->` and ends with `<!-- /NAME -->`. */
export function holdAgainstPart(t: Test, name: string, part: string, text: string): void {
  const page = readFileSync(join(ROOT, name), 'utf8')
  const [start, end] = [`<!-- ${part} -->\n`, `<!-- /${part} -->\n`]
  const [before, rest = ''] = page.split(start)
  const after = rest.split(end)[1]
  if (after === undefined) t.fail(`${name} has no part ${part}`)
  else holdAgainstFile(t, name, `${before}${start}\n${text}\n${end}${after}`)
}

/** A Markdown table whose columns are as wide as their longest cell. */
export function table(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => [...row[column]!].length)))
  const line = (cells: string[]) => `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const [head = [], ...body] = rows
  return `${[line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n')}\n`
}
