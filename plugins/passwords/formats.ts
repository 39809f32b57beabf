/**
 * How a password is stored and compared. What is stored is passlib's bcrypt_sha256, version 2:
 * `$bcrypt-sha256$v=2,t=2b,r=COST$SALT$DIGEST`, so that a password counts whole, and not up to bcrypt's 72 bytes.
 * Synchronous on purpose: it runs inside the threads of queue.ts, never on libuv's pool, which files and DNS use too.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
// Imported whole, since a test records the calls of `hashSync`: that is how it sees that a decoy was really hashed.
import bcrypt from 'bcrypt'
import { isCurrent, parse, type Stored } from './stored.ts'

export interface Checked {
  ok: boolean
  /** What to store instead: the password was right, and the stored hash of another form or cost. */
  renewed?: string
}

/**
 * The 31 characters behind the salt. NFC is applied here alone, so that no caller can forget.
 * Always computed as `$2b$`: the package never matches `$2y$`, which is the same under another name, and under `$2a$` it
 * keeps the length in one byte, as OpenBSD did before 5.5, so that of 256 bytes one is left (its src/bcrypt.cc).
 */
function digestOf(password: string, { keyed, cost, salt }: Omit<Stored, 'digest'>): string {
  const text = password.normalize('NFC')
  const secret = keyed ? createHmac('sha256', salt).update(text, 'utf8').digest('base64') : text
  return bcrypt.hashSync(secret, `$2b$${String(cost).padStart(2, '0')}$${salt}`).slice(-31)
}

/** A fresh hash in the current form. */
export function hashPassword(password: string, cost: number): string {
  const salt = bcrypt.genSaltSync(cost).slice(-22)
  return `$bcrypt-sha256$v=2,t=2b,r=${cost}$${salt}$${digestOf(password, { keyed: true, cost, salt })}`
}

/**
 * Whether the password is the stored one. Every call costs one hash in the current form at the current cost, so that its
 * time does not tell whether an account exists: by the comparison itself, or else as the renewal or as a decoy
 * (ASVS 5.0, 6.3.8).
 */
export function checkPassword(password: string, stored: string | null, cost: number): Checked {
  const parts = parse(stored ?? '')
  const ok = parts !== undefined && timingSafeEqual(Buffer.from(digestOf(password, parts)), Buffer.from(parts.digest))
  if (isCurrent(parts, cost)) return { ok }
  const fresh = hashPassword(password, cost)
  return ok ? { ok, renewed: fresh } : { ok }
}
