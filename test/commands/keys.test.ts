/** `latchkey keys`, as people run it: beside a service that serves. */
import { createPublicKey } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createEngine } from '../engines.ts'
import { headerOf } from '../helper.ts'
import { bearer, node, register, serve, settingsOf, until } from '../process.ts'

const SECRET = 'another secret of this test: thirty-two bytes or more'

type Settings = Record<string, string | undefined>

interface Row {
  kid: string
  state: string
  signs_at: string | null
}

/** The command line on this database. */
function commandsOn(t: Test, url: string) {
  const run = async (args: string[], env: Settings = {}) => {
    const running = node(t, ['dist/cli.js', 'keys', ...args], { ...settingsOf(url), ...env })
    return { code: await running.ended, stdout: running.stdout(), stderr: running.stderr() }
  }
  /** What it prints, where all is well. */
  const says = async (args: string[], env?: Settings) => {
    const { code, stdout, stderr } = await run(args, env)
    t.strictSame({ code, stderr }, { code: 0, stderr: '' }, args.join(' '))
    return stdout
  }
  const list = async (): Promise<Row[]> => JSON.parse(await says(['list', '--json'])).keys
  return { run, says, list }
}

t.test('latchkey keys, beside a service', async (t) => {
  const url = await createEngine(t, 'sqlite').databaseUrl()
  const service = await serve(t, url)
  const keys = commandsOn(t, url)
  const published = async (): Promise<string[]> =>
    (await service.ask('GET /.well-known/jwks.json')).body.keys.map(({ kid }: Row) => kid)
  const [signing, next] = await published()
  const ann = await register(service.ask)

  t.match(await keys.list(), [
    { kid: next, alg: 'ES256', state: 'next', signs_at: null, published_until: null },
    { kid: signing, alg: 'ES256', state: 'signing', signs_at: /^\d{4}-.*Z$/, published_until: null },
  ])
  const [head = '', ...rows] = (await keys.says(['list'])).trimEnd().split('\n')
  t.match(head, /^KID +ALG +STATE +CREATED +SIGNS FROM +PUBLISHED UNTIL$/)
  t.match(rows, [
    /^\S{43} {2}ES256 {2}next {5}[\d:TZ-]{20} {2}- {21}-$/,
    /^\S{43} {2}ES256 {2}signing {2}[\d:TZ-]{20} {2}[\d:TZ-]{20} {2}-$/,
  ])

  t.match(await keys.says(['rotate']), `Key ${next} signs from 20`)
  const [waiting, appointed] = (await keys.list()) as [Row, Row]
  t.match([waiting, appointed], [{ state: 'next' }, { kid: next, state: 'appointed' }])
  t.match(await keys.says(['rotate']), `Key ${next} is to sign from ${appointed.signs_at} on already`)
  await until(async () => (await published()).length === 3)
  t.equal((await published())[0], signing, 'not yet')
  const third = waiting.kid

  t.match(await keys.says(['revoke', signing!]), `Key ${signing} is gone: within 2 s`)
  await until(async () => (await service.ask('GET /user/me', undefined, bearer(ann))).status === 401)
  t.equal((await published())[0], next, 'and the appointed one signs at once')
  const { body } = await service.ask('POST /user/refresh', { refresh_token: ann.refresh_token })
  t.equal(headerOf(body.access_token).kid, next)
  t.match(await keys.run(['revoke', 'unknown']), {
    code: 1,
    stdout: '',
    stderr: 'There is no key unknown. See latchkey keys list.\n',
  })
  t.notMatch(await keys.says(['list']), signing!)

  const jwks = JSON.parse(await keys.says(['export']))
  t.strictSame(jwks, (await service.ask('GET /.well-known/jwks.json')).body, 'as the service publishes it')
  const pems = (await keys.says(['export', '--pem'])).split(/(?<=-----END PUBLIC KEY-----\n)/)
  const xOf = (pem: string) => createPublicKey(pem).export({ format: 'jwk' }).x
  t.strictSame(
    pems.map(xOf),
    jwks.keys.map(({ x }: { x: string }) => x),
  )

  const folder = mkdtempSync(join(tmpdir(), 'latchkey-keys-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dir = join(folder, 'new/pems')
  mkdirSync(dir, { recursive: true })
  for (const name of ['somebody-elses.pem', `${signing}.pem`, `${signing}.txt`]) writeFileSync(join(dir, name), 'x')
  t.equal(
    await keys.says(['export', '--dir', dir]),
    `2 keys are in ${dir}; 1 that are no longer published were removed.\n`,
  )
  const names = [`${next}.pem`, `${third}.pem`]
  t.strictSame(readdirSync(dir).sort(), [...names, `${signing}.txt`, 'somebody-elses.pem'].sort())
  t.strictSame(
    names.map((name) => readFileSync(join(dir, name), 'utf8')),
    pems,
  )
  t.match(await keys.says(['export', '--dir', join(folder, 'other')]), '2 keys are in', 'a folder is made')
  t.equal(service.stderr(), '')
})

t.test('latchkey keys reseal', async (t) => {
  const url = await createEngine(t, 'sqlite').databaseUrl()
  const keys = commandsOn(t, url)
  const old = settingsOf(url).SECRET
  const before = await keys.list()
  const anew = (count: number) => `${count} of 2 keys were sealed anew: all are under the first entry of SECRET now.\n`
  t.equal(await keys.says(['reseal']), anew(0))
  t.equal(await keys.says(['reseal'], { SECRET: `${old},${SECRET}` }), anew(0))
  t.equal(await keys.says(['reseal'], { SECRET: `${SECRET},${old}` }), anew(2))
  t.equal(await keys.says(['reseal'], { SECRET: `${SECRET},${old}` }), anew(0))
  t.strictSame(JSON.parse(await keys.says(['list', '--json'], { SECRET })).keys, before, 'the old one is not needed')
  const refused = await keys.run(['reseal'])
  t.match(refused, {
    code: 1,
    stdout: '',
    stderr: /^The signing key \S{43} in the database does not open under SECRET\. [^\n]+\n$/,
  })
})

t.test('latchkey keys with HS256 says that there are none', async (t) => {
  const url = await createEngine(t, 'sqlite').databaseUrl()
  const keys = commandsOn(t, url)
  const commands = [['list'], ['revoke', 'x']]
  for (const args of commands) {
    const { code, stdout, stderr } = await keys.run(args, { JWT_ALG: 'HS256', JWT_SECRET: SECRET })
    t.strictSame({ code, stdout }, { code: 1, stdout: '' })
    t.equal(stderr, 'There are no signing keys: with JWT_ALG=HS256 the one JWT_SECRET signs.\n', args.join(' '))
  }
})

t.test('the command line', async (t) => {
  const { run } = commandsOn(t, 'sqlite:/nonexistent/for/this/test.db')
  const commands = ['list', 'rotate', 'revoke', 'reseal', 'export'].map(async (command) => {
    const [told, extra] = await Promise.all([run([command, '--help']), run([command, 'a', 'b'])])
    t.match(told, { code: 0, stderr: '', stdout: `Usage: latchkey keys ${command}` })
    t.match(told.stdout, new RegExp(`Examples:\n.*latchkey keys ${command}`))
    t.match(extra, { code: 2, stdout: '', stderr: /too many arguments for/ })
  })
  await Promise.all(commands)
  t.match(await run(['--help']), { code: 0, stderr: '', stdout: /Examples:\n {2}latchkey keys list/ })
  t.match(await run([]), { code: 2, stdout: '', stderr: /Usage: latchkey keys/ })
  t.match(await run(['rotat']), { code: 2, stdout: '', stderr: /Did you mean rotate\?/ })
  t.match(await run(['revoke']), { code: 2, stdout: '', stderr: "missing required argument 'kid'" })
})
