/** The arithmetic of the benchmark. */

export interface Spread {
  median: number
  min: number
  max: number
  /** What each round gave, in their order. */
  values: number[]
}

/** The values of some rounds as one figure. */
export function spreadOf(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0, values }
}

/** Of sorted values, with a value between two where it falls between them; 0 of none. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const place = (sorted.length - 1) * share
  const [below, above] = [Math.floor(place), Math.ceil(place)]
  const low = sorted[below] ?? 0
  return low + ((sorted[above] ?? low) - low) * (place - below)
}

export interface Latencies {
  count: number
  /** Milliseconds. */
  p50: number
  p99: number
  max: number
}

/** Of the milliseconds that each answer took. */
export function latenciesOf(milliseconds: number[]): Latencies {
  const sorted = Float64Array.from(milliseconds).sort()
  return {
    count: sorted.length,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    max: sorted.at(-1) ?? 0,
  }
}
