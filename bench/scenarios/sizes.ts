/** `sizes`: the same requests with a thousand people and with ten million, who are asked for at random. */
import { statfsSync } from 'node:fs'
import type { Bench, Engine, Scenario } from '../bench.ts'
import type { Service } from '../children.ts'
import type { Request } from '../load/recorder.ts'
import { get, logins, post } from '../people.ts'
import { sizeOf } from '../seed.ts'

const CONNECTIONS = 32
const SIZES = [1000, 1_000_000, 10_000_000]
/** They take long, and the ratio of two sizes is steady. */
const ROUNDS = 2
/** People who log in before a round, whose refresh tokens are then used in turn. */
const SESSIONS = 64
/** People whose access tokens are used in turn. */
const READERS = 100
/** Seconds that a million people take to be written, on both engines together. */
const FILLING = 35
/** Bytes of disk: a person on both engines together (1,600 measured with a million), and a MariaDB without people. */
const BYTES = { person: 2000, server: 600e6 }

interface Side {
  name: string
  people: number
  service: Service
  /** GET /user/me of people at random. */
  reads: Request[]
}

const sizesOf = (people: number): number[] => SIZES.filter((size) => size <= people)

function spaceOf(people: number): number {
  return BYTES.server + sizesOf(people).reduce((sum, size) => sum + size * BYTES.person, 0)
}

/** Throws where the disk is too full: sooner than after minutes of writing. */
function checkSpace(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder)
  if (bavail * bsize >= bytes) return
  const [free, needed] = [bavail * bsize, bytes].map((count) => (count / 1e9).toFixed(1))
  throw new Error(`${folder} has ${free} GB free and may need ${needed}. Ask for fewer with --people.`)
}

async function fill(bench: Bench, engine: Engine, people: number): Promise<Side> {
  const name = `sizes/${engine}/${people}`
  bench.say(`${engine}: ${people.toLocaleString('en-US')} people are written`)
  const begun = performance.now()
  const database = await bench.database(engine, people)
  bench.record(`${name}/filling`, (performance.now() - begun) / 1000)
  bench.record(`${name}/megabytes`, (await sizeOf(database)) / 1e6)
  const service = await bench.latchkey(database, { REFRESH_GRACE: '0', ACCESS_TOKEN_TTL: '86400' })
  const readers = await bench.logIn(service, READERS, people)
  return { name, people, service, reads: readers.map(({ access_token }) => get('/user/me', access_token)) }
}

async function measure(bench: Bench, { name, people, service, reads }: Side): Promise<void> {
  const load = { connections: CONNECTIONS, seconds: bench.seconds }
  const sessions = await bench.logIn(service, SESSIONS, people)
  const refreshes = sessions.map(({ refresh_token }) => post('/user/refresh', { refresh_token }))
  await bench.load(`${name}/refresh`, service, { ...load, mode: 'refresh', requests: refreshes })
  await bench.load(`${name}/me`, service, { ...load, mode: 'cycle', requests: reads })
  await bench.load(`${name}/login`, service, { ...load, mode: 'cycle', requests: logins(people) }, [200, 503])
}

export const sizes: Scenario = {
  name: 'sizes',
  about: 'logins, refreshes and GET /user/me with 1,000 people up to 10,000,000 (--people)',
  estimate: ({ seconds, rounds, people }) =>
    (people / 1e6) * FILLING + 25 + Math.min(rounds, ROUNDS) * 2 * sizesOf(people).length * (3 * seconds + 7),
  space: ({ people }) => spaceOf(people),
  async run(bench) {
    checkSpace(bench.folder, spaceOf(bench.people))
    const sides: Side[] = []
    const rounds = Math.min(bench.rounds, ROUNDS)
    for (const engine of bench.engines)
      for (const people of sizesOf(bench.people)) sides.push(await fill(bench, engine, people))
    for (let round = 1; round <= rounds; round++)
      for (const side of sides) {
        bench.say(`round ${round} of ${rounds}: ${side.name}`)
        await measure(bench, side)
      }
  },
}
