// Runs the steps of the Dockerfile without an engine: each stage in an empty folder of its own, from the files that an
// engine would be given. For the base images stand in: npm's package of Node.js' line, and this machine for Debian.

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { packageOf } from '../nodes.ts'
import { contextFiles } from './context.ts'
import { execForm, flags, pairs, readDockerfile, type Stage, type Step, textsOf } from './dockerfile.ts'

export interface Image {
  /** The folder that is its `/`. */
  root: string
  workdir: string
  env: Record<string, string>
  user: string
  volume: string
  command: string[]
  healthcheck: string[]
}

type Say = (line: string) => void

/** Builds the last stage, and those before it, in folders under `folder`. */
export async function buildImage(source: string, folder: string, say: Say): Promise<Image> {
  const stages = readDockerfile(readFileSync(join(source, 'Dockerfile'), 'utf8'))
  const context = join(folder, 'context')
  for (const path of contextFiles(source)) copy(join(source, path), join(context, path))
  const build = { folder, context, say }
  for (const stage of stages) await runStage(stage, build)
  return imageOf(stages.at(-1)!, folder)
}

interface Build {
  folder: string
  context: string
  say: Say
}

async function runStage({ name, base, steps }: Stage, build: Build): Promise<void> {
  const root = join(build.folder, name)
  await layBase(base, root, build)
  let workdir = '/'
  for (const step of steps) {
    if (step.name === 'WORKDIR') workdir = resolve(workdir, step.text)
    mkdirSync(join(root, workdir), { recursive: true })
    if (step.name === 'COPY') runCopy(step, root, workdir, build)
    if (step.name === 'RUN') runCommand(step, root, workdir, build.say)
  }
}

async function layBase(base: string, root: string, { folder, say }: Build): Promise<void> {
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true })
  const [, line] = /^node:(\d+)\./.exec(base) ?? []
  if (line !== undefined) {
    // The newest that npm has, which may be older than the image's.
    const node = await packageOf(
      line,
      async ([npm = '', ...args]) => spawnSync(npm, args, { env: ownEnv() }).status === 0,
    )
    cpSync(node, join(root, 'usr/local'), { recursive: true })
    say(`${execFileSync(join(node, 'bin/node'), ['-v'], { encoding: 'utf8' }).trim()} from npm stands in for ${base}.`)
  } else if (/^debian:/.test(base)) {
    say(`This machine's libraries stand in for ${base}.`)
  } else cpSync(join(folder, base), root, { recursive: true })
}

/** A folder's contents are copied, not the folder; a target with a slash at its end, or for several sources, is a folder. */
function runCopy({ text }: Step, root: string, workdir: string, { folder, context }: Build): void {
  const { flags: given, rest } = flags(text)
  const words = rest.split(/\s+/)
  const target = words.pop()!
  const from = given.from === undefined ? context : join(folder, given.from)
  const sources = words.flatMap((word) => matching(from, word))
  if (sources.length === 0) throw new Error(`COPY ${text}: there is nothing to copy`)
  const place = join(root, resolve(workdir, target))
  for (const one of sources) {
    const intoFolder = !statSync(one).isDirectory() && (/\/$|^\.$/.test(target) || sources.length > 1)
    copy(one, intoFolder ? join(place, basename(one)) : place)
  }
}

function matching(from: string, word: string): string[] {
  if (!word.includes('*')) return [join(from, word)]
  const pattern = new RegExp(`^${basename(word).replaceAll('.', '\\.').replaceAll('*', '.*')}$`)
  const inFolder = join(from, dirname(word))
  return readdirSync(inFolder)
    .filter((name) => pattern.test(name))
    .map((name) => join(inFolder, name))
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to, { recursive: true, verbatimSymlinks: true })
}

function runCommand({ text }: Step, root: string, workdir: string, say: Say): void {
  const start = Date.now()
  const PATH = `${join(root, 'usr/local/bin')}:${process.env.PATH}`
  // Whoever is not root owns what is made already.
  const command = process.getuid?.() === 0 ? text : text.replace(/&& chown .*/, '')
  // A test's parent slips NODE_OPTIONS into each child that it sees.
  execFileSync('env', ['-u', 'NODE_OPTIONS', 'sh', '-c', command], {
    cwd: join(root, workdir),
    env: { ...ownEnv(), PATH },
    stdio: 'pipe',
  })
  say(`${((Date.now() - start) / 1000).toFixed(1).padStart(5)} s  RUN ${command}`)
}

/** Without what npm and the test run set for the programs that they start. */
function ownEnv(): NodeJS.ProcessEnv {
  const theirs = /^(NODE_(ENV|OPTIONS|V8_COVERAGE)|_?TAP.*|npm_(?!config_).*|npm_config_(local_)?prefix)$/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !theirs.test(name)))
}

function imageOf(stage: Stage, folder: string): Image {
  const last = (name: string) => textsOf(stage, name).at(-1)
  return {
    root: join(folder, stage.name),
    workdir: last('WORKDIR') ?? '/',
    env: Object.assign({}, ...textsOf(stage, 'ENV').map(pairs)),
    user: last('USER') ?? '0:0',
    volume: last('VOLUME') ?? '',
    command: [...execForm(last('ENTRYPOINT')), ...execForm(last('CMD'))],
    healthcheck: execForm(flags(last('HEALTHCHECK') ?? '').rest.replace(/^CMD /, '') || undefined),
  }
}
