// What a deployment's file sets for Latchkey, held against the settings that there are.

import { Settings } from '../../schemas/config.ts'

/** The names that are no setting, nor the `NAME_FILE` of one. */
export function unknownSettings(environment: Record<string, unknown>): string[] {
  return Object.keys(environment).filter((name) => !Object.hasOwn(Settings.properties, name.replace(/_FILE$/, '')))
}

/** The seconds that a stop takes at most: SHUTDOWN_DELAY, and server.ts' own 10 s and 1 s. */
export const stopWithin = (shutdownDelay: number) => shutdownDelay + 11
