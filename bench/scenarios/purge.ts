/** `purge`: sessions that are over are deleted, while others ask: how fast it goes, and what they feel of it. */
import { setTimeout as pause } from 'node:timers/promises'
import { expectStatuses } from '../answers.ts'
import type { Bench, Engine, Scenario } from '../bench.ts'
import { get } from '../people.ts'
import { ask } from '../seed.ts'

/** Of as many people: so many that the purge goes on for longer than its probe. */
const SESSIONS = { sqlite: 600_000, mariadb: 200_000 }
/** They take long. */
const ROUNDS = 2
const PROBE_SECONDS = 3
const PROBES_A_SECOND = 100
const TOKENS = 20
const LOOK_MS = 50

const LEFT = 'SELECT COUNT(*) FROM sessions WHERE expires_at = 1'
/** A purge goes by these two, and a row that is written anew lies where it lay. */
const EXPIRE = 'UPDATE sessions SET expires_at = 1, until = 1'

async function run(bench: Bench, engine: Engine): Promise<void> {
  const sessions = SESSIONS[engine]
  bench.say(`${engine}: ${sessions.toLocaleString('en-US')} sessions are written, and expire`)
  const database = await bench.database(engine, sessions)
  await ask(database, EXPIRE)
  bench.say(`${engine}: the purge`)
  // It begins with the service.
  const service = await bench.latchkey(database)
  const tokens = await bench.logIn(service, TOKENS, sessions)
  const requests = tokens.map(({ access_token }) => get('/user/me', access_token))
  const from = { time: performance.now(), left: await ask(database, LEFT) }
  const measured = await bench.arrivals(service, PROBES_A_SECOND, requests, { seconds: PROBE_SECONDS })
  expectStatuses(`purge/${engine}/probe`, measured, [200])
  if ((await ask(database, LEFT)) === 0) throw new Error(`${engine}: the purge ended before its probe did.`)
  while ((await ask(database, LEFT)) > 0) await pause(LOOK_MS)
  bench.record(`purge/${engine}/rate`, from.left / ((performance.now() - from.time) / 1000))
  bench.record(`purge/${engine}/probe/p99`, measured.answers[200]!.p99)
  bench.record(`purge/${engine}/probe/slowest`, measured.answers[200]!.max)
}

export const purge: Scenario = {
  name: 'purge',
  about: 'sessions that are over are deleted; GET /user/me beside it at 100 a second',
  estimate: ({ rounds }) => Math.min(rounds, ROUNDS) * 50,
  async run(bench) {
    const rounds = Math.min(bench.rounds, ROUNDS)
    for (let round = 1; round <= rounds; round++) for (const engine of bench.engines) await run(bench, engine)
  },
}
