/** GET /health/live and /health/ready, as an orchestrator asks them. (test/db/ holds what a database that is away means.) */
import t from 'tap'
import { onEachEngine } from '../engines.ts'
import { startApp } from '../helper.ts'

onEachEngine(t, 'live and ready', async (t, engine) => {
  const app = await startApp(t, engine)
  for (const url of ['/health/live', '/health/ready', '/health/live?verbose=1']) {
    const answer = await app.anon.get(url)
    t.equal(answer.status, 200, url)
    t.strictSame(answer.body, { status: 'ok' })
    t.equal(answer.headers['cache-control'], 'no-store')
    const head = await app.anon.ask('HEAD', url)
    t.strictSame([head.status, head.text], [200, ''])
    const withToken = await app.anon.get(url, { authorization: 'Bearer x' })
    t.equal(withToken.status, 200, 'for everyone')
  }
})
