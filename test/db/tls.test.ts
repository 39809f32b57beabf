/** TLS to the database: what each ssl-mode accepts and refuses, how the start says so, and what comes later. */
import { once } from 'node:events'
import { copyFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import tls from 'node:tls'
import Fastify from 'fastify'
import mysql from 'mysql2/promise'
import t, { type Test } from 'tap'
import { openMysql } from '../../plugins/db/mysql.ts'
import type { MysqlAddress } from '../../plugins/db/mysql-tls.ts'
import { databaseAddress } from '../../schemas/config.ts'
import { type Certificates, makeCertificates } from '../certificates.ts'
import { createEngine } from '../engines.ts'
import { openApp } from '../helper.ts'
import { ownMariadb } from '../mariadb.ts'
import { bearer, node, register, serve, settingsOf, until } from '../process.ts'
import { skipWithout } from '../programs.ts'

const UNAVAILABLE = { code: 'UNAVAILABLE' }
const BOTH = 'DNS:localhost,IP:127.0.0.1'

/** One for each server that a client may meet. */
async function certificatesOf(t: Test): Promise<Certificates> {
  const made = await makeCertificates(t)
  made.authority('ca')
  made.authority('other')
  await made.server('good', 'ca', BOTH)
  await made.server('name', 'ca', 'DNS:localhost')
  await made.server('address', 'ca', 'IP:127.0.0.1')
  await made.server('elsewhere', 'ca', 'DNS:db.example.com')
  // As MySQL makes them for itself.
  await made.server('nameless', 'ca')
  await made.server('foreign', 'other', BOTH)
  await made.server('expired', 'ca', BOTH, '20200102000000Z')
  await writeFile(made.file('both.pem'), (await made.read('other.pem')) + (await made.read('ca.pem')))
  return made
}

/** A MariaDB that can show any of these certificates. */
async function startServer(t: Test, { file }: Certificates) {
  await copyFile(file('good.pem'), file('shown.pem'))
  const mariadb = await ownMariadb(t, [`--ssl-cert=${file('shown.pem')}`, `--ssl-key=${file('server.key')}`])
  const url = await mariadb.databaseUrl()
  const admin = await mysql.createConnection({ uri: mariadb.url, ssl: { rejectUnauthorized: false } })
  t.teardown(() => admin.destroy())
  return {
    ...mariadb,
    url,
    admin,
    show: async (name: string) => {
      await copyFile(file(`${name}.pem`), file('shown.pem'))
      await admin.query('FLUSH SSL')
    },
    /** Ends all connections but the test's own. */
    cut: async () => {
      const others = 'SELECT id FROM information_schema.processlist WHERE user = ? AND id <> CONNECTION_ID()'
      const [rows] = await admin.query<mysql.RowDataPacket[]>(others, ['latchkey'])
      for (const { id } of rows) await admin.query(`KILL ${id}`).catch(() => {})
    },
  }
}

/** Opens the engine; it may not wait at all. */
async function open(t: Test, url: string, { patienceMs = 0, maxWaitMs = 5000 } = {}) {
  const said: string[] = []
  const app = Fastify()
  app.log.warn = ((message: string) => said.push(message)) as typeof app.log.warn
  t.teardown(() => app.close())
  const engine = await openMysql(app, databaseAddress(url) as MysqlAddress, { maxWaitMs, poolSize: 1 }, patienceMs)
  return { app, engine, said }
}

const version = async (t: Test, url: string) =>
  open(t, url).then(
    async ({ engine }) => {
      const rows = await engine.all<{ Value: string }>("SHOW SESSION STATUS LIKE 'Ssl_version'")
      return rows[0]?.Value
    },
    (error: Error) => error.message,
  )

/**
 * A proxy before the server. A client that asks for TLS comes to `meet` in the server's stead; where there is none it goes
 * on to the server.
 */
async function between(t: Test, port: number, meet: () => ((socket: Socket) => void) | undefined): Promise<number> {
  const proxy = createServer((socket) => {
    const there = connect(port, '127.0.0.1')
    for (const one of [socket, there]) one.on('error', () => {})
    there.once('data', async (greeting) => {
      socket.write(greeting)
      // MySQL's request for TLS; what follows is TLS itself.
      let asked: Buffer | null = null
      while (asked === null) {
        await once(socket, 'readable')
        asked = socket.read(36)
      }
      const met = meet()
      if (met) return void [there.destroy(), met(socket)]
      there.write(asked)
      return void socket.pipe(there).pipe(socket)
    })
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => proxy.close())
  return (proxy.address() as AddressInfo).port
}

/** A server that says one thing to everyone, in MySQL's form of an error. */
async function refusing(t: Test, errno: number, message: string): Promise<number> {
  const text = Buffer.from(`#08004${message}`)
  const head = Buffer.from([text.length + 3, 0, 0, 0, 0xff, errno & 0xff, errno >> 8])
  const server = createServer((socket) => socket.on('error', () => {}).end(Buffer.concat([head, text])))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

t.test('TLS', { skip: skipWithout('mariadb', 'openssl') }, async (t) => {
  const certificates = await certificatesOf(t)
  const { file } = certificates
  const server = await startServer(t, certificates)
  const at = (parameters: string, host = 'localhost', port = server.port) =>
    `${server.url.replace(/127\.0\.0\.1:\d+/, `${host}:${port}`)}?${parameters}`
  const checked = (mode: string, ca = 'ca') => `ssl-mode=${mode}&ssl-ca=${file(`${ca}.pem`)}`

  await t.test('each mode takes what it should and refuses the rest, at once and in a sentence', async (t) => {
    const fine = /^TLSv1\.[23]$/
    const where = `^The database at (localhost|127\\.0\\.0\\.1):${server.port} shows a certificate`
    const expired = new RegExp(`${where} that is out of its time \\(certificate has expired\\): renew it`)
    const untrusted = new RegExp(`${where} that cannot be trusted \\(.*\\): put its authority into /.*\\.pem\\.$`)
    const unknown = new RegExp(`${where} that cannot be trusted \\(.*\\): name the file of its authority by ssl-ca\\.$`)
    const notFor = (names: string, host: string) => new RegExp(`${where} for ${names}, not for ${host}: write the name`)
    const [required, ca, identity] = ['ssl-mode=required', checked('verify_ca'), checked('verify_identity')]
    const cases: [shown: string, parameters: string, host: string, outcome: RegExp][] = [
      ['good', '', 'localhost', /^$/],
      ['good', 'ssl-mode=disabled', 'localhost', /^$/],
      ['good', required, 'localhost', fine],
      ['good', ca, 'localhost', fine],
      ['good', identity, 'localhost', fine],
      ['good', identity, '127.0.0.1', fine],
      ['good', checked('verify_identity', 'both'), 'localhost', fine],
      ['good', checked('verify_identity', 'other'), 'localhost', untrusted],
      ['good', checked('verify_ca', 'other'), 'localhost', untrusted],
      ['good', 'ssl-mode=verify_identity', 'localhost', unknown],
      ['good', 'ssl-mode=verify_identity', 'localhost', unknown],
      ['name', identity, 'localhost', fine],
      // mysql2 leaves the address out, and Node.js then looks for localhost.
      ['name', identity, '127.0.0.1', notFor('DNS:localhost', '127\\.0\\.0\\.1')],
      ['address', identity, '127.0.0.1', fine],
      ['address', identity, 'localhost', notFor('IP Address:127\\.0\\.0\\.1', 'localhost')],
      ['elsewhere', ca, 'localhost', fine],
      ['elsewhere', ca, '127.0.0.1', fine],
      ['elsewhere', identity, 'localhost', notFor('DNS:db\\.example\\.com', 'localhost')],
      ['elsewhere', identity, '127.0.0.1', notFor('DNS:db\\.example\\.com', '127\\.0\\.0\\.1')],
      ['nameless', ca, 'localhost', fine],
      ['nameless', identity, 'localhost', notFor('server', 'localhost')],
      ['foreign', required, 'localhost', fine],
      ['foreign', ca, 'localhost', untrusted],
      ['foreign', identity, 'localhost', untrusted],
      ['foreign', checked('verify_identity', 'both'), 'localhost', fine],
      ['expired', required, 'localhost', fine],
      ['expired', ca, 'localhost', expired],
      ['expired', identity, 'localhost', expired],
    ]
    let shown = 'good'
    for (const [certificate, parameters, host, outcome] of cases) {
      if (certificate !== shown) await server.show(certificate)
      shown = certificate
      t.match(await version(t, at(parameters, host)), outcome, `${certificate}, ${parameters || 'nothing'}, ${host}`)
    }
    await server.show('good')
  })

  await t.test('a server that demands TLS is served by it, and said to be so without', async (t) => {
    await server.admin.query('SET GLOBAL require_secure_transport = ON')
    const without = node(t, ['dist/server.js'], settingsOf(server.url))
    // What Node.js itself trusts is what the process was started with.
    const trusting = serve(t, at('ssl-mode=verify_identity'), { NODE_EXTRA_CA_CERTS: file('ca.pem') })
    const app = await openApp(t, settingsOf(at('ssl-mode=required')))
    const ann = await app.register('ann')
    t.match(await ann.get('/user/me'), { status: 200, body: { username: 'ann' } })
    const { ask } = await trusting
    const bob = await register(ask)
    t.match(await ask('GET /user/me', undefined, bearer(bob)), { status: 200, body: bob.user })
    t.equal(await without.ended, 1)
    const told = `The database at 127.0.0.1:${server.port} refuses this user or has no database ${server.url.split('/').at(-1)} (ER_ACCESS_DENIED_ERROR); if it demands TLS, add ssl-mode=verify_identity to DATABASE_URL.\n`
    t.equal(without.stderr(), told)
    await server.admin.query('SET GLOBAL require_secure_transport = OFF')
  })

  await t.test(
    'a certificate that goes bad later is 503, with the reason in the log, until it is good again',
    async (t) => {
      const service = await serve(t, at(checked('verify_identity')), { DB_POOL_SIZE: '2' })
      const { refresh_token } = await register(service.ask)
      const refresh = () => service.ask('POST /user/refresh', { refresh_token })
      const reasons = { expired: 'certificate has expired', elsewhere: "not match certificate's altnames" }
      for (const [certificate, reason] of Object.entries(reasons)) {
        await server.show(certificate)
        await server.cut()
        // More often than the pool has places: a connection that is refused must give its own back.
        for (const _ of [1, 2, 3, 4, 5]) t.match(await refresh(), { status: 503, body: UNAVAILABLE })
        const line = await service.line(new RegExp(`"route":"/user/refresh".*${reason}`))
        t.match(line, { level: 40, err: { code: 'HANDSHAKE_SSL_ERROR', message: reason } })
        t.notMatch(service.stdout(), /subjectaltname|BEGIN CERT|"raw"/, 'but not the certificate')
        await server.show('good')
        await until(async () => (await refresh()).status === 200)
      }
    },
  )

  await t.test('a silent server holds no connection', async (t) => {
    const sockets = () => process.getActiveResourcesInfo().filter((name) => /TCPSocketWrap|TLSWrap/.test(name)).length
    const before = sockets()
    const { engine } = await open(t, at(checked('verify_ca')), { maxWaitMs: 300 })
    await engine.all('SELECT 1')
    t.ok(sockets() > before)
    server.pause()
    await t.rejects(engine.all('SELECT 2'), UNAVAILABLE)
    // The driver alone would wait for the server to say good-bye.
    await until(async () => sockets() <= before)
    server.resume()
    const answers = async () => (await engine.all('SELECT 3').catch(() => [])).length === 1
    await until(answers)
  })

  await t.test('a server that goes away in the middle is waited for', async (t) => {
    const ends = [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]
    const port = await between(t, server.port, () => ends.shift())
    const { engine, said } = await open(t, at(checked('verify_ca'), 'localhost', port), { patienceMs: 20_000 })
    t.strictSame(await engine.all('SELECT 1 AS one'), [{ one: 1 }])
    t.strictSame(ends, [])
    t.match(said, [/^The database at localhost:\d+ does not answer yet \(HANDSHAKE_SSL_ERROR\); waiting up to 20 s\.$/])
  })

  await t.test('TLS older than 1.2 is refused, even where Node.js would take it', async (t) => {
    const { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS } = tls
    t.teardown(() => Object.assign(tls, { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS }))
    const lax = { ciphers: 'ALL:@SECLEVEL=0', minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } as const
    Object.assign(tls, { DEFAULT_MIN_VERSION: lax.minVersion, DEFAULT_CIPHERS: lax.ciphers })
    const own = { cert: await certificates.read('good.pem'), key: await certificates.read('server.key') }
    let taken = 0
    const old = (socket: Socket) => {
      const secure = new tls.TLSSocket(socket, { isServer: true, ...lax, ...own })
      secure.on('secure', () => taken++).on('error', () => socket.destroy())
    }
    const port = await between(t, server.port, () => old)
    await t.rejects(open(t, at('ssl-mode=required', 'localhost', port)), {
      message:
        /^The database at localhost:\d+ offers no TLS that is good enough \(.*\): it must speak version 1\.2 or newer\.$/,
    })
    t.equal(taken, 0)
  })
})

t.test('MySQL says by a number of its own that it demands TLS', async (t) => {
  const port = await refusing(t, 3159, 'Connections using insecure transport are prohibited.')
  await t.rejects(open(t, `mysql://u:canary@127.0.0.1:${port}/name`), {
    message: `The database at 127.0.0.1:${port} demands TLS: add ssl-mode=verify_identity to DATABASE_URL.`,
  })
})

t.test('a server without TLS', { skip: process.env.TEST_MYSQL_URL ? false : 'no MariaDB server' }, async (t) => {
  const url = await createEngine(t, 'mariadb').databaseUrl()
  for (const mode of ['required', 'verify_identity'])
    await t.rejects(open(t, `${url}?ssl-mode=${mode}`), {
      message: `The database at ${new URL(url).host} offers no TLS, and ssl-mode=${mode} demands it: give the server a certificate (ssl_cert and ssl_key).`,
    })
})

t.test('the file of ssl-ca is read once more, and may be gone by then', async (t) => {
  await t.rejects(open(t, 'mysql://u:canary@localhost/name?ssl-mode=verify_ca&ssl-ca=/nonexistent/ca.pem'), {
    message: 'DATABASE_URL has ssl-ca=/nonexistent/ca.pem, which cannot be read (ENOENT).',
  })
})
