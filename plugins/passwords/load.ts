/**
 * How long hashes take, and how much of them is ahead: a moving average for each cost, and for each network what it has
 * been admitted for and does not have yet.
 */

/** How much one measured hash counts in the average: enough to follow a change of load within some ten hashes. */
const WEIGHT = 0.1

/** Until something was measured: one core makes 18.8 hashes a second at cost 10, and each step of cost doubles the work. */
const guess = (cost: number): number => 53 * 2 ** (cost - 10)

/** Averages in milliseconds. `current` is the cost in force; one that was never measured is reckoned from it. */
export function createAverages(current: number) {
  const averages = new Map([[current, guess(current)]])
  const of = (cost: number): number => averages.get(cost) ?? averages.get(current)! * 2 ** (cost - current)
  return {
    of,

    /** Learns that hashes of these costs took so long together. */
    learn(costs: number[], ms: number): void {
      const ratio = ms / costs.reduce((sum, cost) => sum + of(cost), 0)
      for (const cost of costs) averages.set(cost, of(cost) * (1 + (ratio - 1) * WEIGHT))
    },
  }
}

export type Averages = ReturnType<typeof createAverages>

/** The hashes ahead: how many of each cost, in all and of each network. */
export function createLoad(averages: Averages) {
  const all = new Map<number, number>()
  const networks = new Map<string, Map<number, number>>()

  function change(counts: Map<number, number>, costs: number[], by: 1 | -1): void {
    for (const cost of costs) {
      const count = (counts.get(cost) ?? 0) + by
      if (count === 0) counts.delete(cost)
      else counts.set(cost, count)
    }
  }

  function msOf(counts: Map<number, number> = new Map()): number {
    let ms = 0
    for (const [cost, count] of counts) ms += count * averages.of(cost)
    return ms
  }

  function changeBoth(network: string | undefined, costs: number[], by: 1 | -1): void {
    change(all, costs, by)
    if (network === undefined) return
    const own = networks.get(network) ?? new Map<number, number>()
    change(own, costs, by)
    if (own.size === 0) networks.delete(network)
    else networks.set(network, own)
  }

  return {
    add: (network: string | undefined, costs: number[]) => changeBoth(network, costs, 1),
    remove: (network: string | undefined, costs: number[]) => changeBoth(network, costs, -1),
    /** How many there are. */
    count: () => [...all.values()].reduce((sum, count) => sum + count, 0),
    /** Milliseconds that all of them take on one thread. */
    total: () => msOf(all),
    of: (network: string | undefined) => msOf(networks.get(network ?? '')),
  }
}
