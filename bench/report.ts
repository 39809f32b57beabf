/** What a run found: figures, and the table of medians, ratios and targets. */
import { type Spread, spreadOf } from './statistics.ts'
import { ROWS, type Row } from './targets.ts'

export interface Report {
  /** Of the machine and the run, for people. */
  about: Record<string, string | number>
  figures: Record<string, Spread>
}

/** One line of the table. */
export interface Line {
  label: string
  value: string
  ratio: string
  target: string
  /** Undefined where there is no target. */
  reached?: boolean
}

/** All values of each figure, in the order of their rounds, as its spread. */
export function figuresOf(values: Map<string, number[]>): Record<string, Spread> {
  return Object.fromEntries([...values].map(([name, list]) => [name, spreadOf(list.map(rounded))]))
}

/** The lines whose figures were measured. */
export const linesOf = (figures: Report['figures']): Line[] => ROWS.flatMap((row) => lineOf(row, figures) ?? [])

function lineOf({ label, figure, unit, over, target }: Row, figures: Report['figures']): Line | undefined {
  const measured = figures[figure]?.median
  const base = over && figures[over.figure]?.median
  if (measured === undefined || (over && base === undefined)) return undefined
  // Over nothing there is no ratio, and no target is reached.
  const judged = base === undefined ? measured : base === 0 ? Number.NaN : measured / base
  const line = {
    label,
    value: `${show(measured)} ${unit}`,
    ratio: over ? `${show(judged)} of ${over.label} (${show(base!)})` : '',
    target: target
      ? ('least' in target ? `at least ${target.least}` : `at most ${target.most} ${over ? '' : unit}`).trim()
      : '',
  }
  if (!target) return line
  return { ...line, reached: 'least' in target ? judged >= target.least : judged <= target.most }
}

/** The table as Markdown, which can be read on a terminal too. */
export function tableOf(lines: Line[]): string {
  const mark = ({ reached }: Line) => (reached === undefined ? '' : reached ? '✓' : '✗ missed')
  const rows = [
    ['what', 'median', 'ratio', 'target', ''],
    ...lines.map((line) => [line.label, line.value, line.ratio, line.target, mark(line)]),
  ]
  return aligned(rows)
}

/** What was measured of `what` in `sizes` on an engine, by the number of people. */
export function bySize(figures: Report['figures'], engine: string, what: string): { people: number; value: number }[] {
  const name = new RegExp(`^sizes/${engine}/(\\d+)/${what}$`)
  return Object.entries(figures).flatMap(([figure, { median }]) => {
    const people = name.exec(figure)?.[1]
    return people === undefined ? [] : [{ people: Number(people), value: median }]
  })
}

/** A table of Markdown with straight columns; the first row is its head. */
export function aligned(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(3, ...rows.map((row) => [...row[column]!].length)))
  const text = (cells: string[]) => `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const [head = [], ...body] = rows
  return [text(head), text(widths.map((width) => '-'.repeat(width))), ...body.map(text)].join('\n')
}

/** Three digits that count; more only before the point. */
export function show(value: number): string {
  if (Number.isNaN(value)) return '?'
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** Enough to see, and few enough to read in a diff. */
const rounded = (value: number) => Number(value.toPrecision(5))
