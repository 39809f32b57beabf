/** The charts of docs/performance.md: which figures they show. */
import { bars, lines, type Panel } from './drawing.ts'
import { bySize, type Report } from './report.ts'

/** Latchkey beside the others. Undefined values are left out, and panels without any. */
export function comparison({ figures, about }: Report): string {
  const value = (figure: string) => figures[figure]?.median
  const panel = (title: string, bars: [label: string, figure: string][]): Panel => ({
    title,
    bars: bars.flatMap(([label, figure]) => {
      const median = value(figure)
      return median === undefined ? [] : [{ label, value: median, own: label.startsWith('Latchkey') }]
    }),
  })
  const panels = [
    panel('Token checks a second (GET /auth/verify)', [
      ['Latchkey', 'verify/sqlite/rate'],
      ['Bare Fastify, no check', 'verify/fastify/rate'],
      ['Express, jsonwebtoken', 'verify/express/rate'],
    ]),
    panel('Logins a second (bcrypt, cost 10)', [
      ['Latchkey', 'login/sqlite/rate'],
      ['Hashes alone', 'login/hashes/rate'],
      ['Express, bcrypt', 'login/express/rate'],
    ]),
    panel('Milliseconds within which 99 of 100 other requests are answered while 64 clients log in', [
      ['Latchkey', 'storm/sqlite/probe/p99'],
      ['Express', 'storm/express/probe/p99'],
    ]),
  ].filter(({ bars }) => bars.length > 0)
  return bars('Latchkey under load', noteOf(about), panels)
}

/** Requests a second by the number of people. */
export function growth({ figures, about }: Report): string {
  const series = ['sqlite', 'mariadb'].flatMap((engine) =>
    ['me', 'refresh', 'login'].map((what) => ({
      label: `${NAMES[what]}, ${NAMES[engine]}`,
      points: bySize(figures, engine, `${what}/rate`),
    })),
  )
  return lines('Requests a second, by the number of people', noteOf(about), series)
}

const NAMES: Record<string, string> = {
  me: 'GET /user/me',
  refresh: 'Refreshes',
  login: 'Logins',
  sqlite: 'SQLite',
  mariadb: 'MariaDB',
}

const noteOf = (about: Report['about']) =>
  `One instance, ${about.cores} cores (${about.processor}), Node.js ${about.node}; medians of ${about.rounds} rounds`
