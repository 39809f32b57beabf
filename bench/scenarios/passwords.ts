/** What costs a hash: `login` and `register`, beside the limit of the same cores for hashes alone. */
import type { Bench, Scenario } from '../bench.ts'
import type { Service } from '../children.ts'
import { logins, PASSWORD, post } from '../people.ts'

const CONNECTIONS = 32
/** So few come in a second that it takes longer to see a rate. */
const TIMES = 2

async function rounds(bench: Bench, name: string, services: Record<string, Service>, load: (key: string) => object[]) {
  const seconds = bench.seconds * TIMES
  for (let round = 1; round <= bench.rounds; round++) {
    bench.say(`round ${round} of ${bench.rounds}: hashes alone`)
    await bench.hashes(`${name}/hashes`, seconds)
    for (const [key, service] of Object.entries(services)) {
      bench.say(`round ${round} of ${bench.rounds}: ${key}`)
      const options = { connections: CONNECTIONS, mode: 'cycle' as const, requests: load(key) as never, seconds }
      await bench.load(`${name}/${key}`, service, options, [name === 'register' ? 201 : 200, 503])
    }
  }
}

const estimate = (services: number) => (settings: { seconds: number; rounds: number }) =>
  10 + settings.rounds * services * (settings.seconds * TIMES + 1.5)

export const login: Scenario = {
  name: 'login',
  about: 'POST /user/login, 32 connections, different people; beside it the raw limit of hashes',
  estimate: estimate(4),
  async run(bench) {
    const services = { ...(await bench.latchkeys()), express: await bench.express() }
    await rounds(bench, 'login', services, () => logins())
  },
}

export const register: Scenario = {
  name: 'register',
  about: 'POST /user/register, 32 connections',
  estimate: estimate(3),
  async run(bench) {
    let made = 0
    const account = () => {
      const username = `newcomer${++made}`
      return post('/user/register', { username, email: `${username}@example.com`, password: PASSWORD })
    }
    const enough = bench.seconds * TIMES * 1000
    await rounds(bench, 'register', await bench.latchkeys(), () => Array.from({ length: enough }, account))
  },
}
