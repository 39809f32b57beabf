/** Requests that carry a token: `verify`, which a gateway sends before every request, and `me`. */
import type { Bench, Scenario } from '../bench.ts'
import type { Service } from '../children.ts'
import { get } from '../people.ts'

const CONNECTIONS = 100

/** Each connection has a token of its own. */
async function loadOf(bench: Bench, service: Service, path: string) {
  const tokens = await bench.logIn(service, CONNECTIONS)
  const requests = tokens.map(({ access_token }) => get(path, access_token))
  return { connections: CONNECTIONS, mode: 'each' as const, requests }
}

/** What a good answer has as its status: that of Latchkey, and that of the other two. */
type Statuses = [latchkey: number, others: number]

/** Measures each service in each round; `unchecked` is a path of bare Fastify that answers as Latchkey does. */
async function compare(
  bench: Bench,
  name: string,
  path: string,
  engines: Bench['engines'],
  statuses: Statuses,
  unchecked?: string,
) {
  const latchkeys = await bench.latchkeys({}, engines)
  const services = { ...latchkeys, fastify: await bench.fastify(), express: await bench.express() }
  const loads: Record<string, Awaited<ReturnType<typeof loadOf>>> = {}
  bench.say(`${CONNECTIONS} people log in at each service`)
  // Bare Fastify knows nobody; a token of another service makes its requests as long.
  for (const [key, service] of Object.entries(services))
    loads[key] = key === 'fastify' ? loads.sqlite! : await loadOf(bench, service, path)
  for (let round = 1; round <= bench.rounds; round++)
    for (const [key, service] of Object.entries(services)) {
      bench.say(`round ${round} of ${bench.rounds}: ${key}`)
      await bench.load(`${name}/${key}`, service, loads[key]!, [key in latchkeys ? statuses[0] : statuses[1]])
      if (key !== 'fastify' || !unchecked) continue
      bench.say(`round ${round} of ${bench.rounds}: ${key}, with Latchkey's headers`)
      const requests = loads[key]!.requests.map((request) => ({ ...request, path: unchecked }))
      await bench.load(`${name}/floor`, service, { ...loads[key]!, requests }, [200])
    }
}

export const verify: Scenario = {
  name: 'verify',
  about: 'GET /auth/verify, 100 connections, each with a token of its own',
  estimate: ({ seconds, rounds }) => 10 + rounds * 4 * (seconds + 1.5),
  // It asks no database.
  run: (bench) => compare(bench, 'verify', '/auth/verify', ['sqlite'], [200, 204], '/auth/verify/unchecked'),
}

export const me: Scenario = {
  name: 'me',
  about: 'GET /user/me, 100 connections, each with a token of its own',
  estimate: ({ seconds, rounds }) => 20 + rounds * 4 * (seconds + 1.5),
  run: (bench) => compare(bench, 'me', '/user/me', bench.engines, [200, 200]),
}
