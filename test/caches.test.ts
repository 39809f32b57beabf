/**
 * What the libraries of test/judges.ts keep of an issuer's keys, and for how long: the table of docs/verifying.md is made
 * here. The issuer is one whose list of keys changes as the test wants it, and the clock of the process is moved.
 */
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SERVICE } from './helper.ts'
import { JUDGES, versionOf } from './judges.ts'
import { holdAgainstPart, table } from './reviewed.ts'

const AUDIENCE = 'latchkey'
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

interface Issuer {
  url: string
  /** The ids of the keys that its list holds. */
  listed: string[]
  /** How often the list was fetched. */
  fetches: number
  /** A key that is not listed yet; gives its id. */
  create: () => string
  /** A token by this key, good for a day. */
  issue: (kid: string) => string
}

/** An issuer that publishes what it is told to. */
async function startIssuer(t: Test): Promise<Issuer> {
  const keys = new Map<string, { privateKey: KeyObject; jwk: object }>()
  const issuer: Issuer = { url: '', listed: [], fetches: 0, issue, create }
  const server = createServer(({ url }, response) => {
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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  issuer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return issuer

  function create(): string {
    const kid = randomUUID()
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    keys.set(kid, { privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } })
    return kid
  }

  function issue(kid: string): string {
    const iat = Math.floor(Date.now() / 1000)
    const names = { sub: 'ann', sid: 'session', jti: randomUUID(), client_id: AUDIENCE }
    const claims = { iss: issuer.url, aud: AUDIENCE, iat, exp: iat + 86_400, ...names }
    const text = `${encode({ alg: 'ES256', typ: 'at+jwt', kid })}.${encode(claims)}`
    const key = keys.get(kid)!.privateKey
    return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
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
  forgets: number | undefined | 'not measured'
}

/** By the name of the judge. Measured below with the options that the examples give. */
const KEEPING: Record<string, Keeping> = {
  jose: { packages: ['jose'], byItself: '600', learns: 30, forgets: 300 },
  jsonwebtoken: { packages: ['jsonwebtoken', 'jwks-rsa'], byItself: '600', learns: 0, forgets: 300 },
  'express-oauth2-jwt-bearer': { packages: ['express-oauth2-jwt-bearer'], byItself: '600', learns: 30, forgets: 300 },
  'passport-jwt': { packages: ['passport-jwt', 'jwks-rsa'], byItself: '600', learns: 0, forgets: 300 },
  'fastify-jwt': { packages: ['@fastify/jwt', 'get-jwks'], byItself: '60', learns: 0, forgets: undefined },
  oauth4webapi: { packages: ['oauth4webapi'], byItself: '300, fixed', learns: 60, forgets: 300 },
  pyjwt: { packages: [], byItself: '300', learns: 0, forgets: 'not measured' },
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

for (const { name, skip, start } of JUDGES.filter(({ name }) => name in KEEPING)) {
  const { learns, forgets } = KEEPING[name]!
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

  // The clock of another process is not moved.
  if (forgets === 'not measured') continue
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
    const moments = forgets === undefined ? Array.from({ length: 60 }, (_, index) => index * 59) : MOMENTS
    const moment = await firstMoment(t, moments, /^refused/, () => judge(issuer.issue(first)))
    t.equal(moment, forgets && forgets + MARGIN)
  })
}

const all = JUDGES.map(({ skip }) => skip).find((skip) => skip)

t.test('docs/verifying.md has the table', { skip: all ?? false }, async (t) => {
  const rows = Object.entries(KEEPING).map(([name, { packages, byItself, learns, forgets }]) => [
    packages.length > 0 ? packages.map((one) => `${one} ${versionOf(one)}`).join(', ') : 'PyJWT 2.6.0 (Debian 12)',
    `[${name}](../examples/verifying/${name === 'pyjwt' ? 'pyjwt.py' : `${name}.js`})`,
    byItself,
    learns === 0 ? 'at once, for every such token' : `${learns} s after its last look`,
    forgets === 'not measured'
      ? 'after 300 s (not measured)'
      : forgets
        ? `after ${forgets} s`
        : 'never, while its tokens come',
  ])
  const head = [
    'library',
    'set up',
    'keeps keys by itself (s)',
    'looks for a key that it does not know',
    'forgets a key that went',
  ]
  holdAgainstPart(t, 'docs/verifying.md', 'caches', table([head, ...rows]))
})
