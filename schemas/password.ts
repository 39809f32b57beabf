/** Passwords in requests: one that is set, and one that is only asked for. Lengths in Unicode code points, as ajv counts. */
import { Type } from '@sinclair/typebox'

/** A password that is set (NIST SP 800-63B-4, 3.1.1.2): any characters, no rules of composition. */
export const NewPassword = (minLength: number) =>
  Type.String({
    minLength,
    maxLength: 256,
    description: 'Any characters; not a commonly used password',
    examples: ['correct horse battery'],
  })

/** A password that is asked for: it may be older than the rules. */
export const Password = Type.String({ minLength: 1, maxLength: 1024, examples: ['correct horse battery'] })
