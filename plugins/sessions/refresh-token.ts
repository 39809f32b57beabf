/**
 * Refresh tokens: `lkr_` and base64url of version, handle, generation and MAC. The handle stands nowhere else and the
 * MAC needs SECRET, so that neither SECRET nor the database alone forges one, a forged one costs no query, and a retry
 * gets the very same text again.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

const PREFIX = 'lkr_'
const VERSION = 1
const HANDLE_BYTES = 16
const MAC_BYTES = 32
const SIGNED_BYTES = 1 + HANDLE_BYTES + 4

export interface RefreshToken {
  /** 16 random bytes (ASVS 5.0, 7.2.3: 128 bits), the same for the life of the session. */
  handle: Buffer
  generation: number
}

/** Writes and reads refresh tokens under these keys: the first signs, all verify. */
export function createRefreshTokens(keys: [Buffer, ...Buffer[]]) {
  return {
    newHandle: (randomBytes: (size: number) => Buffer) => randomBytes(HANDLE_BYTES),

    write({ handle, generation }: RefreshToken): string {
      const signed = Buffer.alloc(SIGNED_BYTES)
      signed.writeUInt8(VERSION, 0)
      handle.copy(signed, 1)
      signed.writeUInt32BE(generation, 1 + HANDLE_BYTES)
      return PREFIX + Buffer.concat([signed, mac(keys[0], signed)]).toString('base64url')
    },

    /** The token of a text; undefined where it is none of ours. */
    read(text: string): RefreshToken | undefined {
      const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url')
      if (PREFIX + bytes.toString('base64url') !== text || bytes.length !== SIGNED_BYTES + MAC_BYTES) return undefined
      const signed = bytes.subarray(0, SIGNED_BYTES)
      const given = bytes.subarray(SIGNED_BYTES)
      if (signed[0] !== VERSION || !keys.some((key) => timingSafeEqual(mac(key, signed), given))) return undefined
      return { handle: signed.subarray(1, 1 + HANDLE_BYTES), generation: signed.readUInt32BE(1 + HANDLE_BYTES) }
    },
  }
}

const mac = (key: Buffer, signed: Buffer) => createHmac('sha256', key).update(signed).digest()

/** What the database keeps of a handle. */
export const hashOf = (handle: Buffer) => createHash('sha256').update(handle).digest('base64url')
