/**
 * The clients of examples/ as they stand, against the service on a real port: in Node.js, in Python, in a browser. The
 * service's clock moves while they run, so that their access token has expired without a wait.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createEngine } from './engines.ts'
import { startApp } from './helper.ts'
import { ROOT, start } from './process.ts'
import { need, skipWithout } from './programs.ts'
import { listen } from './raw.ts'
import { TOOLS, takeExample } from './taken.ts'

const TTL = 1
const AXIOS = join(TOOLS, 'axios')

interface Service {
  origin: string
  /** Each request with the status of its answer, counted. */
  seen: Record<string, number>
}

/** A service whose clock `moves` may advance at each request, before it is handled. */
async function serve(t: Test, settings: object, moves: (path: string, clock: { time: number }) => void) {
  const app = await startApp(t, createEngine(t, 'sqlite'), { ACCESS_TOKEN_TTL: String(TTL), ...settings })
  const service: Service = { origin: '', seen: {} }
  app.server.server.prependListener('request', ({ method, url = '' }: IncomingMessage, response: ServerResponse) => {
    moves(url, app.clock)
    response.on('finish', () => {
      const line = `${method} ${url} ${response.statusCode}`
      service.seen[line] = (service.seen[line] ?? 0) + 1
    })
  })
  service.origin = `http://127.0.0.1:${await listen(app.server)}`
  return { ...service, app }
}

/** The access token expires when the first `GET /user/me` was answered and the next request comes. */
function expiry() {
  let asked = 0
  return (path: string, clock: { time: number }) => {
    if (asked === 1) clock.time += TTL * 1000
    if (asked > 0 || path === '/user/me') asked++
  }
}

const EXAMPLES: Record<string, { skip?: string | false; command: (t: Test) => string[] }> = {
  fetch: { command: () => [process.execPath, 'examples/fetch/flow.js'] },
  axios: {
    skip: existsSync(AXIOS) ? false : 'not installed: axios',
    command: (t) => [process.execPath, join(takeExample(t, 'axios', { axios: AXIOS }), 'flow.js')],
  },
  // -B: leaves no compiled file beside the source.
  python: { skip: skipWithout('python'), command: () => [need('python'), '-B', 'examples/python/flow.py'] },
}

const PRINTED = `Logged in as ann
Waiting 1 s: then the access token has expired
4 calls at once, 4 answers
VALIDATION_FAILED /username: This does not have the expected form.
Logged out: UNAUTHENTICATED
`

const ASKED = {
  'POST /user/register 201': 1,
  'GET /user/me 200': 3,
  'GET /user/me 401': 3,
  'GET /user/sessions 401': 1,
  'GET /user/sessions 200': 1,
  'PATCH /user/me 401': 1,
  'PATCH /user/me 200': 1,
  'PATCH /user/me 400': 1,
  'POST /user/refresh 200': 1,
  'POST /user/logout 200': 1,
}

for (const [name, { skip = false, command }] of Object.entries(EXAMPLES)) {
  t.test(`examples/${name}`, { skip }, async (t) => {
    await t.test('refreshes once for all calls that met the expiry', async (t) => {
      const { origin, seen } = await serve(t, {}, expiry())
      const flow = start(t, [...command(t), origin])
      t.equal(await flow.ended, 0)
      t.equal(flow.stdout(), PRINTED)
      t.equal(flow.stderr(), '')
      t.strictSame(seen, ASKED)
    })

    await t.test(
      'logs in where the account is there, and a refresh whose answer was lost logs nobody out',
      async (t) => {
        const { origin, seen, app } = await serve(t, {}, expiry())
        await app.register('ann')
        let lost = 0
        app.server.server.prependListener('request', ({ url, socket }: IncomingMessage, response: ServerResponse) => {
          if (url !== '/user/refresh' || lost > 0) return
          lost++
          response.end = () => response.destroy() as never
          socket.once('close', () => lost++)
        })
        const flow = start(t, [...command(t), origin])
        t.equal(await flow.ended, 0, flow.stderr())
        t.equal(flow.stdout(), PRINTED)
        t.equal(lost, 2, 'the service has rotated and its answer did not arrive')
        const { 'POST /user/register 201': _, ...rest } = ASKED
        t.strictSame(seen, { ...rest, 'POST /user/register 409': 1, 'POST /user/login 200': 1 })
      },
    )
  })
}

/** What the browser loads: a page that registers ann, and two of it as tabs do, which ask at each turn and tell what they got. */
const pages = (origin: string): Record<string, string> => ({
  '/latchkey.js': readFileSync(join(ROOT, 'examples/fetch/latchkey.js'), 'utf8'),
  '/': `<!doctype html><body><script type="module">
    import { inLocalStorage, Latchkey } from '/latchkey.js'
    await new Latchkey('${origin}', inLocalStorage()).register(
      { username: 'ann', email: 'ann@example.com', password: 'correct horse battery' })
    document.body.append(...[1, 2].map(() => Object.assign(document.createElement('iframe'), { src: '/tab' })))
  </script>`,
  '/tab': `<!doctype html><script type="module">
    import { inLocalStorage, Latchkey } from '/latchkey.js'
    const latchkey = new Latchkey('${origin}', inLocalStorage())
    const ask = () => latchkey.call('GET', '/user/me').then(({ username }) => username, (error) => error.code)
    const turn = async (told) => (await fetch('/turn', { method: 'POST', body: told })).json()
    let told = ''
    while (await turn(told)) told = String(await Promise.all([ask(), ask(), ask()]))
  </script>`,
})

t.test('two tabs of a browser share a session', { skip: skipWithout('chromium') }, async (t) => {
  // Seconds that pass before each turn: an expiry, one within REFRESH_GRACE, and two beyond it.
  const turns = [0, TTL, TTL, 31, 31]
  const told: string[] = []
  const refreshes: number[] = []
  const waiting: ServerResponse[] = []
  let finish = () => {}
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })

  const web = createServer(async (request, response) => {
    const text = pages(service.origin)[request.url ?? '']
    if (text !== undefined) return response.setHeader('content-type', typeOf(request.url)).end(text)
    if (request.url !== '/turn') return response.writeHead(404).end()
    for await (const part of request) told.push(String(part))
    // Both begin at once.
    if (waiting.push(response) < 2) return undefined
    refreshes.push(service.seen['POST /user/refresh 200'] ?? 0)
    const seconds = turns.shift()
    if (seconds !== undefined) await service.app.advance(seconds)
    for (const tab of waiting.splice(0))
      tab.setHeader('content-type', 'application/json').end(String(seconds !== undefined))
    if (seconds === undefined) finish()
    return undefined
  })
  await new Promise<void>((resolve) => void web.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void web.close())
  const page = `http://127.0.0.1:${(web.address() as AddressInfo).port}`
  const service = await serve(t, { CORS_ORIGINS: page }, () => {})

  const folder = mkdtempSync(join(tmpdir(), 'latchkey-browser-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const browser = start(t, [need('chromium'), '--headless=new', '--no-sandbox', `--user-data-dir=${folder}`, page])
  await Promise.race([finished, browser.ended])

  t.strictSame(told, Array(10).fill('ann,ann,ann'), 'nobody was logged out')
  const each = refreshes.slice(1).map((count, turn) => count - refreshes[turn]!)
  t.equal(each[0], 0, 'nothing has expired yet')
  for (const count of each.slice(1)) t.ok(count === 1 || count === 2, 'at most one refresh a tab')
  t.equal(service.seen['POST /user/refresh 401'], undefined)
})

const typeOf = (path = '') => (path.endsWith('.js') ? 'text/javascript' : 'text/html')
