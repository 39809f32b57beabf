// `npm run container:check`: builds the image's tree by the Dockerfile's own steps, without an engine, runs it as nearly as
// a container as this machine can, and stops it. Fails at the first thing that is not as it should be.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../mariadb.ts'
import { buildImage, type Image } from './image.ts'
import { type Contained, NEARNESS, run, seal } from './sandbox.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const HEALTHY_WITHIN = 60_000

type Say = (line: string) => void

/** Everything, in a folder that is gone afterwards. */
async function checkContainer(say: Say): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-container-'))
  // The container's user has to get at what lies in it.
  chmodSync(folder, 0o755)
  try {
    const image = await buildImage(ROOT, folder, say)
    seal(image)
    await checkTree(image)
    await checkService(image, say)
    for (const [path, size] of sizes(image)) say(`${(size / 1e6).toFixed(1).padStart(7)} MB  ${path}`)
  } finally {
    // Only root can remove what cannot be written.
    execFileSync('chmod', ['-R', 'u+w', folder])
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Nothing lies in it but what the service needs, and nothing but the volume can be written. */
async function checkTree(image: Image): Promise<void> {
  const list = (path: string) => readdirSync(join(image.root, path)).sort()
  assert.deepEqual(list('usr/local/bin'), ['node'])
  assert.deepEqual(list(image.workdir), ['LICENSE', 'data', 'dist', 'node_modules', 'package.json'])
  assert.deepEqual(
    unneeded().filter((path) => existsSync(join(image.root, image.workdir, path))),
    [],
  )
  const touch = async (folder: string) => run(image, ['touch', join(image.root, folder, 'probe')]).ended
  assert.equal(await touch(image.volume), 0, 'the volume can be written')
  assert.notEqual(await touch(image.workdir), 0, 'the service cannot be written')
}

/** The folders of packages that only the development needs, or that are optional. */
function unneeded(): string[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const lock = Object.entries(packages as Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>)
  return lock.filter(([, { dev, optional, devOptional }]) => dev || optional || devOptional).map(([path]) => path)
}

async function checkService(image: Image, say: Say): Promise<void> {
  const PORT = String(await freePort())
  const origin = `http://127.0.0.1:${PORT}`
  const service = run(image, image.command, { PORT })
  const start = Date.now()
  await healthy(image, service, PORT)
  say(`Runs ${NEARNESS}; healthy after ${seconds(start)} s.`)
  assert.equal(await status(`${origin}/health/ready`), 200)
  assert.equal(await register(origin), 201)
  service.stop()
  const stopping = Date.now()
  while ((await status(`${origin}/health/ready`)) === 200) await pause(10)
  assert.equal(await status(`${origin}/health/ready`), 503)
  assert.equal(await status(`${origin}/health/live`), 200, 'it goes on serving for SHUTDOWN_DELAY')
  assert.equal(await service.ended, 0, service.output())
  assert.match(service.output(), /SIGTERM: stopping/)
  say(`A person registered. After SIGTERM it was not ready but served, and ended after ${seconds(stopping)} s with 0.`)
}

/** Asked again and again by the HEALTHCHECK's own command, as an engine does. */
async function healthy(image: Image, service: Contained, PORT: string): Promise<void> {
  const deadline = Date.now() + HEALTHY_WITHIN
  while ((await run(image, image.healthcheck, { PORT }).ended) !== 0) {
    assert.ok(service.child.exitCode === null && Date.now() < deadline, service.output())
    await pause(100)
  }
}

const status = async (url: string) => (await fetch(url)).status

async function register(origin: string): Promise<number> {
  const body = JSON.stringify({ username: 'ann', email: 'ann@example.com', password: 'correct horse battery' })
  const headers = { 'content-type': 'application/json' }
  return (await fetch(`${origin}/user/register`, { method: 'POST', headers, body })).status
}

const seconds = (since: number) => ((Date.now() - since) / 1000).toFixed(1)

/** What the last stage adds to its base, in bytes. */
function sizes({ root, workdir }: Image): [string, number][] {
  const app = readdirSync(join(root, workdir)).map((name) => join(workdir, name))
  const parts = ['/usr/local', ...app].map((path): [string, number] => [path, sizeOf(join(root, path))])
  // Less is not worth a line.
  return parts.filter(([, size]) => size > 5e4).sort(([, a], [, b]) => b - a)
}

function sizeOf(path: string): number {
  const stat = lstatSync(path)
  if (!stat.isDirectory()) return stat.size
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
}

await checkContainer((line) => console.log(line))
