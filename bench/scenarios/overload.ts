/** `overload`: ten times more logins a second than the cores can hash, however slowly they are answered. */
import { constants } from 'node:os'
import { expectStatuses } from '../answers.ts'
import type { Bench, Scenario } from '../bench.ts'
import type { Service } from '../children.ts'
import { logins } from '../people.ts'

const TIMES = 10
/** What is asked before the queue is full is answered sooner than all that follows. */
const WARM_UP = 3

async function measure(bench: Bench, key: string, service: Service, limit: number) {
  const requests = logins()
  const options = { seconds: bench.seconds * 2, warmUp: WARM_UP }
  const { answers, seconds } = await bench.arrivals(service, limit * TIMES, requests, options)
  expectStatuses(`overload/${key}`, { answers, seconds }, [200, 503])
  const [ok, refused] = [answers[200], answers[503]]
  bench.record(`overload/${key}/rate`, (ok?.count ?? 0) / seconds)
  bench.record(`overload/${key}/slowest`, Math.max(ok?.max ?? 0, refused?.max ?? 0))
  bench.record(`overload/${key}/p99`, ok?.p99 ?? 0)
  bench.record(`overload/${key}/refused/rate`, (refused?.count ?? 0) / seconds)
  bench.record(`overload/${key}/refused/p99`, refused?.p99 ?? 0)
}

/** What no service can do better: threads that only hash, while bare Fastify answers as many requests with nothing. */
async function floor(bench: Bench, fastify: Service, limit: number): Promise<void> {
  const seconds = bench.seconds * 2
  const requests = [{ method: 'GET', path: '/auth/verify', headers: {} }]
  const answering = bench.arrivals(fastify, limit * TIMES, requests, { seconds })
  await bench.hashes('overload/floor', seconds, constants.priority.PRIORITY_LOW)
  expectStatuses('overload/floor', await answering, [204])
}

export const overload: Scenario = {
  name: 'overload',
  about: 'ten times more logins a second than possible: what is answered, and how soon the rest is refused',
  estimate: ({ seconds, rounds }) => 10 + rounds * 4 * (2 * seconds + 5),
  async run(bench) {
    const services = await bench.latchkeys()
    const fastify = await bench.fastify()
    for (let round = 1; round <= bench.rounds; round++) {
      bench.say(`round ${round} of ${bench.rounds}: hashes alone`)
      const limit = await bench.hashes('overload/hashes', bench.seconds * 2)
      bench.say(`round ${round} of ${bench.rounds}: hashes beside as many requests to bare Fastify`)
      await floor(bench, fastify, limit)
      for (const [key, service] of Object.entries(services)) {
        bench.say(`round ${round} of ${bench.rounds}: ${key}`)
        await measure(bench, key, service, limit)
      }
    }
  },
}
