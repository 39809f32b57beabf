/** UUIDv7 (RFC 9562, section 5.7): ids that are as good as random, and stand in a database in the order of their times. */

/** The id of this time, in milliseconds since 1970, with 74 of these 128 random bits. */
export function uuidv7(time: number, random: Buffer): string {
  const bytes = Buffer.from(random)
  bytes.writeUIntBE(time, 0, 6)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
