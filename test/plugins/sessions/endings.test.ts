/** An ending is committed before it is read back: a database that falls away in between changes no answer. */
import t from 'tap'
import { dbOf } from '../../../plugins/db/index.ts'
import { onEachEngine } from '../../engines.ts'
import { codeOf, PASSWORD, startApp } from '../../helper.ts'

const NEW = 'another good phrase'

onEachEngine(t, 'what has ended is refused at once, also where it cannot be read back', async (t, engine) => {
  const app = await startApp(t, engine, { REFRESH_GRACE: '0' })
  const people = { out: 'a', all: 'b', others: 'c', password: 'd', gone: 'e', reused: 'f' }
  const [out, all, others, password, gone, reused] = await Promise.all(Object.values(people).map(app.register))
  dbOf(app.server).sessions.endedOf = () => Promise.reject(new Error('away'))

  const { id } = (await others!.get('/user/sessions')).body.sessions[0]
  t.equal(codeOf(await out!.delete(`/user/sessions/${id}`)), '404 SESSION_NOT_FOUND', "another person's")
  t.equal(codeOf(await out!.delete('/user/logout')), '200')
  t.equal(codeOf(await all!.delete('/user/logout?scope=global')), '200')
  t.equal(codeOf(await others!.delete('/user/logout?scope=others')), '200')
  const changed = await password!.put('/user/password', { current_password: PASSWORD, new_password: NEW })
  t.equal(codeOf(changed), '200')
  t.equal(codeOf(await gone!.post('/user/delete', { password: PASSWORD })), '204')
  const { refresh_token } = reused!.tokens
  t.equal(codeOf(await app.anon.post('/user/refresh', { refresh_token })), '200')
  t.equal(codeOf(await app.anon.post('/user/refresh', { refresh_token })), '401 REFRESH_TOKEN_REUSED')

  for (const person of [out, all, password, gone, reused])
    t.equal(codeOf(await person!.get('/user/me')), '401 INVALID_TOKEN')
  t.equal(codeOf(await others!.get('/user/me')), '200', 'this one goes on')
  t.equal(codeOf(await app.as(changed).get('/user/me')), '200', 'and so does the new one')
})
