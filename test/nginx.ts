// A private nginx in front of a service of the test: the configuration that we ship (deploy/nginx/), with ports put in.

import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { launch } from './launch.ts'
import { freePort } from './mariadb.ts'
import { need } from './programs.ts'

const TEMPLATES = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url))

export interface Nginx {
  /** `http://127.0.0.1:PORT`; where it protects nothing, the service is there at / and under /latchkey/. */
  origin: string
  port: number
}

/** What ends with a test, or with something else that lives as long. */
type Ending = Pick<Test, 'teardown'>

interface Choices {
  /** Where the service lies that this nginx protects. */
  app?: number
  /** Where nginx is to listen. */
  port?: number
}

/** Starts nginx in front of the instances on these ports, and of another service that it protects. Gone when the test ends. */
export async function startNginx(t: Ending, latchkey: number | number[], choices: Choices = {}): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-nginx-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const { app, port = await freePort() } = choices
  const template = app === undefined ? 'latchkey.conf.template' : 'protected.conf.template'
  // As somebody writes it who has two instances: a line each.
  const servers = [latchkey].flat().map((one) => `127.0.0.1:${one}`)
  const site = fill(readFileSync(join(TEMPLATES, template), 'utf8'), {
    LISTEN: `127.0.0.1:${port}`,
    LATCHKEY: servers.join(';\n  server '),
    APP: `127.0.0.1:${app}`,
  })
  writeFileSync(join(folder, 'latchkey.conf'), site)
  writeFileSync(join(folder, 'nginx.conf'), frame(folder))

  await launch(t, [need('nginx'), '-c', join(folder, 'nginx.conf')], port)
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
