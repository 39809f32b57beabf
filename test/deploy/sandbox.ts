// Runs a command as a container would: as the image's user, with nothing in the environment but the image's, as process 1,
// without capabilities, and with a file system that cannot be written but for the volume. That takes root and Linux;
// elsewhere the command runs as the same person, who cannot write the tree either.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { killWithUs } from '../mariadb.ts'
import { onPath } from '../programs.ts'
import type { Image } from './image.ts'

const isolated = process.getuid?.() === 0 && onPath('unshare') !== undefined && onPath('setpriv') !== undefined

/** How near to a container it is, for people. */
export const NEARNESS = isolated
  ? 'in namespaces of its own, without capabilities, on a read-only file system'
  : "as this machine's user, since only root on Linux can change to another; its tree cannot be written"

/** $1 is the volume, $2 and $3 are user and group; then comes the command. */
const ENTER = `
mount --bind "$1" "$1" && mount -o remount,bind,ro / || exit 125
user=$2 group=$3
shift 3
exec setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
`
const UNSHARE = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--', 'sh', '-c', ENTER, 'sh']

export interface Contained {
  child: ChildProcess
  output: () => string
  /** Its exit code. */
  ended: Promise<number>
  /** As `docker stop` does it: to the container's process 1. */
  stop: () => void
}

/** Makes the tree one that only the volume's owner can write, and there alone. */
export function seal({ root, volume }: Image): void {
  execFileSync('chmod', ['-R', 'a-w', root])
  execFileSync('chmod', ['u+w', join(root, volume)])
}

export function run(image: Image, command: string[], env: Record<string, string> = {}): Contained {
  const [user = '', group = ''] = image.user.split(':')
  const inside = isolated ? [...UNSHARE, join(image.root, image.volume), user, group] : []
  const PATH = `${join(image.root, 'usr/local/bin')}:/usr/sbin:/usr/bin:/sbin:/bin`
  const settings = Object.entries({ PATH, ...image.env, ...env }).map(([name, value]) => `${name}=${value}`)
  // These and no other ones: a test's parent slips some into each child that it sees.
  const child = spawn('env', ['-i', ...settings, ...inside, ...command], {
    cwd: join(image.root, image.workdir),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  killWithUs(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part) => {
      text += part
    })
  }
  const ended = once(child, 'close').then(([code]) => (code ?? 1) as number)
  const stop = () => void process.kill(isolated ? childOf(child.pid!) : child.pid!, 'SIGTERM')
  return { child, output: () => text, ended, stop }
}

/** unshare waits for its one child, which is process 1 inside. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
}
