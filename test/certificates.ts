// Certificates of a test's own, made by openssl: authorities, and servers that they vouch for.

import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { need } from './programs.ts'

/** What `openssl ca` wants to know; unlike `openssl x509` it makes certificates of the past in every version. */
const CONFIG = `[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
`
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

export type Certificates = Awaited<ReturnType<typeof makeCertificates>>

/** A folder of certificates, gone when the test ends. All servers have the key `server.key`. */
export async function makeCertificates(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-certificates-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync(need('openssl'), args, { cwd: folder, stdio: 'pipe' })

  await writeFile(file('ca.cnf'), CONFIG)
  await writeFile(file('index.txt'), '')
  openssl('req', '-new', ...CURVE, '-subj', '/CN=server', '-keyout', 'server.key', '-out', 'server.csr')
  return {
    file,
    read: (name: string) => readFile(file(name), 'utf8'),
    /** An authority that nobody knows: NAME.pem, NAME.key. */
    authority(name: string) {
      const own = ['-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`]
      openssl('req', '-x509', ...CURVE, '-days', '2', ...own)
    },
    /** A server's certificate, NAME.pem, for these names (`DNS:localhost,IP:127.0.0.1`) or, without, for `CN=server`. */
    async server(name: string, by: string, names = '', until = '20990101000000Z') {
      await writeFile(file('names.cnf'), `basicConstraints = CA:FALSE\n${names && `subjectAltName = ${names}\n`}`)
      const authority = ['-cert', `${by}.pem`, '-keyfile', `${by}.key`, '-extfile', 'names.cnf']
      const times = ['-startdate', '20200101000000Z', '-enddate', until]
      const paper = ['-in', 'server.csr', '-out', `${name}.pem`, '-notext', '-batch']
      openssl('ca', '-config', 'ca.cnf', ...authority, ...times, ...paper)
    },
  }
}
