/** Refreshes at the same time, and against what ends their session. (test/races.test.ts has what races for an account.) */
import t from 'tap'
import { dbOf } from '../../../plugins/db/index.ts'
import { onEachEngine } from '../../engines.ts'
import { codeOf, stall, startApp, type TestApp, tally } from '../../helper.ts'

const refresh = (app: TestApp, refresh_token: string) => app.anon.post('/user/refresh', { refresh_token })

/** All sessions that live. */
const living = async (app: TestApp) => (await app.sql('SELECT id FROM sessions WHERE ended_at IS NULL')).length

onEachEngine(t, 'a refresh before its rotation, against logout and against reuse', async (t, engine) => {
  const app = await startApp(t, engine)
  for (const scope of ['local', 'global'] as const) {
    const ann = scope === 'local' ? await app.register('ann') : await app.login('ann')
    const wall = stall(dbOf(app.server).sessions, 'rotate', 'before')
    const late = refresh(app, ann.tokens.refresh_token)
    await wall.arrival
    t.equal(codeOf(await ann.delete(`/user/logout?scope=${scope}`)), '200')
    wall.release()
    t.equal(codeOf(await late), '401 INVALID_REFRESH_TOKEN', `after a log-out, ${scope}`)
    t.equal(await living(app), 0)
  }

  const ann = await app.login('ann')
  const first = await refresh(app, ann.tokens.refresh_token)
  await app.advance(30)
  const rotation = stall(dbOf(app.server).sessions, 'rotate', 'before')
  const late = refresh(app, first.body.refresh_token)
  await rotation.arrival
  t.equal(codeOf(await refresh(app, ann.tokens.refresh_token)), '401 REFRESH_TOKEN_REUSED')
  rotation.release()
  t.equal(codeOf(await late), '401 INVALID_REFRESH_TOKEN', 'the reuse came first')
  t.equal(await living(app), 0)

  const again = await app.login('ann')
  const second = await refresh(app, again.tokens.refresh_token)
  await app.advance(30)
  const ending = stall(dbOf(app.server).sessions, 'end', 'before')
  const reuse = refresh(app, again.tokens.refresh_token)
  await ending.arrival
  const rotated = await refresh(app, second.body.refresh_token)
  t.equal(codeOf(rotated), '200')
  ending.release()
  t.equal(codeOf(await reuse), '401 REFRESH_TOKEN_REUSED', 'the rotation came first')
  t.equal(codeOf(await refresh(app, rotated.body.refresh_token)), '401 INVALID_REFRESH_TOKEN')
  t.equal(codeOf(await app.as(rotated).get('/user/me')), '401 INVALID_TOKEN')
})

onEachEngine(t, 'refreshes at the same time with one token', async (t, engine) => {
  const app = await startApp(t, engine)
  const ann = await app.register('ann')
  const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(app, ann.tokens.refresh_token)))
  t.strictSame(tally(answers), { 200: 20 })
  t.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1, 'all get the same token')
  const rows = await app.sql<{ generation: number }>('SELECT generation FROM sessions')
  t.strictSame(
    rows.map(({ generation }) => generation),
    [1],
  )
})

onEachEngine(t, 'without a grace one of them wins, and the others are reuse', async (t, engine) => {
  const app = await startApp(t, engine, { REFRESH_GRACE: '0' })
  const ann = await app.register('ann')
  const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(app, ann.tokens.refresh_token)))
  const { 200: won, ...lost } = tally(answers)
  t.equal(won, 1)
  t.equal(lost['401 REFRESH_TOKEN_REUSED'], 1, 'one ends the session')
  t.equal(lost['401 INVALID_REFRESH_TOKEN'], 18, 'the others find it ended')
  t.equal(await living(app), 0)
})
