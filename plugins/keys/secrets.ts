/**
 * Keys derived from SECRET, one label a purpose (HKDF, RFC 5869), and the SECRET that is generated beside a SQLite file.
 */
import { hkdfSync, randomBytes as systemRandomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { Config } from '../../config.ts'
import { databaseAddress, FORMATS } from '../../schemas/config.ts'

export type Purpose = 'signing-key-seal' | 'refresh-token-mac'

/** Derives the keys of 32 bytes for a purpose: one for each entry of SECRET, the one to use first. */
export function createSecrets(config: Config): (purpose: Purpose) => [Buffer, ...Buffer[]] {
  const secrets = config.SECRET.length > 0 ? config.SECRET : [localSecret(config)]
  return (purpose) =>
    secrets.map((secret) => Buffer.from(hkdfSync('sha256', secret, '', `latchkey/${purpose}`, 32))) as [Buffer]
}

/** Where the generated SECRET of a SQLite file lies. */
export function secretFile(config: Config): string {
  // config.ts demands a SECRET for every other database.
  const { file } = databaseAddress(config.DATABASE_URL) as { file: string }
  return `${file}.secret`
}

/** Reads the SECRET beside the SQLite file, made at the first start. */
function localSecret(config: Config): string {
  const file = secretFile(config)
  if (!existsSync(file)) makeSecret(file)
  const secret = readFileSync(file, 'utf8').trim()
  if (FORMATS.secret!.check(secret)) return secret
  throw new Error(
    `${file} does not hold a SECRET of 32 bytes or more. Put back the one that was made with the database.`,
  )
}

/** Whole or not at all, also when the process dies here or two make it at once: a link to a finished file. */
function makeSecret(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${systemRandomBytes(6).toString('hex')}`
  const handle = openSync(draft, 'wx', 0o600)
  writeSync(handle, `${systemRandomBytes(32).toString('hex')}\n`)
  fsyncSync(handle)
  closeSync(handle)
  try {
    linkSync(draft, file)
  } catch (error) {
    // Another process was faster; anything else is a file system without hard links.
    /* c8 ignore next 2 */
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    unlinkSync(draft)
  }
}
