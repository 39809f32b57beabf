/** Settings: defaults, bounds, files, addresses of databases and networks, and faults told all at once. */
import { chmodSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, cpus, readConfig } from '../config.ts'
import { databaseAddress, trustedProxies } from '../schemas/config.ts'
import { makeCertificates } from './certificates.ts'
import { skipWithout } from './programs.ts'

const SECRET = 'x'.repeat(32)
type Env = Record<string, string | undefined>

/** The lines of the message, one a fault. */
function faultsOf(env: Env): string[] {
  try {
    readConfig(env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n').slice(1)
  }
  return []
}

t.test('what holds where nothing is set', async (t) => {
  const defaults = {
    HOST: '127.0.0.1',
    PORT: 3000,
    DATABASE_URL: 'sqlite:data/latchkey.db',
    DB_POOL_SIZE: 10,
    DB_MAX_WAIT_MS: 2000,
    SECRET: [],
    ISSUER: 'http://localhost:3000',
    AUDIENCE: 'latchkey',
    JWT_ALG: 'ES256',
    JWT_SECRET: '',
    KEY_ROTATION_DAYS: 90,
    ACCESS_TOKEN_TTL: 900,
    REFRESH_TOKEN_TTL: 2_592_000,
    SESSION_MAX_AGE: 7_776_000,
    REFRESH_GRACE: 30,
    MAX_SESSIONS: 100,
    REVOCATION_MAX_STALENESS: 30,
    BCRYPT_COST: 12,
    HASH_CONCURRENCY: cpus(),
    HASH_MAX_WAIT_MS: 2000,
    PASSWORD_MIN_LENGTH: 8,
    TRUSTED_PROXIES: [],
    SERVICE_CLIENTS: [],
    REVOCATIONS_PUBLIC: 'off',
    LOG_LEVEL: 'info',
    LOG_REQUESTS: 'errors',
  }
  t.match(readConfig({}), defaults)
  const empty = Object.fromEntries(
    Object.keys(defaults).flatMap((name) => [
      [name, ''],
      [`${name}_FILE`, ''],
    ]),
  )
  t.strictSame(readConfig(empty), readConfig({}), 'an empty value counts as not set')
  t.strictSame(readConfig({ PATH: '/bin', port: '1', LATCHKEY: 'x' }), readConfig({}), 'what is not ours')
  t.equal(readConfig({ PORT: '8080' }).ISSUER, 'http://localhost:8080')
})

t.test('numbers and their bounds', async (t) => {
  const bounds: Record<string, [minimum: number, maximum: number]> = {
    PORT: [0, 65_535],
    DB_POOL_SIZE: [1, 1000],
    DB_MAX_WAIT_MS: [1, 600_000],
    KEY_ROTATION_DAYS: [0, 3650],
    ACCESS_TOKEN_TTL: [1, 86_400],
    REFRESH_TOKEN_TTL: [1, 31_536_000],
    SESSION_MAX_AGE: [1, 31_536_000],
    REFRESH_GRACE: [0, 300],
    MAX_SESSIONS: [1, 10_000],
    REVOCATION_MAX_STALENESS: [5, 3600],
    BCRYPT_COST: [10, 15],
    HASH_CONCURRENCY: [1, 64],
    HASH_MAX_WAIT_MS: [1, 600_000],
    PASSWORD_MIN_LENGTH: [8, 64],
  }
  for (const [name, [minimum, maximum]] of Object.entries(bounds)) {
    const value = (text: string) => (readConfig({ [name]: text }) as Record<string, unknown>)[name]
    for (const right of [minimum, maximum]) t.equal(value(String(right)), right, `${name} ${right}`)
    const digits = String(maximum)
    const refused = [
      minimum - 1,
      maximum + 1,
      `${digits}0`,
      '-1',
      '-0',
      '1e3',
      ` ${digits}`,
      `${digits} `,
      `${digits}\n`,
      `0${digits}`,
      `+${digits}`,
      `${digits}.0`,
      '0x10',
      'ten',
      `${digits}s`,
      '１０',
      '1_0',
      'NaN',
      'Infinity',
      '1e400',
      '9'.repeat(400),
    ]
    for (const text of refused) {
      const faults = faultsOf({ [name]: String(text) })
      t.equal(faults.length, 1, `${name} ${JSON.stringify(text).slice(0, 20)}`)
      t.ok(faults[0]?.includes(`${name} must be a whole number from ${minimum} to ${maximum}`), faults[0] ?? 'none')
    }
  }
})

t.test('words and lists', async (t) => {
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    t.equal(readConfig({ LOG_LEVEL: level }).LOG_LEVEL, level)
  for (const level of ['INFO', 'verbose', ' info', '0'])
    t.match(faultsOf({ LOG_LEVEL: level }), [/LOG_LEVEL must be one of/])
  t.strictSame(readConfig({ SECRET: `${SECRET}, ${SECRET}y` }).SECRET, [SECRET, `${SECRET}y`])
  t.strictSame(readConfig({ SECRET: '한'.repeat(11) }).SECRET, ['한'.repeat(11)], 'bytes, not characters')
  for (const text of [
    'x'.repeat(31),
    `${SECRET},`,
    `${SECRET},,${SECRET}`,
    `,${SECRET}`,
    `${SECRET},short`,
    ' '.repeat(40),
  ])
    t.match(faultsOf({ SECRET: text }), [/SECRET must be at least 32 bytes/], text)
  for (const issuer of [
    'https://auth.example.com',
    'https://auth.example.com/',
    'http://localhost:3000',
    'http://[::1]:3000',
    'https://example.com/auth',
    'https://example.com/v1.0/a_b~C-9/',
  ])
    t.equal(readConfig({ ISSUER: issuer }).ISSUER, issuer, 'as it is')
  for (const issuer of [
    'auth.example.com',
    'ftp://example.com',
    'https://',
    'https://a.example?x',
    'https://a.example#x',
    ' https://a.example',
    'https://a.example\n',
    'javascript:alert(1)',
    'https:a.example',
    'https:///a.example',
    'https://a.example:99999',
    'https://ann:secret@a.example',
    'https://a.example//',
    'https://a.example/a//b',
    'https://a.example/a/../b',
    'https://a.example/:id',
    'https://a.example/*',
    'https://a.example/%61',
    'https://a.example/한국',
  ])
    t.match(faultsOf({ ISSUER: issuer }), [/ISSUER must be an http or https URL/], issuer)
})

t.test('the services that may ask about tokens', async (t) => {
  const id = 'a.b_c~D-9'
  const right = [
    'orders:x',
    `${id}:y`,
    `${'i'.repeat(64)}:!"#$%&'()*+-./:;<=>?@[]^_\`{|}~`,
    'orders:\\',
    'a::',
    'orders:x',
  ]
  for (const text of right) t.strictSame(readConfig({ SERVICE_CLIENTS: text }).SERVICE_CLIENTS, [text])
  t.strictSame(readConfig({ SERVICE_CLIENTS: right.join(' , ') }).SERVICE_CLIENTS, right)
  const refused = [
    ...['orders', ':', 'orders:', ':secret', 'or ders:x', 'orders:x y', 'orders:x\ty', 'orders: x', 'orders :x'],
    ...[
      `${'i'.repeat(65)}:x`,
      'órders:x',
      'orders:é',
      'orders:한국',
      'orders:x\n:y',
      'orders:\x7f',
      'or/ders:x',
      'a@b:x',
    ],
  ]
  for (const text of refused) {
    for (const [list, place] of [
      [text, 1],
      [`${id}:canary, ${text}`, 2],
      [`a:canary,b:canary,${text},c:canary`, 3],
    ] as const) {
      const [fault = '', ...more] = faultsOf({ SERVICE_CLIENTS: list })
      t.match(fault, `SERVICE_CLIENTS must be pairs id:secret`, text)
      t.match(fault, new RegExp(` Pair ${place} is none\\.$`), 'which of them')
      t.notMatch(fault, /canary/)
      t.strictSame(more, [])
    }
  }
  for (const text of ['orders:x,', ',orders:x', 'orders:x,,a:y'])
    t.match(faultsOf({ SERVICE_CLIENTS: text }), [/SERVICE_CLIENTS must be pairs/], text)
  for (const text of ['on', 'off']) t.equal(readConfig({ REVOCATIONS_PUBLIC: text }).REVOCATIONS_PUBLIC, text)
  for (const text of ['ON', 'true', '1', 'yes'])
    t.match(faultsOf({ REVOCATIONS_PUBLIC: text }), [/one of on, off/], text)
})

t.test('a shared secret signs, or keys do: never both, never neither', async (t) => {
  const JWT_SECRET = 'canary'.repeat(6)
  t.match(readConfig({ JWT_ALG: 'HS256', JWT_SECRET }), { JWT_ALG: 'HS256', JWT_SECRET })
  t.equal(readConfig({ JWT_ALG: 'HS256', JWT_SECRET: `${SECRET},${SECRET}` }).JWT_SECRET, `${SECRET},${SECRET}`)
  t.equal(readConfig({ JWT_ALG: 'RS256' }).JWT_ALG, 'RS256')
  t.match(readConfig({ JWT_ALG: '', JWT_SECRET: '' }), { JWT_ALG: 'ES256', JWT_SECRET: '' })
  t.strictSame(faultsOf({ JWT_ALG: 'HS256' }), [
    '  - JWT_SECRET is missing. With JWT_ALG=HS256 it must be at least 32 bytes, as `openssl rand -hex 32` makes them.',
  ])
  for (const [JWT_ALG, alg] of [
    ['RS256', 'RS256'],
    ['ES256', 'ES256'],
    ['', 'ES256'],
  ] as const)
    t.strictSame(faultsOf({ JWT_ALG, JWT_SECRET }), [
      `  - JWT_SECRET is set, but ${alg} signs with keys of its own. Take it away, or set JWT_ALG=HS256.`,
    ])
  for (const alg of ['hs256', 'HS512', 'none', 'ES384', 'PS256', 'HS256,ES256'])
    t.strictSame(faultsOf({ JWT_ALG: alg, JWT_SECRET }), [
      `  - JWT_ALG must be one of ES256, RS256, HS256. It is "${alg}".`,
    ])
  for (const JWT_ALG of ['HS256', 'ES256'])
    t.strictSame(faultsOf({ JWT_ALG, JWT_SECRET: 'canary-is-short' }), [
      '  - JWT_SECRET must be at least 32 bytes, as `openssl rand -hex 32` makes them.',
    ])
})

t.test('the networks of proxies', async (t) => {
  const right = [
    '10.0.0.0/8',
    '192.0.2.1',
    '192.0.2.1/32',
    '0.0.0.0/1',
    'fd00::/8',
    '2001:db8::1',
    '2001:db8::1/128',
    '2000::/3',
  ]
  for (const text of right) t.strictSame(readConfig({ TRUSTED_PROXIES: text }).TRUSTED_PROXIES, [text])
  t.strictSame(readConfig({ TRUSTED_PROXIES: right.join(' , ') }).TRUSTED_PROXIES, right)
  const refused = [
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '10.0.0.0/8x',
    '10.0.0.0/ 8',
    '10.0.0.0/255.0.0.0',
    '10.0.0',
    '10.0.0.0.0',
    '010.0.0.1',
    '256.0.0.1',
    '*',
    'loopback',
    'true',
    '1',
    'example.com',
    'fe80::1%eth0',
    '10.0.0.0/8,',
    ',10.0.0.0/8',
    '10.0.0.0/8;fd00::/8',
  ]
  // Each of them would trust all of IPv4 (CVE-2026-92395), or says IPv4 in a form that is easily misread.
  const mapped = [
    '::ffff:10.0.0.0/8',
    '::FFFF:10.0.0.0/104',
    '::ffff:0:0/96',
    '::ffff:a00:0/104',
    '0:0:0:0:0:ffff:10.0.0.0/8',
    '0::ffff:10.0.0.0/8',
    '::0:ffff:a00:0/8',
    '::/1',
    '::/64',
    '::/80',
    '::fffe:0:0/95',
    '::1.2.3.4/8',
    '::ffff:10.0.0.1',
    '64:ff9b::10.0.0.1',
  ]
  for (const text of [...refused, ...mapped])
    t.match(faultsOf({ TRUSTED_PROXIES: text }), [/TRUSTED_PROXIES must be networks/], text)

  const trusted = trustedProxies(['10.0.0.0/8', '192.0.2.1', 'fd00::/8', '2001:db8::1'])
  for (const address of ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3', '192.0.2.1', 'fdff::1', '2001:db8:0:0::1'])
    t.equal(trusted(address), true, address)
  for (const address of [
    '11.0.0.0',
    '9.255.255.255',
    '::ffff:11.1.2.3',
    '192.0.2.2',
    'fe00::1',
    '2001:db8::2',
    '',
    'garbage',
    '10.0.0.1:80',
    '10.1',
    '::10.1.2.3',
  ])
    t.equal(trusted(address), false, address)
  t.equal(trustedProxies([])('127.0.0.1'), false)
})

t.test('the address of a database', async (t) => {
  const mysql = { kind: 'mysql', host: 'db', port: 3306, user: 'u', password: 'p', database: 'name' }
  const right: [url: string, address: object][] = [
    ['sqlite:data/latchkey.db', { kind: 'sqlite', file: 'data/latchkey.db' }],
    ['sqlite:/var/lib/latchkey.db', { kind: 'sqlite', file: '/var/lib/latchkey.db' }],
    ['sqlite:///var/lib/latchkey.db', { kind: 'sqlite', file: '/var/lib/latchkey.db' }],
    ['mysql://u:p@db/name', mysql],
    ['mysql://u:p@db:3307/name', { ...mysql, port: 3307 }],
    ['mysql://u:p%40%3A%2F%3F%23%25%ED%95%9C@db/name', { ...mysql, password: 'p@:/?#%한' }],
    ['mysql://u%40x:p@db/na%20me', { ...mysql, user: 'u@x', database: 'na me' }],
    ['mysql://u@db/name', { ...mysql, password: '' }],
    ['mysql://u:p@[2001:db8::1]:3306/name', { ...mysql, host: '2001:db8::1' }],
    ['mysql://u:p@127.0.0.1/name', { ...mysql, host: '127.0.0.1' }],
    ['mysql://u:p@db/name?', mysql],
    ['mysql://u:p@db/name?ssl-mode=disabled', mysql],
    ['mysql://u:p@db/name?ssl-mode=required', { ...mysql, tls: { mode: 'required' } }],
    ['mysql://u:p@db/name?ssl-mode=verify_identity', { ...mysql, tls: { mode: 'verify_identity' } }],
    ['mysql://u:p@db/name?ssl-mode=verify_ca&ssl-ca=/a.pem', { ...mysql, tls: { mode: 'verify_ca', ca: '/a.pem' } }],
    [
      'mysql://u:p@db/name?ssl-ca=a+b%20%26=.pem&ssl-mode=verify_identity',
      { ...mysql, tls: { mode: 'verify_identity', ca: 'a+b &=.pem' } },
    ],
    ['sqlite:data.db?ssl-mode=required', { kind: 'sqlite', file: 'data.db?ssl-mode=required' }],
  ]
  for (const [url, address] of right) t.strictSame(databaseAddress(url), address, url)
  const refused = [
    'sqlite:',
    'sqlite::memory:',
    'mysql:',
    'mysql://',
    'mysql://db/name',
    'mysql://u:p@/name',
    'mysql://u:p@db',
    'mysql://u:p@db/',
    'mysql://u:p@db/a/b',
    'mysql://u:p@db/a%2Fb',
    'mysql://u:p@db:99999/name',
    'mysql://u:p@db:x/name',
    'mysql://u:p%zz@db/name',
    'mysql://u:p@db/name#x',
    'mysql://u:p@db/name?connectionLimit=1',
    'mysql://u:p@db/name?multipleStatements=true',
    'mysql://u:p@db/name?ssl-mode=verify_ca&ssl-ca=%zz',
    'mysql://u:p@db/name?ssl-mode=required#x',
    'mysql://u:p@db?ssl-mode=required',
    'postgres://u:p@db/name',
    'mariadb://u:p@db/name',
    'MYSQL',
    '/data/latchkey.db',
    'file:data.db',
    'db',
  ]
  for (const url of refused) {
    t.equal(databaseAddress(url), undefined, url)
    t.match(
      faultsOf({ DATABASE_URL: url, SECRET, ISSUER: 'https://a.example' }),
      [/DATABASE_URL must be sqlite:FILE or mysql:/],
      url,
    )
  }
})

t.test('the TLS of a database', async (t) => {
  const wants =
    'DATABASE_URL must be sqlite:FILE or mysql://user:password@host:3306/name?ssl-mode=verify_identity&ssl-ca=FILE.'
  const unknown = (name = '') => `It has a parameter that is not known${name}; ssl-mode and ssl-ca are, each once.`
  const mode = 'Its ssl-mode must be one of disabled, required, verify_ca, verify_identity.'
  const preferred =
    'Its ssl-mode=preferred falls back to clear text without a word. Take verify_identity, or at least required.'
  const useless = (mode: string) =>
    `Its ssl-ca checks nothing with ssl-mode=${mode}. Take verify_identity or verify_ca, or leave ssl-ca out.`
  const cases: [parameters: string, fault: string][] = [
    ['ssl=true', unknown(' (ssl)')],
    ['ssl-mode=required&connectionLimit=1', unknown(' (connectionLimit)')],
    ['sslmode=verify_identity', unknown(' (sslmode)')],
    ['SSL-MODE=required', unknown(' (SSL-MODE)')],
    ['ssl-cert=hunter2', unknown(' (ssl-cert)')],
    ['ssl%2Dmode=required', unknown()],
    // The rest of a password with a question mark in it.
    ['hunter2@db/name', unknown()],
    ['ssl-mode=required&', unknown()],
    ['&ssl-mode=required', unknown()],
    ['=required', unknown()],
    ['ssl-mode', mode],
    ['ssl-mode=', mode],
    ['ssl-mode=on', mode],
    ['ssl-mode=hunter2', mode],
    ['ssl-mode=VERIFY_IDENTITY', mode],
    ['ssl-mode=verify-identity', mode],
    ['ssl-mode=required%20', mode],
    ['ssl-mode=required=', mode],
    ['ssl-mode=__proto__', mode],
    ['ssl-mode=preferred', preferred],
    ['ssl-mode=PREFERRED', preferred],
    ['ssl-mode=required&ssl-mode=required', 'Its ssl-mode stands there twice.'],
    ['ssl-mode=verify_ca&ssl-ca=a&ssl-ca=a', 'Its ssl-ca stands there twice.'],
    ['ssl-ca=/ca.pem', useless('disabled')],
    ['ssl-mode=disabled&ssl-ca=/ca.pem', useless('disabled')],
    ['ssl-ca=/ca.pem&ssl-mode=required', useless('required')],
    ['ssl-mode=verify_ca&ssl-ca=', 'Its ssl-ca names no file.'],
    [
      'ssl-mode=verify_ca',
      'Its ssl-mode=verify_ca takes any certificate of its authorities, so name them by ssl-ca, or take verify_identity.',
    ],
    ['ssl-mode=verify_identity&ssl-ca', 'Its ssl-ca names no file.'],
  ]
  for (const [parameters, fault] of cases) {
    const url = `mysql://root:hunter2@db/name?${parameters}`
    t.strictSame(
      faultsOf({ DATABASE_URL: url, PORT: 'x' }),
      ['  - PORT must be a whole number from 0 to 65535. It is "x".', `  - ${wants} ${fault}`],
      parameters,
    )
  }
})

t.test('the file of ssl-ca is looked into', { skip: skipWithout('openssl') }, async (t) => {
  const { authority, read, file } = await makeCertificates(t)
  authority('one')
  authority('two')
  const [one, two, key] = (await Promise.all(['one.pem', 'two.pem', 'one.key'].map(read))) as [string, string, string]
  const broken = one.replace(/\nM.{8}/, '\nAAAAAAAAA')
  const files: [name: string, text: string, fault?: string][] = [
    ['one', one],
    ['several', `${one}\n# the next one\n${two}`],
    ['crlf', one.replaceAll('\n', '\r\n')],
    ['with a key', key + one],
    ['empty', '', 'which holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)'],
    ['key', key, 'which holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)'],
    ['broken', broken, 'whose certificate 1 of 1 is broken'],
    ['second', `${one}${broken}`, 'whose certificate 2 of 2 is broken'],
    ['cut', `${one}${two.slice(0, 200)}`, 'whose certificate 2 of 2 is broken'],
    ['glued', `${one.slice(0, 200)}\n${two}`, 'whose certificate 1 of 1 is broken'],
  ]
  const faultsWith = (path: string) => {
    const url = `mysql://root:hunter2@db/name?ssl-mode=verify_identity&ssl-ca=${encodeURIComponent(path)}`
    return faultsOf({ DATABASE_URL: url, SECRET, PORT: 'x' })
  }
  for (const [name, text, fault] of files) {
    const path = file(name)
    writeFileSync(path, text)
    const own = fault ? [`  - DATABASE_URL has ssl-ca=${path}, ${fault}.`] : []
    const [port, ...rest] = faultsWith(path)
    t.match(port, /PORT must be/, name)
    t.match(rest.pop(), /ISSUER is missing/, name)
    t.strictSame(rest, own, name)
  }
  t.match(faultsWith(file('none')), [
    /PORT/,
    `  - DATABASE_URL has ssl-ca=${file('none')}, which cannot be read (ENOENT).`,
    /ISSUER/,
  ])
  t.match(faultsWith(file('.')), [/PORT/, /which cannot be read \(EISDIR\)\.$/, /ISSUER/])
})

t.test('a shared database asks for what all instances must have in common', async (t) => {
  const url = 'mysql://u:p@db/name'
  t.match(faultsOf({ DATABASE_URL: url }), [/SECRET is missing/, /ISSUER is missing/])
  t.match(faultsOf({ DATABASE_URL: url, SECRET }), [/ISSUER is missing/])
  t.match(faultsOf({ DATABASE_URL: url, ISSUER: 'https://a.example' }), [/SECRET is missing/])
  t.strictSame(faultsOf({ DATABASE_URL: url, SECRET, ISSUER: 'https://a.example' }), [])
})

t.test('all faults in one message, and no secret in it', async (t) => {
  const env = {
    PORT: '70000',
    SECRET: 'hunter2-is-short',
    DATABASE_URL: 'mysql://root:hunter2@db/name?ssl=off',
    BCRYPT_COST: 'low',
    TRUSTED_PROXIES: '0.0.0.0/0',
    LOG_LEVEL: 'loud',
    ISSUER: 'nowhere',
  }
  const faults = faultsOf(env)
  t.strictSame(faults.map((fault) => /[A-Z_]+/.exec(fault)?.[0]).sort(), Object.keys(env).sort())
  t.notMatch(faults.join('\n'), 'hunter2')
  t.ok(
    faults.every((fault) => /must be .+/.test(fault)),
    'each with how to mend it',
  )
  t.ok(
    faults.some((fault) => fault.includes('"70000"')),
    'and what it is',
  )
})

t.test('NAME_FILE', async (t) => {
  const folder = t.testdir({
    secret: `${SECRET}\n`,
    list: `${SECRET},${SECRET}\r\n`,
    port: '8080\n',
    twice: '8080\n\n',
    empty: '',
    line: '\n',
    short: 'hunter2',
    url: 'mysql://root:hunter2@db/name?ssl=off\n',
  })
  const file = (name: string) => join(folder, name)
  t.match(readConfig({ SECRET_FILE: file('secret'), PORT_FILE: file('port') }), { SECRET: [SECRET], PORT: 8080 })
  t.strictSame(readConfig({ SECRET_FILE: file('list') }).SECRET, [SECRET, SECRET])
  t.strictSame(readConfig({ PORT_FILE: file('empty'), SECRET_FILE: file('line') }), readConfig({}), 'an empty one')
  t.match(faultsOf({ PORT_FILE: file('twice') }), [/PORT must be/], 'one line break at the end is not part of it')
  t.match(faultsOf({ PORT: '8080', PORT_FILE: file('port') }), [/PORT and PORT_FILE are both set/])
  t.strictSame(faultsOf({ PORT: '', PORT_FILE: file('port') }), [])
  t.match(faultsOf({ PORT_FILE: file('none'), SECRET_FILE: folder }), [/PORT_FILE .*ENOENT/, /SECRET_FILE .*EISDIR/])
  const secret = faultsOf({ SECRET_FILE: file('short'), DATABASE_URL_FILE: file('url') })
  t.equal(secret.length, 2)
  t.notMatch(secret.join('\n'), 'hunter2')
  chmodSync(file('secret'), 0)
  // Root reads everything.
  if (process.getuid?.() !== 0) t.match(faultsOf({ SECRET_FILE: file('secret') }), [/SECRET_FILE .*EACCES/])
})

t.test('the result does not change', async (t) => {
  const env: Env = { PORT: '1' }
  const config = readConfig(env)
  t.throws(() => Object.assign(config, { PORT: 2 }), TypeError)
  env.PORT = '2'
  t.equal(config.PORT, 1)
  const first = readConfig({})
  const second = readConfig({})
  t.not(first.SECRET, second.SECRET, 'no list is shared')
})

t.test('the CPUs given to the process', async (t) => {
  const all = Math.min(availableParallelism(), 64)
  const folder = t.testdir()
  const cases: [text: string, expected: number][] = [
    ['max 100000\n', all],
    ['100000 100000\n', 1],
    ['50000 100000\n', 1],
    ['150000 100000\n', 1],
    ['200000 100000\n', Math.min(2, all)],
    ['9900000 100000\n', all],
    ['', all],
    ['garbage', all],
    ['0 100000', all],
    ['100000', all],
  ]
  for (const [text, expected] of cases) {
    const file = join(folder, 'cpu.max')
    writeFileSync(file, text)
    t.equal(cpus(file), expected, text)
  }
  t.equal(cpus(join(folder, 'none')), all)
  t.equal(readConfig({ HASH_CONCURRENCY: '64' }).HASH_CONCURRENCY, 64, 'what is set is set')
})
