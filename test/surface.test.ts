/** The surface is a reviewed page: every route, plugin and hook, and the OpenAPI document, against the committed ones. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import Fastify, { type FastifyInstance, type RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import { demandAccess } from '../plugins/access.ts'
import { createEngine } from './engines.ts'
import { documentedCodes, startApp } from './helper.ts'
import { holdAgainstFile } from './reviewed.ts'

const ROOT = join(import.meta.dirname, '..', '..')
/** What Fastify and Swagger UI bring along, beside the files in routes/. */
const DOCS = '/docs'
Error.stackTraceLimit = 50

interface Route {
  method: string
  url: string
  access: string
  limit: string
  statuses: string[]
  hashes: boolean
  /** The route file that states it, without its ending; undefined for what comes from a package. */
  file: string | undefined
}

/** All the methods that there are differ from one Node.js to the other. */
const nameOf = (methods: string[]) => (methods.includes('PROPFIND') ? 'OTHERS' : methods.join(','))

function routeOf({ method, url, config, schema }: RouteOptions, file: string | undefined): Route {
  const { response = {} } = schema ?? {}
  const statuses = Object.keys(response as object)
  return {
    method: nameOf([method].flat()),
    url,
    access: config?.access ?? '-',
    limit: config?.limit ?? '-',
    statuses,
    hashes: config?.hashes !== undefined,
    file,
  }
}

/** A route is stated while the function of its file runs. */
const fileOnStack = () => /\/routes\/([^:]+)\.[jt]s:/.exec(new Error().stack!)?.[1]

/** Starts the service and looks on: Fastify tells of each instance that it makes. */
async function watchStart(t: Test) {
  const stated: { route: RouteOptions; url: string; file: string | undefined }[] = []
  const hooks: string[] = []
  const watch = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', (route) => void stated.push({ route, url: route.url, file: fileOnStack() }))
    const { addHook } = fastify
    fastify.addHook = function (this: FastifyInstance, name: string, ...rest: unknown[]) {
      if (name === 'onRequest') hooks.push(this.pluginName.split(' -> ').at(-1)!)
      return addHook.call(this, name as 'onRequest', ...(rest as [never]))
    } as typeof addHook
  }
  subscribe('fastify.initialization', watch)
  const app = await startApp(t, createEngine(t, 'sqlite'))
  unsubscribe('fastify.initialization', watch)
  // Now that every hook that changes a route has run.
  const routes = stated.map(({ route, url, file }) => routeOf({ ...route, url }, file))
  const hooksOf = new Map(
    stated.map(({ route, url }) => [
      `${route.method} ${url}`,
      [route.onRequest ?? []].flat().map((hook) => (hook as { name: string }).name),
    ]),
  )
  // A package without a name of its own is called by its whole path.
  const plugins = app.server.pluginName.split(' -> ').map((name) => name.replace(/^.*node_modules\//, ''))
  return { app, routes, hooks, plugins, hooksOf }
}

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b))

function pageOf({ routes, plugins, hooks }: Awaited<ReturnType<typeof watchStart>>): string {
  const sorted = [...routes].sort((a, b) => compare(a.url, b.url) || compare(a.method, b.method))
  const lines = sorted.map(({ method, url, access, limit, statuses }) =>
    [method.padEnd(8), url.padEnd(36), access.padEnd(7), limit.padEnd(7), statuses.join(' ')].join(' ').trimEnd(),
  )
  return [
    'Routes: method, address, access, limit, statuses',
    ...lines,
    '',
    'Plugins, in the order in which they are loaded',
    ...plugins.slice(1),
    '',
    'onRequest hooks, in the order in which they run: who added them',
    ...hooks,
    '',
  ].join('\n')
}

/** JSON for people: what fits in a line stands in one. */
function write(value: unknown, indent = ''): string {
  const line = JSON.stringify(value)
  if (indent.length + line.length < 110 || typeof value !== 'object' || value === null) return line
  const deeper = `${indent}  `
  const members = Object.entries(value).map(([name, member]) =>
    Array.isArray(value) ? write(member, deeper) : `${JSON.stringify(name)}: ${write(member, deeper)}`,
  )
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return `${open}\n${members.map((text) => deeper + text).join(',\n')}\n${indent}${close}`
}

t.test('routes, plugins and hooks are those of test/surface.txt', async (t) => {
  holdAgainstFile(t, 'test/surface.txt', pageOf(await watchStart(t)))
})

t.test('the OpenAPI document is test/openapi.json', async (t) => {
  const app = await startApp(t, createEngine(t, 'sqlite'))
  const { body } = await app.anon.get('/docs/json')
  holdAgainstFile(t, 'test/openapi.json', `${write(body)}\n`)
})

t.test('each address starts with the path of its file, and each file has one', async (t) => {
  const { routes } = await watchStart(t)
  const files = readdirSync(join(ROOT, 'routes'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => path.replace(/\.ts$/, ''))
  const own = routes.filter(({ url }) => url !== DOCS && !url.startsWith(`${DOCS}/`))
  for (const { method, url, file } of own)
    t.ok(file && `${url}/`.startsWith(`/${file}/`), `${method} ${url} stands in routes/${file}.ts`)
  t.strictSame([...new Set(own.map(({ file }) => file))].sort(), files.sort())
})

t.test('no hook of a route stands before the gate', async (t) => {
  const { hooksOf } = await watchStart(t)
  for (const [name, [first]] of hooksOf) t.equal(first, 'gate', name)
  t.ok(hooksOf.size > 30)
})

t.test('each route says what it is', async (t) => {
  const { app, routes } = await watchStart(t)
  const document = (await app.anon.get('/docs/json')).body
  const ids: string[] = []
  for (const { method, url, access, limit, hashes, file } of routes) {
    // By other methods /auth/verify is the same as by GET: test/routes/auth/verify.test.ts.
    if (file === undefined || method === 'HEAD' || method === 'OTHERS') continue
    const path = url.replace(/:(\w+)/g, '{$1}')
    const { operationId, summary, description, tags, security } = document.paths[path][method.toLowerCase()]
    const codes = (status: number) => documentedCodes(document, method, path, status) ?? []
    ids.push(operationId)
    t.ok(operationId && summary && description && tags.length === 1, `${method} ${url}`)
    t.ok(access !== '-' && limit !== '-', 'access and limit')
    t.equal(security.length === 0, access === 'public', 'the document asks for a token where the gate does')
    t.equal(codes(401).includes('INVALID_TOKEN'), access !== 'public' && access !== 'service')
    if (access === 'service')
      t.strictSame([security, codes(401)], [[{ basic: [] }], ['UNAUTHENTICATED', 'INVALID_CREDENTIALS']])
    t.equal(codes(429).includes('RATE_LIMITED'), limit === 'guesses')
    t.equal(codes(503).includes('OVERLOADED'), hashes)
  }
  t.equal(new Set(ids).size, ids.length, 'no operationId twice')
})

t.test('a scope with a route that does not state access and limit does not start', async (t) => {
  const cases: [config: object | undefined, starts: boolean][] = [
    [undefined, false],
    [{}, false],
    [{ access: 'public' }, false],
    [{ limit: 'none' }, false],
    [{ access: 'public', limit: 'none' }, true],
  ]
  for (const [config, starts] of cases) {
    const app = Fastify()
    app.register(async (scope) => {
      demandAccess(scope)
      scope.register(async (inner) => {
        inner.route({ method: 'GET', url: '/x', ...(config && { config }), handler: async () => 'x' })
      })
    })
    if (starts) await t.resolves(async () => void (await app.ready()))
    else
      await t.rejects(
        async () => void (await app.ready()),
        /\/x does not state its access and its limit/,
        JSON.stringify(config),
      )
    await app.close()
  }
})
