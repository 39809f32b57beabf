/** `refresh`: chains of refresh tokens, one a connection; beside them logins, which people would need without. */
import type { Scenario } from '../bench.ts'
import { logins, post } from '../people.ts'

const CONNECTIONS = 32

export const refresh: Scenario = {
  name: 'refresh',
  about: 'POST /user/refresh, REFRESH_GRACE=0, 32 connections, each with a chain of tokens of its own',
  estimate: ({ seconds, rounds }) => 10 + rounds * 2 * (2 * seconds + 6),
  async run(bench) {
    const services = await bench.latchkeys({ REFRESH_GRACE: '0' })
    for (let round = 1; round <= bench.rounds; round++)
      for (const [engine, service] of Object.entries(services)) {
        bench.say(`round ${round} of ${bench.rounds}: ${engine}`)
        const sessions = await bench.logIn(service, CONNECTIONS)
        const requests = sessions.map(({ refresh_token }) => post('/user/refresh', { refresh_token }))
        await bench.load(`refresh/${engine}`, service, { connections: CONNECTIONS, mode: 'refresh', requests })
        const load = { connections: CONNECTIONS, mode: 'cycle' as const, requests: logins() }
        await bench.load(`refresh/${engine}/logins`, service, load, [200, 503])
      }
  },
}
