/** `start`: how soon a process answers, and the memory that it takes at rest and after a storm of logins. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Scenario } from '../bench.ts'
import { logins } from '../people.ts'

const REST_MS = 5000
const CLIENTS = 64

export const start: Scenario = {
  name: 'start',
  about: 'from the start of the process to /health/ready, and memory at rest and after a storm',
  estimate: ({ seconds, rounds }) => 10 + rounds * 2 * (2 * seconds + REST_MS / 1000 + 2),
  async run(bench) {
    for (const engine of bench.engines) {
      const database = await bench.database(engine)
      // The first start makes the keys, and finds no file in the system's cache.
      await (await bench.latchkey(database)).stop()
      for (let round = 1; round <= bench.rounds; round++) {
        bench.say(`round ${round} of ${bench.rounds}: ${engine}`)
        const service = await bench.latchkey(database)
        bench.record(`start/${engine}/ready`, service.startedIn)
        await pause(REST_MS)
        bench.recordMemory(`start/${engine}/rest`, service)
        const load = { connections: CLIENTS, mode: 'cycle' as const, requests: logins(), seconds: bench.seconds * 2 }
        await bench.load(`start/${engine}/storm`, service, load, [200, 503])
        bench.recordMemory(`start/${engine}/storm`, service)
        await service.stop()
      }
    }
  },
}
