/** The tables of the documents, made from the code: docs/settings.md from the settings, docs/errors.md from the errors. */
import type { TSchema } from '@sinclair/typebox'
import t from 'tap'
import { Settings } from '../schemas/config.ts'
import { CODES, ERRORS } from '../schemas/errors.ts'
import { holdAgainstPart, table } from './reviewed.ts'

/** Defaults that are no fixed value. */
const COMPUTED: Record<string, string> = {
  SECRET: 'generated on SQLite',
  ISSUER: '`http://localhost:PORT` on SQLite',
  HASH_CONCURRENCY: 'the CPUs',
}

function defaultOf(name: string, schema: TSchema): string {
  if (COMPUTED[name]) return COMPUTED[name]
  return String(schema.default) === '' ? 'none' : `\`${schema.default}\``
}

function rangeOf(schema: TSchema): string {
  if (schema.type === 'integer') return ` (${schema.minimum} to ${schema.maximum})`
  return schema.anyOf ? ` (${schema.anyOf.map((one: TSchema) => `\`${one.const}\``).join(', ')})` : ''
}

t.test('docs/settings.md has every setting with its default, bounds and meaning', async (t) => {
  const rows = Object.entries(Settings.properties).map(([name, schema]) => [
    `\`${name}\``,
    defaultOf(name, schema),
    `${schema.description}${rangeOf(schema)}`,
  ])
  holdAgainstPart(t, 'docs/settings.md', 'settings', table([['name', 'default', 'meaning'], ...rows]))
})

t.test('docs/errors.md has every code with its status, its message and what a client does', async (t) => {
  const rows = CODES.map((code) => [String(ERRORS[code].status), `\`${code}\``, ERRORS[code].en, ERRORS[code].advice])
  holdAgainstPart(
    t,
    'docs/errors.md',
    'errors',
    table([['status', 'code', 'the English message', 'what a client does'], ...rows]),
  )
})
