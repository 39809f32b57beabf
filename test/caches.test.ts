/**
 * What the libraries of test/judges.ts keep of an issuer's keys, and for how long: the table of docs/verifying.md is made
 * here. The issuer is one whose list of keys changes as the test wants it, and the clock of the process is moved.
 */
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { encode, es256 } from './forgeries.ts'
import { SERVICE } from './helper.ts'
import { JUDGES, versionOf } from './judges.ts'
import { holdAgainstPart, table } from './reviewed.ts'

const AUDIENCE = 'latchkey'

interface Issuer {
  url: string
  /** The ids of the keys that its list holds. */
  listed: string[]
  /** As which it is away: `stopped`, or as a status that a gateway answers in its place. */
  leave: (as: 'stopped' | number) => Promise<void>
  comeBack: () => Promise<void>
  /** How often the list was fetched. */
  fetches: number
  /** A key that is not listed yet; gives its id. */
  create: () => string
  /** A token by this key, good for a day. */
  issue: (kid: string) => string
}

/** Seconds since 1970. The tokens do not go with the clock that is moved: PyJWT's own look at `iat` and `exp` does not either. */
const iat = Math.floor(Date.now() / 1000)

/** An issuer that publishes what it is told to. */
async function startIssuer(t: Test): Promise<Issuer> {
  const keys = new Map<string, { privateKey: KeyObject; jwk: object }>()
  let status = 200
  const issuer: Issuer = { url: '', listed: [], fetches: 0, issue, create, leave, comeBack }
  const server = createServer(({ url }, response) => {
    if (status !== 200) return void response.writeHead(status, { connection: 'close' }).end('<html>')
    const isList = url === '/jwks'
    if (isList) issuer.fetches++
    const list = { keys: issuer.listed.map((kid) => keys.get(kid)!.jwk) }
    const metadata = {
      issuer: issuer.url,
      jwks_uri: `${issuer.url}/jwks`,
      id_token_signing_alg_values_supported: ['ES256'],
    }
    // No connection outlives a move of the clock.
    response.writeHead(200, { 'content-type': 'application/json', connection: 'close' })
    response.end(JSON.stringify(isList ? list : metadata))
  })
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  await listen(0)
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  issuer.url = `http://127.0.0.1:${port}`
  return issuer

  async function leave(as: 'stopped' | number): Promise<void> {
    if (as === 'stopped') await new Promise((resolve) => server.close(resolve))
    else status = as
  }

  async function comeBack(): Promise<void> {
    status = 200
    if (!server.listening) await listen(port)
  }

  function create(): string {
    const kid = randomUUID()
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    keys.set(kid, { privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } })
    return kid
  }

  function issue(kid: string): string {
    const names = { sub: 'ann', sid: 'session', jti: randomUUID(), client_id: AUDIENCE }
    const claims = { iss: issuer.url, aud: AUDIENCE, iat, exp: iat + 86_400, ...names }
    const text = `${encode({ alg: 'ES256', typ: 'at+jwt', kid })}.${encode(claims)}`
    const key = keys.get(kid)!.privateKey
    return `${text}.${es256(text, key)}`
  }
}

/** Moves both clocks of this process: lru-cache goes by `performance`. */
function movableClock(t: Test) {
  const [date, monotonic] = [Date.now.bind(Date), performance.now.bind(performance)]
  let ahead = 0
  t.intercept(Date, 'now', { value: () => date() + ahead })
  t.intercept(performance, 'now', { value: () => monotonic() + ahead })
  return {
    async advance(seconds: number) {
      ahead += seconds * 1000
      // lru-cache reads the clock at most once a millisecond.
      await pause(5)
    },
  }
}

interface Keeping {
  /** The packages of which the version is told, the first one by its name. */
  packages: string[]
  /** Seconds for which it keeps keys by itself, as its documents or its source say. */
  byItself: string
  /** Seconds after its last look at which it looks again, for a key that it does not know. */
  learns: number
  /** Seconds after which a key that has gone from the list is refused; undefined: never, while tokens of it come. */
  forgets: number | undefined
  /** What becomes of good tokens when the list cannot be had. */
  away: Away
}

interface Away {
  /** Seconds for which they are accepted at least, and at most; undefined: always, while they come. */
  accepts: [least: number, most: number] | undefined
  /** As what they are refused then. */
  refusal: RegExp
}

/** By the examples: the last keys are believed for an hour, and a time of keys may begin before its end. */
const FOR_AN_HOUR: Away['accepts'] = [3600, 3900]
const UNAVAILABLE = /^refused: 503/
/** Nothing that a library says of a token. */
const NO_ANSWER = /^refused: .*(fetch failed|ECONNREFUSED|Bad Gateway|answered 502|Fail to fetch)/

/** By the name of the judge. Measured below with the options that the examples give. */
const KEEPING: Record<string, Keeping> = {
  jose: {
    packages: ['jose'],
    byItself: '600',
    learns: 30,
    forgets: 300,
    away: { accepts: FOR_AN_HOUR, refusal: NO_ANSWER },
  },
  jsonwebtoken: {
    packages: ['jsonwebtoken', 'jwks-rsa'],
    byItself: '600',
    learns: 0,
    forgets: 300,
    away: { accepts: FOR_AN_HOUR, refusal: NO_ANSWER },
  },
  'express-oauth2-jwt-bearer': {
    packages: ['express-oauth2-jwt-bearer'],
    byItself: '600',
    learns: 30,
    forgets: 300,
    away: { accepts: [300, 300], refusal: UNAVAILABLE },
  },
  'passport-jwt': {
    packages: ['passport-jwt', 'jwks-rsa'],
    byItself: '600',
    learns: 0,
    forgets: 300,
    away: { accepts: FOR_AN_HOUR, refusal: UNAVAILABLE },
  },
  'fastify-jwt': {
    packages: ['@fastify/jwt', 'get-jwks'],
    byItself: '60',
    learns: 0,
    forgets: undefined,
    away: { accepts: undefined, refusal: UNAVAILABLE },
  },
  oauth4webapi: {
    packages: ['oauth4webapi'],
    byItself: '300, fixed',
    learns: 60,
    forgets: 300,
    away: { accepts: FOR_AN_HOUR, refusal: NO_ANSWER },
  },
  pyjwt: {
    packages: [],
    byItself: '300',
    learns: 0,
    forgets: 300,
    away: { accepts: FOR_AN_HOUR, refusal: NO_ANSWER },
  },
}

/** Goes through these moments, in seconds from the start, until the judge says this. Gives the moment; undefined where it never comes. */
async function firstMoment(t: Test, moments: number[], wanted: RegExp, ask: () => Promise<string>) {
  const clock = movableClock(t)
  let now = 0
  for (const moment of moments) {
    await clock.advance(moment - now)
    now = moment
    if (wanted.test(await ask())) return moment
  }
  return undefined
}

/** Seconds: the true clock goes on beside, on a busy machine for some of them. */
const MARGIN = 10
/** Before and after each of the times in the table. */
const MOMENTS = [0, ...[30, 60, 300].flatMap((seconds) => [seconds - MARGIN, seconds + MARGIN])]

/** Before and after 300, 3600 and 3900 s, and so often between them that nothing is idle for 300 s. */
const FOR_LONG = [290, 310, ...Array.from({ length: 16 }, (_, index) => 500 + index * 200), 3590, 3750, 3910]

for (const { name, skip, start } of JUDGES.filter(({ name }) => name in KEEPING)) {
  const { learns, forgets, away } = KEEPING[name]!
  const trust = (issuer: Issuer) => ({ issuer: issuer.url, audience: AUDIENCE, client: SERVICE })

  t.test(`${name} learns of a new key`, { skip }, async (t) => {
    const issuer = await startIssuer(t)
    const [first, second] = [issuer.create(), issuer.create()]
    issuer.listed = [first]
    const judge = await start(t, trust(issuer))
    t.equal(await judge(issuer.issue(first)), 'accepted')
    t.equal(issuer.fetches, 1)
    t.equal(await judge(issuer.issue(first)), 'accepted')
    t.equal(issuer.fetches, 1, 'it is kept')
    for (const _ of [1, 2]) t.match(await judge(issuer.issue(second)), /^refused/)
    t.equal(issuer.fetches, learns === 0 ? 3 : 1, 'a look for each token, or none')
    issuer.listed = [first, second]
    const moment = await firstMoment(t, MOMENTS, /^accepted$/, () => judge(issuer.issue(second)))
    t.equal(moment, learns === 0 ? 0 : learns + MARGIN)
    t.equal(await judge(issuer.issue(first)), 'accepted', 'the old one too')
  })

  t.test(`${name} keeps keys for as long as it is told`, { skip }, async (t) => {
    const issuer = await startIssuer(t)
    const first = issuer.create()
    issuer.listed = [first]
    const judge = await start(t, { ...trust(issuer), maxAgeSeconds: 2 })
    const clock = movableClock(t)
    for (const [seconds, fetches] of [
      [0, 1],
      [1, 1],
      [2, 2],
      [1, 2],
      [2, 3],
    ] as const) {
      await clock.advance(seconds)
      t.equal(await judge(issuer.issue(first)), 'accepted')
      t.equal(issuer.fetches, fetches)
    }
  })

  t.test(`${name} forgets a key`, { skip }, async (t) => {
    const issuer = await startIssuer(t)
    const [first, second] = [issuer.create(), issuer.create()]
    issuer.listed = [first, second]
    const judge = await start(t, trust(issuer))
    t.equal(await judge(issuer.issue(first)), 'accepted')
    issuer.listed = [second]
    const moments = forgets === undefined ? FOR_LONG : MOMENTS
    const moment = await firstMoment(t, moments, /^refused/, () => judge(issuer.issue(first)))
    t.equal(moment, forgets && forgets + MARGIN)
  })

  for (const as of ['stopped', 502] as const) {
    t.test(`${name} while the issuer is away: ${as}`, { skip }, async (t) => {
      const issuer = await startIssuer(t)
      const [first, second] = [issuer.create(), issuer.create()]
      issuer.listed = [first]
      const judge = await start(t, trust(issuer))
      t.equal(await judge(issuer.issue(first)), 'accepted')
      await issuer.leave(as)
      let last = ''
      const moment = await firstMoment(t, FOR_LONG, /^refused/, async () => {
        last = await judge(issuer.issue(first))
        return last
      })
      if (away.accepts) {
        const [least, most] = away.accepts
        t.ok(moment! > least && moment! <= most + MARGIN, 'accepts for as long as it should', { moment })
        t.match(last, away.refusal)
      } else t.equal(moment, undefined)
      t.match(await judge(issuer.issue(second)), away.refusal, 'a key that it does not know')
      await issuer.comeBack()
      t.equal(await judge(issuer.issue(first)), 'accepted', 'and back')
    })
  }
}

const all = JUDGES.map(({ skip }) => skip).find((skip) => skip)

t.test('docs/verifying.md has the table', { skip: all ?? false }, async (t) => {
  const rows = Object.entries(KEEPING).map(([name, { packages, byItself, learns, forgets, away }]) => [
    packages.length > 0 ? packages.map((one) => `${one} ${versionOf(one)}`).join(', ') : 'PyJWT 2.6.0 (Debian 12)',
    `[${name}](../examples/verifying/${name === 'pyjwt' ? 'pyjwt.py' : `${name}.js`})`,
    byItself,
    learns === 0 ? 'at once, for every such token' : `${learns} s after its last look`,
    forgets ? `after ${forgets} s` : 'never, while its tokens come',
    away.accepts ? `goes on for ${[...new Set(away.accepts)].join(' to ')} s` : 'goes on, while its tokens come',
  ])
  const head = [
    'library',
    'set up',
    'keeps keys by itself (s)',
    'looks for a key that it does not know',
    'forgets a key that went',
    'when Latchkey is away',
  ]
  holdAgainstPart(t, 'docs/verifying.md', 'caches', table([head, ...rows]))
})
