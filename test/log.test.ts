/** What the log never holds: passwords, tokens, names, addresses, query strings, whatever was sent or is secret. */
import mysql from 'mysql2/promise'
import t, { type Test } from 'tap'
import type { TokenAnswer } from '../schemas/tokens.ts'
import { createEngine } from './engines.ts'
import { randomName } from './helper.ts'
import { ownMariadb } from './mariadb.ts'
import { bearer, type Service, serve, until, wire } from './process.ts'
import { skipWithout } from './programs.ts'

const skip = skipWithout('mariadb')

/** Everything that a log must not hold; each is somewhere in what the service was sent or knows. */
async function talk(t: Test, { ask, port }: Service, whisper: (text: string) => string): Promise<void> {
  const name = (kind: string) => whisper(`${kind}${randomName()}`)
  const email = () => `${name('mail')}@${name('host')}.example`
  const agent = { 'user-agent': name('agent') }
  const tokens = ({ body }: { body: TokenAnswer }) => {
    whisper(body.access_token)
    whisper(body.refresh_token)
    return body
  }
  const expect = async (status: number, call: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await ask(call, body, { ...agent, ...headers })
    t.equal(answer.status, status, call)
    return answer
  }
  const password = name('password')
  const ann = { username: name('name'), email: email(), password }
  const first = tokens(await expect(201, 'POST /user/register', ann))
  await expect(409, 'POST /user/register', ann)
  await expect(400, 'POST /user/register', { ...ann, [name('member')]: name('value') })
  await expect(400, 'POST /user/register', { ...ann, email: name('no-mail'), username: `${name('bad')}@` })
  const rivals = { username: name('name'), email: email(), password: name('password') }
  await Promise.all([1, 2, 3, 4].map(() => ask('POST /user/register', rivals, agent)))
  await expect(401, 'POST /user/login', { email: ann.email, password: name('password') })
  await expect(401, 'POST /user/login', { email: email(), password })
  await expect(400, 'POST /user/login', `{"email":"${email()}","password":"${name('password')}",}`)
  await expect(400, 'POST /user/login', `{"email":"${email()}","email":"${email()}","password":"x"}`)
  await expect(415, 'POST /user/login', name('text'), { 'content-type': `text/${name('type')}` })
  await expect(413, 'POST /user/login', { email: email(), password: name('password').repeat(4000) })
  const second = tokens(await expect(200, 'POST /user/login', { email: ann.email, password }))
  tokens(await expect(200, 'POST /user/refresh', { refresh_token: first.refresh_token }))
  await expect(401, 'POST /user/refresh', { refresh_token: `lkr_${name('token')}` })
  await expect(200, `GET /user/me?${name('query')}=${name('value')}`, undefined, bearer(first))
  await expect(401, `GET /user/me?access_token=${name('query')}`, undefined, {
    authorization: `Bearer ${name('token')}`,
  })
  await expect(401, 'GET /user/me', undefined, { authorization: `Basic ${name('basic')}`, cookie: name('cookie') })
  await expect(404, `GET /${name('path')}?${name('query')}`)
  await expect(405, `PUT /user/login?${name('query')}`, { password: name('password') })
  await expect(404, `DELETE /user/sessions/${name('id')}?${name('query')}`, undefined, bearer(first))
  await expect(400, `DELETE /user/logout?scope=${name('query')}`, undefined, bearer(first))
  await expect(400, `GET /%zz${name('path')}?${name('query')}`)
  await expect(200, 'PATCH /user/me', { username: name('name') }, bearer(first))
  const change = { current_password: password, new_password: name('password') }
  await expect(403, 'PUT /user/password', { ...change, current_password: name('password') }, bearer(first))
  const third = tokens(await expect(200, 'PUT /user/password', change, bearer(first)))
  await expect(401, 'POST /user/refresh', { refresh_token: second.refresh_token })
  await expect(200, 'POST /user/logout', { refresh_token: second.refresh_token })
  await expect(204, 'POST /user/delete', { password: change.new_password }, bearer(third))
  await expect(401, 'GET /user/me', undefined, bearer(third))
  const raw = await wire(t, port)
  raw.write(`GET /${name('path')}?${name('query')} HTTP/9.9\r\n${name('header')}\x01: ${name('value')}\r\n\r\n`)
  await raw.closed
}

function holdSilence(t: Test, service: Service, whispers: Set<string>): void {
  const printed = service.stdout() + service.stderr()
  for (const text of whispers) if (printed.includes(text)) t.fail(`the log holds ${text}`)
  t.ok(whispers.size > 40 && printed.includes('"refused"'), 'it was told much and logged something')
}

t.test('the log holds nothing that was sent (sqlite)', async (t) => {
  const whispers = new Set<string>()
  const whisper = (text: string) => {
    whispers.add(text)
    return text
  }
  const SECRET = whisper(`canary-secret-${randomName().repeat(4)}`)
  const service = await serve(t, await createEngine(t, 'sqlite').databaseUrl(), { SECRET, LOG_LEVEL: 'trace' })
  await talk(t, service, whisper)
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
  holdSilence(t, service, whispers)
})

t.test('the log holds nothing that was sent, nor of a database that fails (mariadb)', { skip }, async (t) => {
  const mariadb = await ownMariadb(t)
  const whispers = new Set<string>(['canary-of-mysql'])
  const whisper = (text: string) => {
    whispers.add(text)
    return text
  }
  const url = new URL(await mariadb.databaseUrl())
  const root = await mysql.createConnection(mariadb.url)
  await root.query("CREATE USER canary@'%' IDENTIFIED BY 'canary-of-mysql'")
  await root.query("GRANT ALL ON *.* TO canary@'%'")
  Object.assign(url, { username: 'canary', password: 'canary-of-mysql' })
  const service = await serve(t, String(url), { LOG_LEVEL: 'trace', DB_MAX_WAIT_MS: '500' })
  await talk(t, service, whisper)
  const name = (kind: string) => whisper(`${kind}${randomName()}`)
  const everything = async (status: number) => {
    const ann = { username: name('name'), email: `${name('mail')}@example.com`, password: name('password') }
    t.match(await service.ask('POST /user/register', ann), { status })
    t.match(await service.ask('POST /user/login', { email: ann.email, password: ann.password }), { status })
  }
  mariadb.pause()
  await everything(503)
  mariadb.resume()
  await root.end()
  await mariadb.kill()
  await everything(503)
  await mariadb.restart()
  // A table that somebody has broken: the one thing that is a 500.
  const breaker = await mysql.createConnection({ uri: String(url) })
  await breaker.query('ALTER TABLE users MODIFY username VARCHAR(2) NOT NULL')
  await breaker.end()
  const ann = { username: name('name'), email: `${name('mail')}@example.com`, password: name('password') }
  await until(async () => (await service.ask('POST /user/register', ann)).status === 500)
  t.match(await service.line(/refused a statement: errno \d+/), { code: 'INTERNAL', level: 50 })
  service.signal('SIGTERM')
  t.equal(await service.ended, 0)
  holdSilence(t, service, whispers)
})
