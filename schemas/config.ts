/**
 * Every setting: name, type, bounds, default, meaning. config.ts reads the environment by it; the type of the
 * configuration and the documentation are derived from it. What holds a secret is `writeOnly`: no message repeats it.
 */
import { BlockList, isIP } from 'node:net'
import { type Static, Type } from '@sinclair/typebox'

const integer = (minimum: number, maximum: number, standard: number, description: string) =>
  Type.Integer({ minimum, maximum, default: standard, description })

const oneOf = (values: string[], standard: string, description: string) =>
  Type.Union(
    values.map((value) => Type.Literal(value)),
    { default: standard, description },
  )

export const Settings = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', description: 'Address to listen on' }),
  PORT: integer(0, 65_535, 3000, 'Port to listen on; 0 takes a free one'),
  DATABASE_URL: Type.String({
    format: 'database-url',
    default: 'sqlite:data/latchkey.db',
    writeOnly: true,
    description:
      '`sqlite:FILE` to try it and for one machine, `mysql://user:password@host:3306/name?ssl-mode=verify_identity&ssl-ca=FILE` in production',
  }),
  DB_POOL_SIZE: integer(1, 1000, 10, 'Connections to the database'),
  DB_MAX_WAIT_MS: integer(1, 600_000, 2000, 'Milliseconds that one request waits for the database, all in all'),
  SECRET: Type.Array(Type.String({ format: 'secret' }), {
    default: [],
    writeOnly: true,
    description:
      'At least 32 bytes, as `openssl rand -hex 32` makes them; a comma-separated list rotates it: the first is used, all are accepted. On SQLite one is generated beside the file',
  }),
  ISSUER: Type.String({
    format: 'issuer',
    default: '',
    description: 'The `iss` of the tokens: the URL of this service',
  }),
  AUDIENCE: Type.String({ default: 'latchkey', description: 'The `aud` of the tokens' }),
  JWT_ALG: oneOf(
    ['ES256', 'RS256', 'HS256'],
    'ES256',
    'What access tokens are signed by: a key of its own, whose public part everyone may have, or with HS256 the one JWT_SECRET',
  ),
  JWT_SECRET: Type.String({
    format: 'secret',
    default: '',
    writeOnly: true,
    description:
      'Only and always with HS256: at least 32 bytes, the same for all instances and for every service that checks tokens, each of which could make tokens too',
  }),
  KEY_ROTATION_DAYS: integer(0, 3650, 90, 'Days that a key signs until the next one takes over; 0: by hand only'),
  ACCESS_TOKEN_TTL: integer(1, 86_400, 900, 'Seconds that an access token lives'),
  REFRESH_TOKEN_TTL: integer(1, 31_536_000, 2_592_000, 'Seconds that a session lives without a refresh'),
  SESSION_MAX_AGE: integer(1, 31_536_000, 7_776_000, 'Seconds that a session lives at most'),
  REFRESH_GRACE: integer(0, 300, 30, 'Seconds in which a refresh token may be sent again'),
  MAX_SESSIONS: integer(1, 10_000, 100, 'Sessions of one person; beyond that the one longest unused ends'),
  REVOCATION_MAX_STALENESS: integer(
    5,
    3600,
    30,
    'Seconds without the list of ended sessions after which no token is accepted',
  ),
  BCRYPT_COST: integer(10, 15, 12, 'Cost of a password hash'),
  HASH_CONCURRENCY: integer(1, 64, 0, 'Threads that hash; by default the CPUs given to the process'),
  HASH_MAX_WAIT_MS: integer(
    1,
    600_000,
    2000,
    'Milliseconds of expected wait for a hash beyond which 503 OVERLOADED is answered',
  ),
  PASSWORD_MIN_LENGTH: integer(8, 64, 8, 'Characters of a new password; NIST wants 15 where it is the only factor'),
  TRUSTED_PROXIES: Type.Array(Type.String({ format: 'cidr' }), {
    default: [],
    description: 'CIDRs of the gateways whose X-Forwarded-For and X-Request-Id are believed',
  }),
  CORS_ORIGINS: Type.Array(Type.String({ format: 'origin' }), {
    default: [],
    description: 'Origins of the web pages that may call from a browser, such as https://app.example.com',
  }),
  SERVICE_CLIENTS: Type.Array(Type.String({ format: 'service-client' }), {
    default: [],
    writeOnly: true,
    description:
      'Comma-separated `id:secret` pairs of the services that may ask /oauth/introspect, /oauth/revoke and the list of ended sessions; make each secret by `openssl rand -hex 32`. One id twice has two secrets, so that its secret can be changed',
  }),
  REVOCATIONS_PUBLIC: oneOf(
    ['on', 'off'],
    'off',
    'Whether everyone may read the list of ended sessions, /.well-known/revocations',
  ),
  DOCS: oneOf(['on', 'off'], 'on', 'Whether /docs is served: Swagger UI and the OpenAPI document'),
  LOG_LEVEL: oneOf(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    'info',
    'Least level of what is logged: JSON lines on stdout, pretty on a terminal',
  ),
  LOG_REQUESTS: oneOf(
    ['errors', 'all', 'none'],
    'errors',
    'Which requests get a line in the log: those answered with an error (with OVERLOADED one for all of a second), all, or none; what is our own fault is logged always',
  ),
  SHUTDOWN_DELAY: integer(
    0,
    300,
    0,
    'Seconds between SIGTERM, when readiness fails, and the close: time for a gateway to notice',
  ),
})

export type Config = Readonly<Static<typeof Settings>>

interface Format {
  check: (text: string) => boolean
  wants: string
  /** Of a text that `check` refuses: which part does not fit, in a sentence without secrets; empty where there is nothing to add. */
  fault?: (text: string) => string
}

/** What each format asks for, and how to say so. */
export const FORMATS: Record<string, Format> = {
  'database-url': {
    check: (text) => databaseAddress(text) !== undefined,
    wants: 'sqlite:FILE or mysql://user:password@host:3306/name?ssl-mode=verify_identity&ssl-ca=FILE',
    fault: (text) => parseDatabaseUrl(text) as string,
  },
  secret: {
    check: (text) => Buffer.byteLength(text) >= 32,
    wants: 'at least 32 bytes, as `openssl rand -hex 32` makes them',
  },
  issuer: {
    check: isIssuer,
    wants:
      'an http or https URL such as https://auth.example.com or https://example.com/auth: without query and fragment, its path of letters, digits and - . _ ~',
  },
  origin: {
    check: isOrigin,
    wants:
      'origins such as https://app.example.com or http://localhost:5173, separated by commas, each by its full name',
  },
  'service-client': {
    check: (text) => serviceClient(text) !== undefined,
    wants:
      'pairs id:secret, separated by commas: an id of 1 to 64 letters, digits and . _ ~ -, a secret of printable ASCII without comma and space',
    fault: (text) => `Pair ${text.split(',').findIndex((pair) => !serviceClient(pair.trim())) + 1} is none.`,
  },
  cidr: { check: isCidr, wants: 'networks such as 10.0.0.0/8 or fd00::/8, separated by commas' },
}

/**
 * TLS that is asked for, never only wished for. `required` hides nothing from who sits in between; `verify_ca` takes
 * whatever certificate its authorities gave to anybody, `verify_identity` only one for this host.
 */
export interface Tls {
  mode: 'required' | 'verify_ca' | 'verify_identity'
  /** The PEM file of the authorities to trust; Node.js's own where it is not set. */
  ca?: string
}

export type DatabaseAddress =
  | { kind: 'sqlite'; file: string }
  | { kind: 'mysql'; host: string; port: number; user: string; password: string; database: string; tls?: Tls }

/** Takes a DATABASE_URL apart; undefined where it is none. */
export function databaseAddress(url: string): DatabaseAddress | undefined {
  const parsed = parseDatabaseUrl(url)
  return typeof parsed === 'string' ? undefined : parsed
}

/** The address, or what is wrong with it. */
function parseDatabaseUrl(url: string): DatabaseAddress | string {
  const file = /^sqlite:(?:\/\/)?(.+)$/.exec(url)?.[1]
  if (file !== undefined) return file === ':memory:' ? '' : { kind: 'sqlite', file }
  if (!url.startsWith('mysql://') || !URL.canParse(url)) return ''
  const { hostname, port, username, password, pathname, search, hash } = new URL(url)
  try {
    const [user, secret, database] = [username, password, pathname.slice(1)].map(decodeURIComponent) as [
      string,
      string,
      string,
    ]
    if (!hostname || !user || !database || database.includes('/') || hash) return ''
    const tls = parseParameters(search.slice(1))
    if (typeof tls === 'string') return tls
    return {
      kind: 'mysql',
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 3306),
      user,
      password: secret,
      database,
      ...(tls && { tls }),
    }
  } catch {
    return ''
  }
}

/** The parameters of MySQL's own clients, in lower case as all words of our settings. Any other may be a wish for TLS that would be lost. */
function parseParameters(query: string): Tls | string | undefined {
  const given = new Map<string, string>()
  for (const pair of query ? query.split('&') : []) {
    const [name = '', ...value] = pair.split('=')
    if (name !== 'ssl-mode' && name !== 'ssl-ca') return unknown(name)
    if (given.has(name)) return `Its ${name} stands there twice.`
    given.set(name, decodeURIComponent(value.join('=')))
  }
  return tlsOf(given.get('ssl-mode') ?? 'disabled', given.get('ssl-ca'))
}

/** A name is repeated only where it looks like one: after a stray `?` it may be the rest of a password. */
function unknown(name: string): string {
  const called = /^[a-z_-]{1,40}$/i.test(name) ? ` (${name})` : ''
  return `It has a parameter that is not known${called}; ssl-mode and ssl-ca are, each once.`
}

function tlsOf(mode: string, ca: string | undefined): Tls | string | undefined {
  if (/^preferred$/i.test(mode))
    return 'Its ssl-mode=preferred falls back to clear text without a word. Take verify_identity, or at least required.'
  if (mode !== 'disabled' && mode !== 'required' && mode !== 'verify_ca' && mode !== 'verify_identity')
    return 'Its ssl-mode must be one of disabled, required, verify_ca, verify_identity.'
  if (ca === undefined && mode === 'verify_ca')
    return 'Its ssl-mode=verify_ca takes any certificate of its authorities, so name them by ssl-ca, or take verify_identity.'
  if (ca === undefined) return mode === 'disabled' ? undefined : { mode }
  if (mode === 'disabled' || mode === 'required')
    return `Its ssl-ca checks nothing with ssl-mode=${mode}. Take verify_identity or verify_ca, or leave ssl-ca out.`
  return ca === '' ? 'Its ssl-ca names no file.' : { mode, ca }
}

/** A service that may ask about tokens. */
export interface ServiceClient {
  id: string
  secret: string
}

/** Takes an `id:secret` apart; undefined where it is none. The id holds no colon, the secret may. */
export function serviceClient(text: string): ServiceClient | undefined {
  const [, id, secret] = /^([\w.~-]{1,64}):([\x21-\x2b\x2d-\x7e]+)$/.exec(text) ?? []
  return id !== undefined && secret !== undefined ? { id, secret } : undefined
}

/**
 * RFC 8414, section 2: an issuer has no query or fragment. Its path stands in addresses of ours (schemas/metadata.ts), so
 * nothing in it that anybody between here and a client might spell in another way.
 */
function isIssuer(text: string): boolean {
  const [, path] = /^https?:\/\/[^/?#@\\\s]+((?:\/[\w.~-]+)*\/?)$/.exec(text) ?? []
  return path !== undefined && URL.canParse(text) && new URL(text).pathname === (path || '/')
}

/** As a browser sends it in `Origin`: no path, no `*` (a page that is not named has no business here), no `null`, which many may send. */
function isOrigin(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && new URL(text).origin === text
}

/** An IPv4-mapped network, or one that holds them all, is refused: `::ffff:10.0.0.0/8` would trust all of IPv4 (CVE-2026-92395). */
function isCidr(text: string): boolean {
  const [address = '', prefix = '', more] = text.split('/')
  const family = isIP(address)
  if (family === 0 || more !== undefined || address.includes('%')) return false
  const fits =
    prefix === ''
      ? !text.includes('/')
      : /^\d{1,3}$/.test(prefix) && Number(prefix) >= 1 && Number(prefix) <= (family === 4 ? 32 : 128)
  if (family === 4 || !fits) return fits
  return !address.includes('.') && !isMapped(address) && !trustedProxies([text])('::ffff:0:0')
}

/** Whether an address belongs to one of these networks. */
export function trustedProxies(cidrs: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [address = '', prefix] = cidr.split('/')
    const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return (address) => {
    const family = isIP(address)
    return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
}

const isMapped = trustedProxies(['::ffff:0:0/96'])
