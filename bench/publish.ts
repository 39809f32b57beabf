/** Puts the figures of a run into docs/: the table between its marks, the charts, and all figures as JSON. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { capacityTable } from './capacity.ts'
import { comparison, growth } from './chart.ts'
import { linesOf, type Report, tableOf } from './report.ts'

const [BEGIN, END] = ['<!-- figures -->', '<!-- /figures -->']

const COMPARISON = '![Token checks, logins and a storm of logins, beside Fastify and Express](performance.svg)'
const GROWTH = '![Requests a second, from 1,000 people up](performance-sizes.svg)'
const ALL = 'All figures of this run: [performance.json](performance.json).'

/** Writes performance.md, .json, .svg and performance-sizes.svg in this folder, and what capacity.md reckons from them. Throws where a page has no marks. */
export function publish(report: Report, docs: string): void {
  const page = join(docs, 'performance.md')
  writeFileSync(page, withFigures(readFileSync(page, 'utf8'), report))
  const table = capacityTable(report)
  const capacity = join(docs, 'capacity.md')
  if (table) writeFileSync(capacity, between(readFileSync(capacity, 'utf8'), [table]))
  writeFileSync(join(docs, 'performance.json'), `${JSON.stringify(report, null, 2)}\n`)
  writeFileSync(join(docs, 'performance.svg'), comparison(report))
  writeFileSync(join(docs, 'performance-sizes.svg'), growth(report))
}

/** The page with these figures in place of what stood between its marks. */
export const withFigures = (page: string, { about, figures }: Report): string =>
  between(page, [sentence(about), COMPARISON, tableOf(linesOf(figures)), GROWTH, ALL])

function between(page: string, parts: string[]): string {
  const [before, rest = ''] = page.split(BEGIN)
  const after = rest.split(END)[1]
  if (after === undefined) throw new Error(`The page has no ${BEGIN} … ${END}.`)
  return `${before}${[BEGIN, ...parts, END].join('\n\n')}${after}`
}

function sentence(about: Report['about']): string {
  return `Latchkey ${about.latchkey}, measured on ${about.measured}: ${about.cores} cores (${about.processor}), ${about.memory} of memory,
${about.system}, Node.js ${about.node}. Medians of ${about.rounds} rounds of ${about.seconds} s or more; other processes used ${about.disturbed} of
the cores before the run began.`
}
