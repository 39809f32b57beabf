// Other people's libraries as judges of tokens, each set up by its file in examples/verifying/, given an issuer and an
// audience. What they keep, and for how long, is their own.

import { existsSync, readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { ServiceClient } from '../schemas/config.ts'
import { ROOT, start } from './process.ts'
import { need, skipWithout } from './programs.ts'
import { TOOLS, takeExample } from './taken.ts'

const OWN = join(ROOT, 'node_modules')
const EXAMPLES = join(ROOT, 'examples/verifying')

export interface Trust {
  issuer: string
  audience: string
  /** Seconds for which keys may be kept; the library's own choice where it is not given. */
  maxAgeSeconds?: number
  /** For those that ask Latchkey. */
  client: ServiceClient
}

/** `accepted`, or `refused: ` and what the library says. */
export type Judge = (token: string) => Promise<string>

export interface Library {
  name: string
  /** What to give tap as `skip`. */
  skip: string | false
  start: (t: Test, trust: Trust) => Promise<Judge>
}

/** Where the packages are that an example imports. */
const PACKAGES: Record<string, string> = {
  ...Object.fromEntries(['jose', 'fastify', '@fastify/jwt'].map((name) => [name, join(OWN, name)])),
  ...Object.fromEntries(
    [
      ...['jsonwebtoken', 'jwks-rsa', 'express', 'express-oauth2-jwt-bearer', 'passport', 'passport-jwt'],
      ...['get-jwks', 'oauth4webapi', 'openid-client'],
    ].map((name) => [name, join(TOOLS, name)]),
  ),
}

/** Which version of a package the judges use. */
export const versionOf = (name: string): string =>
  JSON.parse(readFileSync(join(PACKAGES[name]!, 'package.json'), 'utf8')).version

const skipWithoutPackages = (...names: string[]): string | false => {
  const missing = names.filter((name) => !existsSync(PACKAGES[name]!))
  return missing.length > 0 && `not installed: ${missing.join(', ')}`
}

/** The module of an example, with a state of its own. */
async function take<Module>(t: Test, name: string): Promise<Module> {
  const folder = takeExample(t, 'verifying', PACKAGES)
  return import(pathToFileURL(join(folder, `${name}.js`)).href)
}

type Options = Omit<Trust, 'maxAgeSeconds'> & { maxAge?: number }

const optionsOf = ({ maxAgeSeconds, ...rest }: Trust): Options => ({
  ...rest,
  ...(maxAgeSeconds !== undefined && { maxAge: maxAgeSeconds }),
})

/** An example that gives a function. */
function byFunction(name: string, ...packages: string[]): Library {
  return {
    name,
    skip: skipWithoutPackages(name, ...packages),
    async start(t, trust) {
      type Module = { createCheck: (options: Options) => Promise<(token: string) => Promise<unknown>> }
      const check = await (await take<Module>(t, name)).createCheck(optionsOf(trust))
      return (token) =>
        check(token).then(
          () => 'accepted',
          (error) => `refused: ${error}`,
        )
    },
  }
}

type ExpressApp = RequestListener & { set: (name: string, value: string) => void }
type ExampleApp = ExpressApp | FastifyInstance

/** An example that gives an app, which then runs on a port. */
function byApp(name: string, ...packages: string[]): Library {
  return {
    name,
    skip: skipWithoutPackages(...packages),
    async start(t, trust) {
      type Module = { createApp: (options: Options) => Promise<ExampleApp> }
      const app = await (await take<Module>(t, name)).createApp(optionsOf(trust))
      const port = await listenOn(t, app)
      return async (token) => {
        const headers = { authorization: `Bearer ${token}` }
        const response = await fetch(`http://127.0.0.1:${port}/`, { headers })
        const text = await response.text()
        return response.status === 200 ? 'accepted' : `refused: ${response.status} ${text}`
      }
    },
  }
}

async function listenOn(t: Test, app: ExampleApp): Promise<number> {
  if ('inject' in app) {
    t.teardown(() => app.close())
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  }
  // Or it prints each error.
  app.set('env', 'test')
  const server = createServer(app)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

/** Before each token comes by how many seconds the clocks of the test are ahead. */
const PYTHON_CLOCKS = `
import os, runpy, sys, time
ahead, monotonic, now = 0, time.monotonic, time.time
time.monotonic = lambda: monotonic() + ahead
time.time = lambda: now() + ahead
def lines(stdin):
    global ahead
    for line in stdin:
        seconds, token = line.split(" ", 1)
        ahead = float(seconds)
        yield token
sys.stdin = lines(sys.stdin)
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
`
/** The true time, also where a test has put another in the place of `Date.now`. */
const trueNow = Date.now

/**
 * A program in Python, as a file and its arguments, that says `ready`, takes tokens from stdin, one a line, and answers each
 * by a line. Its clocks go with those of this process.
 */
export async function pythonJudge(t: Test, words: string[]): Promise<Judge> {
  // -B: leaves no compiled file beside the source.
  const python = start(t, [need('python-jwt'), '-B', '-c', PYTHON_CLOCKS, ...words])
  await python.line(/^ready$/)
  const waiting: ((verdict: string) => void)[] = []
  createInterface(python.child.stdout!).on('line', (line) => waiting.shift()?.(line))
  python.ended.then(() => {
    for (const tell of waiting) tell(`it ended: ${python.stderr()}`)
  })
  return (token) =>
    new Promise((resolve) => {
      waiting.push(resolve)
      python.child.stdin!.write(`${(Date.now() - trueNow()) / 1000} ${token.replaceAll('\n', ' ')}\n`)
    })
}

const PYJWT: Library = {
  name: 'pyjwt',
  skip: skipWithout('python-jwt'),
  async start(t, { issuer, audience, maxAgeSeconds }) {
    const more = maxAgeSeconds === undefined ? [] : [String(maxAgeSeconds)]
    return pythonJudge(t, [join(EXAMPLES, 'pyjwt.py'), issuer, audience, ...more])
  },
}

/** Each as its file in examples/verifying/ is called. */
export const JUDGES: Library[] = [
  byFunction('jose'),
  byFunction('jsonwebtoken', 'jwks-rsa'),
  byApp('express-oauth2-jwt-bearer', 'express', 'express-oauth2-jwt-bearer'),
  byApp('passport-jwt', 'passport-jwt', 'passport', 'express', 'jwks-rsa'),
  byApp('fastify-jwt', '@fastify/jwt', 'fastify', 'get-jwks'),
  byFunction('oauth4webapi'),
  byFunction('openid-client'),
  PYJWT,
]
