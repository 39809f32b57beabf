// What the recipes in deploy/ are tried with: each gateway as the program that it is, with the configuration that we ship,
// between clients and two services: Latchkey, which can be cut off, and an app that tells what it sees.

import { execFileSync } from 'node:child_process'
import { createHash, createPublicKey, type JsonWebKey } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer as createForwarder, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { launch } from './launch.ts'
import { freePort } from './mariadb.ts'
import { startNginx } from './nginx.ts'
import { ROOT } from './process.ts'
import { need } from './programs.ts'

/** Public keys by their `kid`. */
export type Jwks = { keys: (JsonWebKey & { kid: string })[] }

interface Behind {
  latchkey: number
  app: number
  issuer: string
  jwks: Jwks
  /** In the place of HAProxy's script that asks Latchkey. */
  script?: string
  /** Changes the recipe before it is tried. */
  edit?: (recipe: string) => string
}

/** The gateways that are tried; each gives the port on which it listens. */
export const GATEWAYS = {
  nginx: async (t: Test, { latchkey, app, edit }: Behind) =>
    edit ? startEdited(t, latchkey, app, edit) : (await startNginx(t, latchkey, { app })).port,
  caddy: startCaddy,
  haproxy: startHaproxy,
}

const local = (port: number) => `127.0.0.1:${port}`

async function emptyFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-gateway-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** As startNginx, but with a recipe that is changed before. */
async function startEdited(t: Test, latchkey: number, app: number, edit: (recipe: string) => string): Promise<number> {
  const folder = await emptyFolder(t)
  const port = await freePort()
  const recipe = edit(readFileSync(join(ROOT, 'deploy/nginx/protected.conf.template'), 'utf8'))
  const values: Record<string, string> = { LISTEN: local(port), LATCHKEY: local(latchkey), APP: local(app) }
  const site = recipe.replace(/\$\{(\w+)\}/g, (_, name) => values[name]!)
  const [file, pid] = [join(folder, 'nginx.conf'), join(folder, 'pid')]
  const user = process.getuid?.() === 0 ? 'user root; ' : ''
  const kept = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  writeFileSync(
    file,
    `${user}daemon off; pid ${pid}; error_log stderr; events {} http { access_log off; ${kept.join(' ')} ${site} }`,
  )
  await launch(t, [need('nginx'), '-c', file], port)
  return port
}

const unchanged = (recipe: string) => recipe

/** The path of a recipe, changed. */
async function recipeIn(t: Test, path: string, edit = unchanged): Promise<string> {
  const file = join(await emptyFolder(t), 'recipe')
  writeFileSync(file, edit(readFileSync(join(ROOT, path), 'utf8')))
  return file
}

async function startCaddy(t: Test, { latchkey, app, edit }: Behind): Promise<number> {
  const folder = await emptyFolder(t)
  const port = await freePort()
  const own = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder, CADDY_ADMIN: 'off' }
  const env = { ...own, LISTEN: `:${port}`, LATCHKEY: local(latchkey), APP: local(app) }
  const file = await recipeIn(t, 'deploy/caddy/Caddyfile', edit)
  await launch(t, [need('caddy'), 'run', '--config', file, '--adapter', 'caddyfile'], port, env)
  return port
}

const SCRIPT = join(ROOT, 'deploy/haproxy/latchkey.lua')

async function startHaproxy(t: Test, { latchkey, app, issuer, jwks, script = SCRIPT, edit }: Behind): Promise<number> {
  const KEYS = await emptyFolder(t)
  exportKeys(jwks, KEYS)
  const keys = join(KEYS, 'keys.cfg')
  writeFileSync(keys, execFileSync(join(ROOT, 'deploy/haproxy/keys.sh'), [KEYS]))
  const port = await freePort()
  const env = {
    ...{ LISTEN: local(port), VERIFY: local(await freePort()), LATCHKEY: local(latchkey), APP: local(app), KEYS },
    ...{ ISSUER: issuer, AUDIENCE: 'latchkey', LATCHKEY_LUA: script },
  }
  const file = await recipeIn(t, 'deploy/haproxy/haproxy.cfg', edit)
  await launch(t, [need('haproxy'), '-db', '-f', file, '-f', keys], port, env)
  return port
}

/** As `latchkey keys export --pem --dir DIR` does it. */
export function exportKeys({ keys }: Jwks, folder: string): void {
  for (const key of keys) {
    const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
    writeFileSync(join(folder, `${key.kid}.pem`), pem)
  }
}

/** What the app saw of a request. */
export interface Seen {
  method: string
  url: string
  /** As they were sent, name and value in turn; then the trailers. */
  headers: [name: string, value: string][]
  body: Buffer
}

export interface App {
  port: number
  seen: Seen[]
}

/** The service that is protected. It answers /status/NNN with that status, upgrades to whatever is asked for, and echoes what comes then. */
export async function startProtected(t: Test): Promise<App> {
  const seen: Seen[] = []
  const look = async (request: IncomingMessage, body: Buffer) => {
    const { method = '', url = '', rawHeaders, rawTrailers } = request
    const fields = [...rawHeaders, ...rawTrailers]
    const pairs = fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1]!] as [string, string]] : []))
    seen.push({ method, url, headers: pairs, body })
  }
  const server = createServer({ maxHeaderSize: 65_536 }, async (request, response) => {
    await look(request, await buffer(request))
    const status = Number(/^\/status\/(\d+)/.exec(request.url!)?.[1] ?? 200)
    const text = `the app's own ${status}`
    response
      .writeHead(status, { 'content-type': 'text/plain', 'content-length': text.length, 'x-app': 'yes' })
      .end(text)
  })
  server.on('upgrade', async (request, socket: Socket) => {
    await look(request, Buffer.alloc(0))
    const { upgrade, 'sec-websocket-key': key } = request.headers
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    const head = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', `Upgrade: ${upgrade}`]
    socket.write([...head, `Sec-WebSocket-Accept: ${accept}`, '', ''].join('\r\n'))
    socket.on('error', () => {}).pipe(socket)
  })
  server.on('connect', async (request, socket: Socket) => {
    await look(request, Buffer.alloc(0))
    socket.end('HTTP/1.1 200 OK\r\n\r\n')
  })
  return { port: await listenOn(t, server), seen }
}

/** A wire to the service on this port that can be cut, and mended. */
export async function startWire(t: Test, port: number) {
  const sockets = new Set<Socket>()
  const server = createForwarder((near) => {
    const far = connect(port, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()).on('close', () => sockets.delete(one))
      one.pipe(other)
    }
  })
  const own = await listenOn(t, server)
  return {
    port: own,
    async cut() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
    mend: () => once(server.listen(own, '127.0.0.1'), 'listening'),
  }
}

async function listenOn(t: Test, server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}
