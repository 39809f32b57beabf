/** `storm`: people who log in without end, and what others feel of it who only send their token. */
import { constants } from 'node:os'
import { expectStatuses } from '../answers.ts'
import type { Bench, Scenario } from '../bench.ts'
import type { Service } from '../children.ts'
import type { Measured } from '../load/recorder.ts'
import { get, logins } from '../people.ts'

const CLIENTS = 64
const PROBES_A_SECOND = 100
const TOKENS = 20
/** Seconds by which a probe outlasts what was started with it: it warms up. */
const LATER = 1

async function probe(bench: Bench, name: string, service: Service, tokens: string[], seconds: number): Promise<void> {
  const requests = tokens.flatMap((token) => [get('/auth/verify', token), get('/user/me', token)])
  const measured = await bench.arrivals(service, PROBES_A_SECOND, requests, { seconds })
  expectStatuses(name, measured, [200, 204])
  const all = Object.values(measured.answers)
  // Express answers the half with 204: its p99 is the worse of the two.
  bench.record(`${name}/p50`, Math.max(...all.map(({ p50 }) => p50)))
  bench.record(`${name}/p99`, Math.max(...all.map(({ p99 }) => p99)))
}

/** What no service can do better: bare Fastify, beside threads that only hash and let everything else go first. */
async function floor(bench: Bench, fastify: Service, token: string): Promise<void> {
  const seconds = bench.seconds * 2
  const hashing = bench.hashes('storm/floor/hashes', seconds, constants.priority.PRIORITY_LOW)
  await probe(bench, 'storm/floor/probe', fastify, [token], seconds - LATER)
  await hashing
}

async function storm(bench: Bench, name: string, service: Service, during: Promise<void>): Promise<Measured> {
  const seconds = bench.seconds * 2
  const load = { connections: CLIENTS, mode: 'cycle' as const, requests: logins(), seconds }
  const [measured] = await Promise.all([bench.load(`${name}/logins`, service, load, [200, 503]), during])
  return measured
}

export const stormScenario: Scenario = {
  name: 'storm',
  about: '64 clients log in without end; GET /auth/verify and /user/me beside them at 100 a second',
  estimate: ({ seconds, rounds }) => 10 + rounds * (3 * (3 * seconds + 4) + 2 * seconds + 2),
  async run(bench) {
    const services = { ...(await bench.latchkeys()), express: await bench.express() }
    const tokens: Record<string, string[]> = {}
    for (const [key, service] of Object.entries(services))
      tokens[key] = (await bench.logIn(service, TOKENS)).map(({ access_token }) => access_token)
    const fastify = await bench.fastify()
    for (let round = 1; round <= bench.rounds; round++) {
      bench.say(`round ${round} of ${bench.rounds}: bare Fastify beside hashes alone`)
      await floor(bench, fastify, tokens.sqlite![0]!)
      for (const [key, service] of Object.entries(services)) {
        bench.say(`round ${round} of ${bench.rounds}: ${key}, calm, then storm`)
        await probe(bench, `storm/${key}/calm`, service, tokens[key]!, bench.seconds)
        const probing = probe(bench, `storm/${key}/probe`, service, tokens[key]!, bench.seconds * 2)
        await storm(bench, `storm/${key}`, service, probing)
        bench.recordMemory(`storm/${key}/memory`, service)
      }
    }
  },
}
