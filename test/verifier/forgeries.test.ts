/** latchkey/verifier at the real service: the battery of forged tokens, and how a logout comes to it. */
import t from 'tap'
import { createVerifier } from '../../verifier/index.ts'
import { createEngine } from '../engines.ts'
import { forgeries, mintOf } from '../forgeries.ts'
import { SERVICE, startApp } from '../helper.ts'
import { listen } from '../raw.ts'
import { verdict } from './stand-in.ts'

t.test('no forged token passes, and nothing but keys and feed is asked', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  app.clock.time = Math.floor(app.clock.time / 1000) * 1000 + 500
  const ann = await app.register('ann')
  const mint = mintOf(app, ann.tokens.access_token)
  const url = `http://127.0.0.1:${await listen(app.server)}`
  const asked: string[] = []
  const open = () => {
    const verifier = createVerifier({
      issuer: app.config.ISSUER,
      audience: app.config.AUDIENCE,
      url,
      sessions: { clientId: SERVICE.id, clientSecret: SERVICE.secret },
      pollSeconds: 86_400,
      now: () => app.clock.time,
      fetch: (address, init) => {
        asked.push(new URL(address).pathname)
        return fetch(address, init)
      },
    })
    t.teardown(() => verifier.close())
    return verifier
  }
  const verifier = open()
  t.equal(await verdict(verifier, mint.token), 'accepted')
  t.equal(await verdict(verifier, mint.make({}, { name: 'Ann' })), 'accepted', 'one like it by the real key')
  for (const [name, token] of forgeries(mint)) t.equal(await verdict(verifier, token), 'INVALID_TOKEN', name)
  t.equal(await verdict(verifier, mint.token), 'accepted', 'and the right one still')
  t.strictSame(asked.sort(), ['/.well-known/jwks.json', '/.well-known/revocations'])

  await ann.delete('/user/logout')
  t.equal(await verdict(open(), mint.token), 'INVALID_TOKEN', 'a session that has ended')
})
