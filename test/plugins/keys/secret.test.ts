/** Signing keys sealed under SECRET, the SECRET that is generated beside a SQLite file, and its rotation. */
import { execFile } from 'node:child_process'
import {
  chmodSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { readConfig } from '../../../config.ts'
import { keysOf } from '../../../plugins/keys/index.ts'
import { open, seal } from '../../../plugins/keys/seal.ts'
import { createSecrets, secretFile } from '../../../plugins/keys/secrets.ts'
import { makeKey } from '../../../plugins/keys/signing-key.ts'
import { createEngine, onEachEngine } from '../../engines.ts'
import { openApp, startApp } from '../../helper.ts'

const FIRST = 'the first secret of this test is long enough'
const SECOND = 'the second secret of this test is long enough'
const derived = (SECRET: string) => createSecrets(readConfig({ SECRET }))

t.test('seal and open', async (t) => {
  const [key, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const nonce = Buffer.alloc(12, 3)
  for (const text of ['', 'x', 'private key 한국 😀', 'x'.repeat(10_000)]) {
    const sealed = seal(text, 'kid', key, nonce)
    t.match(sealed, /^v1\.[\w-]+\.[\w-]*\.[\w-]+$/)
    t.equal(open(sealed, 'kid', [key]), text)
    t.equal(open(sealed, 'kid', [other, key]), text, 'under the second entry of a list')
    if (text.length > 1) t.notMatch(Buffer.from(sealed.split('.')[2]!, 'base64url').toString('latin1'), text)
  }
  const sealed = seal('text', 'kid', key, nonce)
  t.not(seal('text', 'kid', key, Buffer.alloc(12, 4)), sealed)
  t.equal(open(sealed, 'kid', [other]), undefined, 'another key')
  t.equal(open(sealed, 'kid', []), undefined, 'no key')
  for (const kid of ['', 'kid2', 'Kid', 'kid ']) t.equal(open(sealed, kid, [key]), undefined, `bound to its id: ${kid}`)
})

t.test('what was sealed does not open where a bit was changed', async (t) => {
  const key = Buffer.alloc(32, 1)
  const sealed = seal('text', 'kid', key, Buffer.alloc(12, 3))
  const [version = '', ...parts] = sealed.split('.')
  for (const [index, part] of parts.entries()) {
    const bytes = Buffer.from(part, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      const all = parts.map((other, i) => (i === index ? changed.toString('base64url') : other))
      if (open([version, ...all].join('.'), 'kid', [key]) !== undefined) t.fail(`part ${index}, bit ${bit}`)
    }
  }
  const [nonce, text, tag] = parts as [string, string, string]
  const short = Buffer.from(tag, 'base64url').subarray(0, 4).toString('base64url')
  const broken = [
    '',
    'v1',
    'v1.',
    'v1...',
    `v2.${nonce}.${text}.${tag}`,
    `${nonce}.${text}.${tag}`,
    `v1.${nonce}.${text}`,
    `v1.${nonce}.${text}.`,
    `v1.${nonce}.${text}.${short}`,
    `v1..${text}.${tag}`,
    `v1.${nonce}..${tag}`,
    `v1.${text}.${nonce}.${tag}`,
    sealed.slice(0, -1),
  ]
  for (const other of broken) t.equal(open(other, 'kid', [key]), undefined, other)
  t.equal(open(sealed, 'kid', [key]), 'text')
})

t.test('no id of a key looks like an option', async (t) => {
  const made = Array.from({ length: 500 }, () => makeKey('ES256', Buffer.alloc(32), Buffer.alloc(12)))
  for (const { kid } of await Promise.all(made)) t.match(kid, /^\w[\w-]{42}$/)
})

t.test('one key for each purpose and each SECRET', async (t) => {
  const purposes = ['signing-key-seal', 'refresh-token-mac'] as const
  const keys = [FIRST, SECOND].flatMap((secret) => purposes.flatMap((purpose) => derived(secret)(purpose)))
  t.equal(new Set(keys.map(String)).size, 4)
  t.ok(keys.every((key) => key.length === 32))
  t.strictSame(derived(`${FIRST},${SECOND}`)('signing-key-seal'), [keys[0], keys[2]], 'in the order of the list')
  // Whoever changes the derivation locks every installation out of its keys.
  t.equal(keys[0]!.toString('hex'), '2a185529739cfa9472a8776736a95fdcced3fdc88a13d65c18277fb5f6e73964')
})

onEachEngine(t, 'a database whose key does not open', async (t, engine) => {
  const app = await startApp(t, engine, { SECRET: FIRST })
  const rows = () => app.sql('SELECT * FROM signing_keys ORDER BY kid')
  const before = await rows()
  t.equal(before.length, 2)
  const { DATABASE_URL } = app.config
  // One process takes a SQLite file.
  await app.server.close()
  for (const SECRET of [SECOND, `${SECOND},${SECOND}`, FIRST.toUpperCase()]) {
    await t.rejects(openApp(t, { DATABASE_URL, SECRET }), /does not open under SECRET/, 'stops the start')
    t.strictSame(await rows(), before, 'and is as it was')
  }
  for (const SECRET of [FIRST, `${SECOND},${FIRST}`, `${FIRST},${SECOND}`]) {
    const again = await openApp(t, { DATABASE_URL, SECRET })
    t.strictSame(
      keysOf(again.server).set!.current(),
      keysOf(app.server).set!.current(),
      'it opens under any entry of a list',
    )
    await again.server.close()
  }
  const tampered = String(before[0]!.private_sealed).replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A'))
  await app.sql('UPDATE signing_keys SET private_sealed = ? WHERE kid = ?', [tampered, String(before[0]!.kid)])
  await t.rejects(openApp(t, { DATABASE_URL, SECRET: FIRST }), /does not open under SECRET/)
  t.match(await rows(), [{ private_sealed: tampered }, before[1]!], 'never replaced')
})

onEachEngine(t, 'instances that start together on an empty database make one pair of keys', async (t, engine) => {
  const DATABASE_URL = await engine.databaseUrl()
  // One process takes a SQLite file.
  const length = engine.name === 'sqlite' ? 1 : 4
  const apps = await Promise.all(Array.from({ length }, () => openApp(t, { DATABASE_URL, SECRET: FIRST })))
  t.equal(new Set(apps.map(({ server }) => keysOf(server).set!.current().kid)).size, 1)
  const ann = await apps[0]!.register('ann')
  for (const { anon } of apps)
    t.equal((await anon.get('/user/me', { authorization: `Bearer ${ann.tokens.access_token}` })).status, 200)
})

onEachEngine(t, 'the private key stands nowhere in the database', async (t, engine) => {
  const app = await startApp(t, engine, { SECRET: FIRST })
  const { privatePem } = keysOf(app.server).set!.current()
  const rows = JSON.stringify(await app.sql('SELECT * FROM signing_keys'))
  t.notMatch(rows, 'PRIVATE')
  for (const line of privatePem.split('\n').slice(1, -2)) t.notMatch(rows, line)
})

onEachEngine(t, 'a rotated SECRET keeps sessions and tokens', async (t, engine) => {
  let app = await startApp(t, engine, { SECRET: FIRST })
  const ann = await app.register('ann')
  const restart = async (SECRET: string) => {
    await app.server.close()
    app = await openApp(t, { DATABASE_URL: app.config.DATABASE_URL, SECRET })
  }
  const refresh = async (refresh_token: string): Promise<string> => {
    const { body } = await app.anon.post('/user/refresh', { refresh_token })
    return body.refresh_token ?? body.code
  }
  const first = ann.tokens.refresh_token
  const next = await refresh(first)
  t.match(next, /^lkr_/)
  await restart(`${FIRST},${SECOND}`)
  t.equal(await refresh(first), next, 'the same text while the first entry is the same')

  await restart(`${SECOND},${FIRST}`)
  const authorization = `Bearer ${ann.tokens.access_token}`
  t.equal((await app.anon.get('/user/sessions', { authorization })).status, 200, 'an access token')
  const newer = await refresh(next)
  t.match(newer, /^lkr_/)
  t.not(newer, next, 'written under the new entry')
  t.equal(await refresh(first), newer)

  await restart(`${FIRST},${SECOND}`)
  t.equal(await refresh(newer), next, 'read by who still has the old one first')
  await restart(FIRST)
  t.equal(await refresh(next), next)
  t.equal(await refresh(newer), 'INVALID_REFRESH_TOKEN', 'not by who has only the old one')
})

t.test('the SECRET that is generated beside a SQLite file', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'), { SECRET: '' })
  const ann = await app.register('ann')
  const file = secretFile(app.config)
  const text = readFileSync(file, 'utf8')
  t.match(text, /^[0-9a-f]{64}\n$/)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.strictSame(
    readdirSync(dirname(file)).filter((name) => name.includes('secret')),
    ['latchkey.db.secret'],
    'no draft is left',
  )

  const { DATABASE_URL } = app.config
  await app.server.close()
  const again = await openApp(t, { DATABASE_URL, SECRET: '' })
  t.equal(readFileSync(file, 'utf8'), text, 'used again')
  const { refresh_token } = ann.tokens
  t.equal((await again.anon.post('/user/refresh', { refresh_token })).status, 200)
  await again.server.close()
  const given = await openApp(t, { DATABASE_URL, SECRET: text.trim() })
  t.equal((await given.anon.post('/user/refresh', { refresh_token })).status, 200, 'the same, given as SECRET')
  await given.server.close()

  for (const broken of ['', '\n', 'short', text.slice(0, 20)]) {
    writeFileSync(file, broken)
    await t.rejects(openApp(t, { DATABASE_URL, SECRET: '' }), /does not hold a SECRET/, JSON.stringify(broken))
    t.equal(readFileSync(file, 'utf8'), broken, 'never replaced')
  }
  rmSync(file)
  symlinkSync('nowhere', file)
  await t.rejects(
    openApp(t, { DATABASE_URL, SECRET: '' }),
    { code: 'ENOENT' },
    'a name that is there is not taken over',
  )
  t.equal(readlinkSync(file), 'nowhere')
  t.strictSame(
    readdirSync(dirname(file)).filter((name) => /secret\./.test(name)),
    [],
    'no draft is left',
  )
  rmSync(file)
  writeFileSync(file, text)
  chmodSync(file, 0)
  // Root reads everything.
  if (process.getuid?.() !== 0) await t.rejects(openApp(t, { DATABASE_URL, SECRET: '' }), { code: 'EACCES' })
})

t.test('processes that generate it together have one', async (t) => {
  const url = `sqlite:${t.testdir()}/deep/er/latchkey.db`
  const secrets = new URL('../../../plugins/keys/secrets.js', import.meta.url).href
  const config = new URL('../../../config.js', import.meta.url).href
  const script = `
    const [{ createSecrets }, { readConfig }] = [await import('${secrets}'), await import('${config}')]
    const config = readConfig({ DATABASE_URL: '${url}' })
    const start = Number(process.argv[1])
    while (Date.now() < start);
    console.log(createSecrets(config)('refresh-token-mac')[0].toString('hex'))`
  // All wait for the same moment; whoever comes later only makes the race easier.
  const start = String(Date.now() + 1000)
  const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, start])
  const outputs = await Promise.all(Array.from({ length: 6 }, run))
  t.equal(new Set(outputs.map(({ stdout }) => stdout)).size, 1)
  t.match(outputs[0]?.stdout, /^[0-9a-f]{64}\n$/)
  t.strictSame(readdirSync(dirname(secretFile(readConfig({ DATABASE_URL: url })))), ['latchkey.db.secret'])
})
