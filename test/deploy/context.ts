// The build context: what an engine is given to copy from, that is the files that git has or would take, less those that
// .dockerignore leaves out.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The paths, from the root of the package. */
export function contextFiles(root: string): string[] {
  const rules = readFileSync(join(root, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(ruleOf)
  // What is ignored by git is made by tools; on a person's machine an engine would see it, and so would .dockerignore.
  const listed = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  const files = listed.split('\0').filter((path) => path !== '' && existsSync(join(root, path)))
  return files.filter((path) => !isIgnored(path, rules))
}

interface Rule {
  keeps: boolean
  pattern: RegExp
}

/** `*` stands for what holds no slash; `!` takes back. */
function ruleOf(line: string): Rule {
  const keeps = line.startsWith('!')
  const glob = line.slice(keeps ? 1 : 0).replace(/[.+^${}()|[\]\\]/g, '\\$&')
  return { keeps, pattern: new RegExp(`^${glob.replaceAll('*', '[^/]*')}$`) }
}

/** The last rule that names the path, or a folder that it lies in, decides. */
function isIgnored(path: string, rules: Rule[]): boolean {
  const parts = path.split('/')
  const names = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
  const last = rules.findLast(({ pattern }) => names.some((name) => pattern.test(name)))
  return last !== undefined && !last.keeps
}
