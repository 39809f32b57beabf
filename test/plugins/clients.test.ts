/** SERVICE_CLIENTS: who may ask about tokens, by HTTP Basic or in the form (RFC 6749, section 2.3.1). */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import t, { type Test } from 'tap'
import { createEngine } from '../engines.ts'
import { codeOf, startApp, type TestApp } from '../helper.ts'

const URL = '/oauth/introspect'
const FEED = '/.well-known/revocations'
const SECRET = 's%41:ec=ret&"\\~'

const start = (t: Test, clients: string | undefined = `orders:${SECRET},orders:new,a.b_c~D-9:+/=`) =>
  startApp(t, createEngine(t, 'sqlite'), { SERVICE_CLIENTS: clients })

const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
const byBasic = (app: TestApp, text: string) => app.anon.form(URL, { token: 'x' }, basic(text))
const byForm = (app: TestApp, client_id: string, client_secret: string) =>
  app.anon.form(URL, { token: 'x', client_id, client_secret })
/** application/x-www-form-urlencoded, as RFC 6749 wants it even in Basic. */
const encoded = (text: string) => String(new URLSearchParams([[text, '']])).slice(0, -1)

t.test('each pair lets in, as sent or form-encoded', async (t) => {
  const app = await start(t)
  for (const [id, secret] of [
    ['orders', SECRET],
    ['orders', 'new'],
    ['a.b_c~D-9', '+/='],
  ] as const) {
    t.equal(codeOf(await byForm(app, id, secret)), '200', `${id} in the form`)
    t.equal(codeOf(await byBasic(app, `${id}:${secret}`)), '200', `${id} by Basic`)
    t.equal(codeOf(await byBasic(app, `${encoded(id)}:${encoded(secret)}`)), '200', `${id}, encoded`)
    t.equal(codeOf(await app.anon.get(FEED, basic(`${id}:${secret}`))), '200', `${id} at the list`)
  }
  const [, base64] = basic('orders:new').authorization.split(' ')
  for (const scheme of ['basic', 'BASIC', 'Basic  '])
    t.equal(codeOf(await app.anon.get(FEED, { authorization: `${scheme} ${base64}` })), '200', scheme)
})

t.test('nobody else', async (t) => {
  const app = await start(t)
  const wrong = [
    ...['orders:', ':new', ':', '', 'orders', 'new', 'orders:New', 'Orders:new', 'orders:new ', ' orders:new'],
    ...['orders:ne', 'orders:neww', 'orders:+/=', 'a.b_c~D-9:new', 'orders:new\0', 'orders:sA:ec=ret', 'orders:%'],
    ...[`orders:${SECRET.toLowerCase()}x`, 'orders:orders:new', 'orders%3Anew', 'orders::new'],
  ]
  for (const text of wrong) {
    const answer = await byBasic(app, text)
    if (text === '') t.equal(codeOf(answer), '401 UNAUTHENTICATED')
    else t.match(answer, { status: 401, body: { code: 'INVALID_CREDENTIALS', error: 'invalid_client' } }, text)
    const [id = '', ...secret] = text.split(':')
    const form = await byForm(app, id, secret.join(':'))
    t.match(form, { status: 401, body: { error: 'invalid_client' } }, `${text} in the form`)
  }
  for (const authorization of ['Basic', 'Basic !!!', 'Basic a b', 'Bearer x', 'Digest x', '', 'orders:new'])
    t.equal((await app.anon.form(URL, { token: 'x' }, { authorization })).status, 401, authorization)
  for (const members of [{}, { client_id: '' }, { client_id: '', client_secret: '' }])
    t.equal(codeOf(await app.anon.form(URL, { token: 'x', ...members })), '401 UNAUTHENTICATED')
  for (const members of [{ client_id: 'orders' }, { client_secret: 'new' }, { client_id: 'orders', client_secret: '' }])
    t.equal(codeOf(await app.anon.form(URL, { token: 'x', ...members })), '401 INVALID_CREDENTIALS')
  const query = `?client_id=orders&client_secret=new`
  t.equal(codeOf(await app.anon.form(URL + query, { token: 'x' })), '401 UNAUTHENTICATED', 'never in the address')
  t.equal(codeOf(await app.anon.form(URL, {})), '401 UNAUTHENTICATED', 'judged before anything else in the form')
  t.equal(codeOf(await app.anon.post(URL)), '401 UNAUTHENTICATED', 'without a body too')
  const ann = await app.register('ann')
  t.equal(codeOf(await ann.form(URL, { token: 'x' })), '401 UNAUTHENTICATED', 'a person is no service')
  const person = { token: 'x', client_id: 'orders', client_secret: 'new' }
  t.equal(codeOf(await ann.form(URL, person)), '401 UNAUTHENTICATED', 'nor a service that comes as one')
})

t.test('by one way at a time', async (t) => {
  const app = await start(t)
  const ask = (members: Record<string, string>) => app.anon.form(URL, { token: 'x', ...members }, basic('orders:new'))
  const cases: [members: Record<string, string>, field: string][] = [
    [{ client_id: 'orders', client_secret: 'new' }, '/client_secret'],
    [{ client_secret: 'x' }, '/client_secret'],
    [{ client_id: 'a.b_c~D-9' }, '/client_id'],
  ]
  for (const [members, field] of cases) {
    const answer = await ask(members)
    t.match(answer, { status: 400, body: { code: 'VALIDATION_FAILED', error: 'invalid_request' } })
    t.match(answer.body.details, [{ field, rule: 'oneOf' }])
  }
  t.equal(codeOf(await ask({ client_id: 'orders' })), '200', 'the same id says nothing else')
  t.equal(codeOf(await ask({ client_id: '', client_secret: '' })), '200', 'what is empty is left out')
})

t.test('without SERVICE_CLIENTS nobody gets in', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'), { SERVICE_CLIENTS: '' })
  for (const text of [':', 'orders:new', 'undefined:undefined']) {
    t.equal(codeOf(await byBasic(app, text)), '401 INVALID_CREDENTIALS')
    t.equal(codeOf(await app.anon.get(FEED, basic(text))), '401 INVALID_CREDENTIALS')
  }
  t.equal(codeOf(await byForm(app, 'orders', 'new')), '401 INVALID_CREDENTIALS')
  t.equal(codeOf(await app.anon.form(URL, { token: 'x' })), '401 UNAUTHENTICATED')
})

t.test('whatever is given is compared with all of them', async (t) => {
  const app = await start(t, 'a:1,b:2,c:3')
  const { timingSafeEqual } = crypto
  let compared = 0
  t.teardown(() => {
    crypto.timingSafeEqual = timingSafeEqual
    syncBuiltinESMExports()
  })
  crypto.timingSafeEqual = (one, other) => {
    compared++
    return timingSafeEqual(one, other)
  }
  syncBuiltinESMExports()
  const counts = new Map<string, Set<number>>([
    ['basic', new Set()],
    ['form', new Set()],
  ])
  for (const [id, secret] of [
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
    ['a', '3'],
    ['x', '1'],
    ['a', 'x'.repeat(1000)],
  ] as const) {
    compared = 0
    await app.anon.get(FEED, basic(`${id}:${secret}`))
    counts.get('basic')!.add(compared)
    compared = 0
    await byForm(app, id, secret)
    counts.get('form')!.add(compared)
  }
  t.strictSame(
    [...counts.values()].map((one) => [...one]),
    [[6], [3]],
  )
})
