/**
 * deploy/compose.yaml: what it promises for each container, and the same parts started as it says, without an engine: the
 * real script, MariaDB, service and nginx.
 */
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import mysql from 'mysql2/promise'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { ownMariadb } from '../mariadb.ts'
import { startNginx } from '../nginx.ts'
import { bearer, client, listening, node, ROOT, register, settingsOf } from '../process.ts'
import { skipWithout } from '../programs.ts'
import { pairs, readDockerfile, textsOf } from './dockerfile.ts'
import { stopWithin, unknownSettings } from './settings.ts'

interface Service {
  image: string
  build?: string
  user?: string
  command?: string[]
  environment?: Record<string, string>
  depends_on?: Record<string, { condition: string }>
  networks?: Record<string, { ipv4_address?: string }>
  ports?: string[]
  stop_grace_period?: string
  volumes: string[]
  [name: string]: unknown
}

const DEPLOY = join(ROOT, 'deploy')
const file = parse(readFileSync(join(DEPLOY, 'compose.yaml'), 'utf8'), { merge: true })
const services: Record<'setup' | 'db' | 'latchkey' | 'nginx', Service> = file.services
const { setup, db, latchkey, nginx } = services
const image = readDockerfile(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')).at(-1)!
const imageEnv = Object.assign({}, ...textsOf(image, 'ENV').map(pairs))

t.test('no container can do or take more than it needs', async (t) => {
  for (const [name, service] of Object.entries(services)) {
    t.match(service, { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] }, name)
    t.match(service, { mem_limit: '512m', pids_limit: 200, logging: { driver: 'local' } }, name)
    t.equal(service.restart, service === setup ? 'no' : 'unless-stopped', name)
    t.notOk(service.privileged, name)
    if (service !== setup) t.notOk(service.cap_add, name)
    // An image's own user, where none stands here: that of ours, and that of nginx for those without rights.
    if (service === db) t.equal(service.user, '999:999')
  }
  t.strictSame(setup.cap_add, ['CHOWN'])
  t.strictSame(nginx.ports, ['127.0.0.1:8080:8080'], 'one port, for this machine alone')
  for (const service of [setup, db, latchkey]) t.notOk(service.ports)
})

t.test('secrets stand in files that only their readers have', async (t) => {
  for (const [name, { environment = {} }] of Object.entries(services))
    for (const key of Object.keys(environment))
      if (/PASSWORD|SECRET|DATABASE_URL|TOKEN/.test(key)) t.match(key, /_FILE$/, `${name}: ${key}`)
  const readers = (volume: string) =>
    Object.entries(services).flatMap(([name, { volumes }]) => (volumes.some((v) => v.startsWith(volume)) ? [name] : []))
  t.strictSame(readers('latchkey-secrets:'), ['setup', 'latchkey'])
  t.strictSame(readers('db-secrets:'), ['setup', 'db'])
  t.ok([...db.volumes, ...latchkey.volumes].filter((v) => /secrets:/.test(v)).every((v) => v.endsWith(':ro')))
})

t.test('each one waits for what it needs', async (t) => {
  const made = { setup: { condition: 'service_completed_successfully' } }
  t.strictSame(db.depends_on, made)
  t.strictSame(latchkey.depends_on, { ...made, db: { condition: 'service_healthy' } })
  t.strictSame(nginx.depends_on, { latchkey: { condition: 'service_healthy' } })
  t.ok(db.healthcheck && nginx.healthcheck)
  t.equal(textsOf(image, 'HEALTHCHECK').length, 1, "Latchkey's is the image's")
})

t.test('what Latchkey is told', async (t) => {
  const ofNode = ['NODE_ENV', 'NODE_OPTIONS']
  t.strictSame(unknownSettings({ ...latchkey.environment, ...imageEnv }), ofNode)
  t.equal(latchkey.environment!.TRUSTED_PROXIES, nginx.networks!.front!.ipv4_address)
  const grace = Number(latchkey.stop_grace_period!.replace(/s$/, ''))
  t.ok(grace > stopWithin(Number(imageEnv.SHUTDOWN_DELAY)), `${grace} s`)
  t.equal(resolve(DEPLOY, latchkey.build!), resolve(ROOT))
  t.strictSame(nginx.environment, { LISTEN: '8080', LATCHKEY: 'latchkey:3000' })
})

t.test('what it mounts from here is here', async (t) => {
  const mounted = Object.values(services).flatMap(({ volumes }) => volumes.filter((volume) => volume.startsWith('.')))
  t.equal(mounted.length, 2)
  for (const volume of mounted) t.ok(existsSync(join(DEPLOY, volume.split(':')[0]!)), volume)
  const named = Object.values(services).flatMap(({ volumes }) => volumes.map((volume) => volume.split(':')[0]!))
  t.strictSame(
    named.filter((name) => !name.startsWith('.') && !Object.hasOwn(file.volumes, name)),
    [],
  )
})

/** Runs the script as setup does. */
async function makeSecrets(t: Test, env: Record<string, string> = {}) {
  const folder = t.testdir()
  const [forLatchkey, forDb] = [join(folder, 'latchkey'), join(folder, 'db')]
  await Promise.all([mkdir(forLatchkey), mkdir(forDb)])
  const run = () =>
    void execFileSync('sh', [join(DEPLOY, 'secrets.sh'), forLatchkey, forDb], { env: { ...process.env, ...env } })
  run()
  const read = (name: string) => readFileSync(join(folder, name), 'utf8').trim()
  return { folder, run, read, all: () => readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort() }
}

t.test('the script makes each secret once, for its reader alone', { skip: skipWithout('openssl') }, async (t) => {
  const { folder, run, read, all } = await makeSecrets(t)
  const files = ['db/cert.pem', 'db/key.pem', 'db/password', 'db/root_password', 'latchkey/ca.pem']
  t.strictSame(all(), ['db', 'latchkey', ...files, 'latchkey/database_url', 'latchkey/secret'].sort())
  const secrets = all().filter((name) => name.includes('/'))
  for (const name of secrets) {
    const { mode, uid } = statSync(join(folder, name))
    t.equal(mode & 0o777, 0o400, name)
    if (process.getuid?.() === 0) t.equal(`${uid}`, (name.startsWith('db/') ? db.user! : '10001').split(':')[0], name)
  }
  const url = `mysql://latchkey:${read('db/password')}@db:3306/latchkey?ssl-mode=verify_identity&ssl-ca=/secrets/ca.pem`
  t.equal(read('latchkey/database_url'), url)
  for (const name of ['latchkey/secret', 'db/password', 'db/root_password']) t.match(read(name), /^[0-9a-f]{64}$/, name)
  t.equal(new Set([read('latchkey/secret'), read('db/password'), read('db/root_password')]).size, 3)
  const certificate = new X509Certificate(read('db/cert.pem'))
  t.ok(certificate.verify(new X509Certificate(read('latchkey/ca.pem')).publicKey))
  t.equal(certificate.checkHost('db'), 'db')
  t.equal(certificate.checkHost('localhost'), undefined)
  const before = secrets.map(read)
  run()
  t.strictSame(secrets.map(read), before, 'the next start finds them as they were')
})

t.test('its parts, started as it says', { skip: skipWithout('openssl', 'mariadb', 'nginx') }, async (t) => {
  t.match(db.environment, { MARIADB_DATABASE: 'latchkey', MARIADB_USER: 'latchkey' })
  // The server is called localhost here, and what lies in /secrets there lies in a folder.
  const made = await makeSecrets(t, { DB_HOST: 'localhost', SECRETS_AT: join(t.testdirName, 'latchkey') })
  const [demand, ...certificate] = db.command!.map((word) => word.replace('/secrets', join(made.folder, 'db')))
  const server = await ownMariadb(t, certificate)
  const root = await mysql.createConnection(server.url)
  await root.query('CREATE DATABASE latchkey')
  await root.query(`CREATE OR REPLACE USER compose IDENTIFIED BY '${made.read('db/password')}'`)
  await root.query('GRANT ALL ON latchkey.* TO compose')
  // Only now: what starts the server for the tests speaks to it without TLS.
  t.equal(demand, '--require-secure-transport=ON')
  await root.query('SET GLOBAL require_secure_transport = ON')
  await root.end()

  // As in the container: the URL and the secret come from files.
  const url = made.read('latchkey/database_url').replace(':3306', `:${server.port}`).replace('latchkey:', 'compose:')
  await t.rejects(mysql.createConnection(url.replace(/\?.*/, '')), /Access denied|insecure/, 'nobody comes without TLS')
  const service = await listening(
    node(t, ['dist/cli.js', 'serve'], {
      ...settingsOf(url),
      ...{ SECRET: '', SECRET_FILE: join(made.folder, 'latchkey/secret') },
      ...{ ISSUER: latchkey.environment!.ISSUER, TRUSTED_PROXIES: '127.0.0.1' },
    }),
  )
  const { origin } = await startNginx(t, service.port)
  const ask = client(`${origin}/latchkey`)
  const ann = await register(ask)
  t.match(await ask('GET /user/me', undefined, bearer(ann)), { status: 200, body: ann.user })
})
