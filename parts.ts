/** What every plugin and route file is given. Imports nothing upward, so that nobody has to import app.ts for a type. */
import type { Config } from './config.ts'

export interface Parts {
  config: Config
  /** Milliseconds since 1970. */
  now: () => number
  randomBytes: (size: number) => Buffer
  /** A new UUIDv7. */
  newId: () => string
  /** Seconds that others may cache the public keys. */
  jwksMaxAge: number
  /** Whether this app serves; commands only work with its parts. */
  routes: boolean
}
