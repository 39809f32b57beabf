/** `instances`: two processes on one MariaDB behind nginx, against one behind the same nginx. */
import type { Bench, Scenario } from '../bench.ts'
import type { Service } from '../children.ts'
import { get } from '../people.ts'

const CONNECTIONS = 100

/** Behind nginx with the configuration that is shipped. */
async function behindNginx(bench: Bench, services: Service[]): Promise<Service> {
  const pids = services.flatMap((service) => service.pids)
  return { ...services[0]!, pids, ...(await bench.nginx(services.map(({ port }) => port))) }
}

export const instances: Scenario = {
  name: 'instances',
  about: 'GET /auth/verify through nginx, one instance against two on one MariaDB',
  needs: ['mariadb', 'nginx'],
  estimate: ({ seconds, rounds }) => 15 + rounds * 2 * (seconds + 2),
  async run(bench) {
    const database = await bench.database('mariadb')
    const env = { TRUSTED_PROXIES: '127.0.0.1' }
    const [first, second] = [await bench.latchkey(database, env), await bench.latchkey(database, env)]
    const sides = { one: await behindNginx(bench, [first]), two: await behindNginx(bench, [first, second]) }
    const tokens = await bench.logIn(first, CONNECTIONS)
    const requests = tokens.map(({ access_token }) => get('/auth/verify', access_token))
    for (let round = 1; round <= bench.rounds; round++)
      for (const [key, service] of Object.entries(sides)) {
        bench.say(`round ${round} of ${bench.rounds}: ${key}`)
        await bench.load(`instances/${key}`, service, { connections: CONNECTIONS, mode: 'each', requests })
      }
  },
}
