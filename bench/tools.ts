/** The benchmark's own packages, in bench/tools/: they come on its first run, not with `npm ci` of the package. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TOOLS = join(ROOT, 'bench/tools/')

/** Brings them where they are missing. Throws where npm cannot. */
export function installTools(): void {
  if (existsSync(join(TOOLS, 'node_modules/undici'))) return
  console.log('Bringing the load tools and Express into bench/tools/ …')
  execFileSync('npm', ['ci', '--prefix', TOOLS], { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** One of them. Their types are not there when the benchmark is compiled: the caller says what it uses. */
export const tool = <Package>(name: string): Package => createRequire(TOOLS)(name)
