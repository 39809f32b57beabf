/** Bars and lines as SVG that reads in light and in dark. */
import { show } from './report.ts'

export interface Bar {
  label: string
  value: number
  /** Latchkey's own stand out. */
  own: boolean
}

export interface Panel {
  title: string
  bars: Bar[]
}

export interface Series {
  label: string
  points: { people: number; value: number }[]
}

const WIDTH = 880
const MARGIN = 32
const STYLE = `<style>
  text { font: 15px system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; fill: #1f2933 }
  .title { font-size: 20px; font-weight: 600 }
  .head { font-weight: 600 }
  .note { font-size: 13px; fill: #66727f }
  .back { fill: #ffffff }
  .own { fill: #2563eb; stroke: #2563eb }
  .other { fill: #a9b4c0; stroke: #a9b4c0 }
  .second { fill: #d97706; stroke: #d97706 }
  .axis { stroke: #d5dbe1; stroke-width: 1 }
  .line { fill: none; stroke-width: 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaee }
    .note { fill: #9aa6b2 }
    .back { fill: #0d1117 }
    .own { fill: #60a5fa; stroke: #60a5fa }
    .other { fill: #5b6773; stroke: #5b6773 }
    .second { fill: #fbbf24; stroke: #fbbf24 }
    .axis { stroke: #30363d }
    .line { fill: none }
  }
</style>`

const LABELS = 200
const BAR = 26
const GAP = 8

/** Panels of horizontal bars, each panel with a scale of its own. */
export function bars(title: string, note: string, panels: Panel[]): string {
  let y = 98
  const parts = panels.flatMap((panel) => {
    const drawn = [text(MARGIN, y, panel.title, 'head')]
    y += 14
    const longest = Math.max(...panel.bars.map(({ value }) => value)) || 1
    for (const { label, value, own } of panel.bars) {
      const width = Math.max(2, (value / longest) * (WIDTH - MARGIN * 2 - LABELS - 90))
      const middle = y + BAR / 2 + 5
      drawn.push(text(MARGIN, middle, label))
      drawn.push(
        `<rect class="${own ? 'own' : 'other'}" x="${MARGIN + LABELS}" y="${y}" width="${fix(width)}" height="${BAR}" rx="3"/>`,
      )
      drawn.push(text(MARGIN + LABELS + width + 10, middle, show(value), own ? 'head' : ''))
      y += BAR + GAP
    }
    y += 34
    return drawn
  })
  return svg(y - 10, title, note, parts)
}

const PLOT = { left: 76, right: 220, top: 96, height: 330 }

/** Lines over the number of people, both axes logarithmic. */
export function lines(title: string, note: string, all: Series[]): string {
  const series = all.filter(({ points }) => points.length > 0)
  const points = series.flatMap((one) => one.points)
  if (points.length === 0) return svg(PLOT.top, title, note, [])
  const decades = (values: number[]): [number, number] => {
    const logs = values.map(Math.log10)
    return [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))]
  }
  const [least, most] = decades(points.map(({ people }) => people))
  const [low, high] = decades(points.map(({ value }) => value))
  const x = (people: number) =>
    PLOT.left + ((Math.log10(people) - least) / (most - least || 1)) * (WIDTH - PLOT.left - PLOT.right)
  const y = (value: number) => PLOT.top + PLOT.height - ((Math.log10(value) - low) / (high - low || 1)) * PLOT.height
  const powers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index))
  const grid = powers(low, high).flatMap((value) => [
    `<line class="axis" x1="${PLOT.left}" x2="${WIDTH - PLOT.right}" y1="${fix(y(value))}" y2="${fix(y(value))}"/>`,
    text(PLOT.left - 10, y(value) + 5, value.toLocaleString('en-US'), 'note', 'end'),
  ])
  const sizes = powers(least, most).map((people) =>
    text(x(people), PLOT.top + PLOT.height + 26, people.toLocaleString('en-US'), 'note', 'middle'),
  )
  return svg(PLOT.top + PLOT.height + 50, title, note, [...grid, ...sizes, ...drawSeries(series, x, y)])
}

/** The second engine's lines are dashed; where two ends meet, the lower label steps down. */
function drawSeries(series: Series[], x: (people: number) => number, y: (value: number) => number): string[] {
  const ends = series.map(({ label, points }) => {
    const sorted = points.toSorted((a, b) => a.people - b.people)
    return { label, sorted, end: y(sorted.at(-1)!.value) + 5 }
  })
  let taken = Number.NEGATIVE_INFINITY
  return ends
    .toSorted((a, b) => a.end - b.end)
    .flatMap(({ label, sorted, end }) => {
      taken = Math.max(end, taken + 19)
      const [own, dash] = label.endsWith('SQLite') ? ['own', ''] : ['second', ' stroke-dasharray="7 5"']
      const path = sorted.map(({ people, value }) => `${fix(x(people))},${fix(y(value))}`).join(' ')
      return [
        `<polyline class="${own} line" points="${path}"${dash}/>`,
        ...sorted.map(
          ({ people, value }) => `<circle class="${own}" cx="${fix(x(people))}" cy="${fix(y(value))}" r="4"/>`,
        ),
        text(WIDTH - PLOT.right + 14, taken, label),
      ]
    })
}

function svg(height: number, title: string, note: string, parts: string[]): string {
  const head = [text(MARGIN, 36, title, 'title'), text(MARGIN, 58, note, 'note')]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${fix(height)}" role="img" aria-label="${escaped(title)}">
${STYLE}
<rect class="back" width="100%" height="100%"/>
${[...head, ...parts].join('\n')}
</svg>
`
}

function text(x: number, y: number, content: string, style = '', anchor = 'start'): string {
  return `<text class="${style}" x="${fix(x)}" y="${fix(y)}" text-anchor="${anchor}">${escaped(content)}</text>`
}

const fix = (value: number) => Number(value.toFixed(1))
const escaped = (content: string) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
