// A private nginx in front of a service of the test: the configuration that we ship (deploy/nginx/), with ports put in.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { freePort, killWithUs } from './mariadb.ts'
import { ROOT } from './process.ts'
import { need } from './programs.ts'

const TEMPLATE = join(ROOT, 'deploy/nginx/latchkey.conf.template')

export interface Nginx {
  /** `http://127.0.0.1:PORT`; the service is there at / and under /latchkey/. */
  origin: string
  port: number
}

/** Starts nginx in front of the instances on these ports, on a port of its own. Gone when the test ends. */
export async function startNginx(t: Test, latchkeyPorts: number | number[], ownPort?: number): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-nginx-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const port = ownPort ?? (await freePort())
  const site = fill(readFileSync(TEMPLATE, 'utf8'), {
    LISTEN: `127.0.0.1:${port}`,
    // As somebody writes it who has two instances: a line each.
    LATCHKEY: [latchkeyPorts]
      .flat()
      .map((one) => `127.0.0.1:${one}`)
      .join(';\n  server '),
  })
  writeFileSync(join(folder, 'latchkey.conf'), site)
  writeFileSync(join(folder, 'nginx.conf'), frame(folder))

  const child = spawn(need('nginx'), ['-c', join(folder, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
  killWithUs(child)
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaints += text
  })
  const ended = once(child, 'close')
  t.teardown(() => {
    child.kill('SIGTERM')
    return ended
  })
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`nginx did not start:\n${complaints}`)
    await pause(20)
  }
  return { origin: `http://127.0.0.1:${port}`, port }
}

/** As envsubst does it in nginx' image: of all that looks like a variable only those that are set. */
function fill(template: string, values: Record<string, string>): string {
  return template.replace(/\$\{(\w+)\}/g, (text, name) => values[name] ?? text)
}

/** What stands around the site in nginx' own nginx.conf, with every path in the test's folder. */
function frame(folder: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
    # Whoever is not root has no other user to change to.
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off;
    pid ${folder}/nginx.pid;
    error_log stderr warn;
    worker_processes 1;
    events {}
    http {
      access_log off;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
      include ${folder}/latchkey.conf;
    }
  `
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return open
}
