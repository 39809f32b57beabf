/** `purge`: sessions that are over are deleted, while others ask: how fast it goes, and what they feel of it. */
import { setTimeout as pause } from 'node:timers/promises'
import { expectStatuses } from '../answers.ts'
import type { Bench, Engine, Scenario } from '../bench.ts'
import { get } from '../people.ts'
import { ask } from '../seed.ts'

/** Of as many people. */
const SESSIONS = 200_000
const PROBES_A_SECOND = 100
const TOKENS = 20
const LOOK_MS = 50

const LEFT = 'SELECT COUNT(*) FROM sessions WHERE expires_at = 1'
/** A purge goes by these two, and a row that is written anew lies where it lay. */
const EXPIRE = 'UPDATE sessions SET expires_at = 1, until = 1'

async function run(bench: Bench, engine: Engine): Promise<void> {
  bench.say(`${engine}: ${SESSIONS.toLocaleString('en-US')} sessions are written, and expire`)
  const database = await bench.database(engine, SESSIONS)
  await ask(database, EXPIRE)
  bench.say(`${engine}: the purge`)
  // It begins with the service.
  const service = await bench.latchkey(database)
  const tokens = await bench.logIn(service, TOKENS, SESSIONS)
  const requests = tokens.map(({ access_token }) => get('/user/me', access_token))
  const from = { time: performance.now(), left: await ask(database, LEFT) }
  const probe = bench.arrivals(service, PROBES_A_SECOND, requests)
  while ((await ask(database, LEFT)) > 0) await pause(LOOK_MS)
  bench.record(`purge/${engine}/rate`, from.left / ((performance.now() - from.time) / 1000))
  const measured = await probe
  expectStatuses(`purge/${engine}/probe`, measured, [200])
  bench.record(`purge/${engine}/probe/p99`, measured.answers[200]!.p99)
  bench.record(`purge/${engine}/probe/slowest`, measured.answers[200]!.max)
}

export const purge: Scenario = {
  name: 'purge',
  about: `${SESSIONS.toLocaleString('en-US')} sessions that are over are deleted; GET /user/me beside at 100 a second`,
  estimate: ({ seconds, rounds }) => rounds * 2 * (seconds + 20),
  async run(bench) {
    for (let round = 1; round <= bench.rounds; round++) for (const engine of bench.engines) await run(bench, engine)
  },
}
