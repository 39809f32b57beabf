/** What the answers to a load come to. */
import type { Measured } from './load/recorder.ts'

/** Gets one value of a figure. */
export type RecordFigure = (figure: string, value: number) => void

/** A run with broken answers measures something else than it says. */
export function expectStatuses(name: string, { answers }: Measured, statuses: (number | string)[]): void {
  const others = Object.entries(answers).filter(([status]) => !statuses.map(String).includes(status))
  if (others.length === 0) return
  const list = others.map(([status, { count }]) => `${count} × ${status}`).join(', ')
  throw new Error(`${name}: expected ${statuses.join(' or ')}, got also ${list}.`)
}

/** Rate and times of the answers of this status, and the number of the others. */
export function recordAnswers(
  record: RecordFigure,
  name: string,
  { answers, seconds }: Measured,
  status: number,
): void {
  const { count, p50, p99, max } = answers[status] ?? { count: 0, p50: 0, p99: 0, max: 0 }
  record(`${name}/rate`, count / seconds)
  record(`${name}/p50`, p50)
  record(`${name}/p99`, p99)
  record(`${name}/slowest`, max)
  const all = Object.values(answers).reduce((sum, one) => sum + one.count, 0)
  if (all > count) record(`${name}/others`, all - count)
}
