// The programs that tests need beside Node.js, and how each one comes onto the machine. npm's come by themselves; the
// others are installed on a build machine (CI=true, as root), and elsewhere the tests that need one are skipped by name.

import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const TOOLS = fileURLToPath(new URL('../../test/tools/', import.meta.url))

interface Source {
  /** Where it is; undefined where it is missing. */
  find: () => string | undefined
  /** By what it is installed: a package of Debian, or one of the files in test/tools/. */
  from: { debian: string } | { pip: string } | { npm: string }
}

const debian = (name: string, find: () => string | undefined): Source => ({ find, from: { debian: name } })
const npm = (name: string): Source => ({
  find: () => executable(join(TOOLS, 'node_modules/.bin', name)),
  from: { npm: TOOLS },
})
const pip = (name: string): Source => ({
  find: () => executable(join(TOOLS, 'python/bin', name)),
  from: { pip: TOOLS },
})

const SOURCES = {
  // Both: MySQL's server alone cannot be set up in the way of test/mariadb.ts.
  mariadb: debian(
    'mariadb-server',
    () => onPath('mariadb-install-db', 'mysql_install_db') && onPath('mariadbd', 'mysqld'),
  ),
  nginx: debian('nginx-light', () => onPath('nginx')),
  caddy: debian('caddy', () => onPath('caddy')),
  haproxy: debian('haproxy', () => onPath('haproxy')),
  chromium: debian('chromium', () => onPath('chromium', 'chromium-browser', 'google-chrome')),
  openssl: debian('openssl', () => onPath('openssl')),
  curl: debian('curl', () => onPath('curl')),
  /** With `requests`, as the clients' example uses it. */
  python: debian('python3-requests', () => pythonWith('requests')),
  /** With PyJWT and what it needs for ES256. */
  'python-jwt': debian('python3-jwt', () => pythonWith('jwt, cryptography')),
  'python-cryptography': debian('python3-cryptography', () => pythonWith('cryptography')),
  pip: debian('python3-pip', () => pythonWith('pip')),
  hadolint: pip('hadolint'),
  'kubernetes-validate': pip('kubernetes-validate'),
  redocly: npm('redocly'),
  newman: npm('newman'),
  'openapi-typescript': npm('openapi-typescript'),
  /** TypeScript 5, which openapi-typescript builds on. */
  tsc: npm('tsc'),
} satisfies Record<string, Source>

export type Program = keyof typeof SOURCES

/** Where the program is; undefined where it is missing. */
export const find = (name: Program): string | undefined => SOURCES[name].find()

/** Where the program is; a test that comes here without it forgot to skip. */
export function need(name: Program): string {
  const path = find(name)
  if (path === undefined) throw new Error(`${name} is not installed.`)
  return path
}

/** What to give tap as `skip`: which of these programs are missing, or false where none is. */
export function skipWithout(...names: Program[]): string | false {
  const missing = names.filter((name) => find(name) === undefined)
  return missing.length > 0 && `not installed: ${missing.join(', ')}`
}

/** The commands that install what is missing. Those of npm anywhere; all others as root, on a build machine alone. */
export function installers(buildMachine: boolean): string[][] {
  const missing = Object.values(SOURCES as Record<string, Source>).filter(({ find }) => find() === undefined)
  const folders = new Set(missing.flatMap(({ from }) => ('npm' in from ? from.npm : [])))
  const ours = [...folders].map((folder) => ['npm', 'ci', '--prefix', folder])
  if (!buildMachine) return ours
  const packages = missing.flatMap(({ from }) => ('debian' in from ? from.debian : []))
  const needsPip = missing.some(({ from }) => 'pip' in from)
  const apt = [
    ['apt-get', 'update'],
    ['apt-get', 'install', '-y', '--no-install-recommends', ...packages],
  ]
  const python = ['-m', 'pip', 'install', '--target', join(TOOLS, 'python'), '-r', join(TOOLS, 'requirements.txt')]
  return [
    ...ours,
    ...(packages.length > 0 ? apt : []),
    ...(needsPip ? [[find('pip') ?? '/usr/bin/python3', ...python]] : []),
  ]
}

export const onPath = (...names: string[]): string | undefined => allOnPath(...names)[0]

/** Servers lie in sbin, which is not on every user's PATH. */
function allOnPath(...names: string[]): string[] {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/usr/libexec']
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).filter(executable)
}

function executable(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK)
    return path
  } catch {
    return undefined
  }
}

/** Debian's own Python where there are several: its packages are what is installed. */
function pythonWith(module: string): string | undefined {
  return ['/usr/bin/python3', ...allOnPath('python3')].find((python) => {
    if (!existsSync(python)) return false
    try {
      execFileSync(python, ['-c', `import ${module}`], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
}
