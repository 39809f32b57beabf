/**
 * Reads the settings from the environment: the only reader of process.env, and of the files that `NAME_FILE` names.
 * All faults are told at once, each with how to mend it.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { TSchema } from '@sinclair/typebox'
import { readCertificates } from './certificates.ts'
import { type Config, databaseAddress, FORMATS, Settings } from './schemas/config.ts'

export type { Config } from './schemas/config.ts'

type Environment = Record<string, string | undefined>

/** Settings that cannot be used. The message holds every fault. */
export class ConfigError extends Error {
  constructor(faults: string[]) {
    super(`Latchkey cannot start with these settings:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`)
  }
}

/** The frozen configuration, from the environment. Throws ConfigError. */
export function readConfig(env: Environment = process.env): Config {
  const faults: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(Settings.properties)) {
    const text = textOf(name, env, faults)
    values[name] = text === undefined ? structuredClone(schema.default) : convert(name, text, schema, faults)
  }
  const config = complete(values as Config, faults)
  if (faults.length > 0) throw new ConfigError(faults)
  return Object.freeze(config)
}

/** A setting's text, from the variable or from the file that NAME_FILE names; undefined where it is not set. */
function textOf(name: string, env: Environment, faults: string[]): string | undefined {
  const text = env[name] || undefined
  const file = env[`${name}_FILE`] || undefined
  if (file === undefined) return text
  if (text !== undefined) faults.push(`${name} and ${name}_FILE are both set. Set one of them.`)
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '') || undefined
  } catch (error) {
    faults.push(`${name}_FILE is ${file}, which cannot be read (${(error as NodeJS.ErrnoException).code}).`)
    return undefined
  }
}

function convert(name: string, text: string, schema: TSchema, faults: string[]): unknown {
  const value = parse(text, schema)
  if (fits(value, schema)) return value
  // Secrets are never repeated in a message.
  const shown = schema.writeOnly ? '' : `It is ${JSON.stringify(text)}.`
  faults.push(`${name} must be ${wants(schema)}. ${formatOf(schema)?.fault?.(text) ?? shown}`.trimEnd())
  return structuredClone(schema.default)
}

function parse(text: string, schema: TSchema): unknown {
  if (schema.type === 'integer') return /^(0|[1-9]\d*)$/.test(text) ? Number(text) : text
  return schema.type === 'array' ? text.split(',').map((entry) => entry.trim()) : text
}

/** By hand, since TypeBox's own check is a hundred files to load at every start. */
function fits(value: unknown, schema: TSchema): boolean {
  if (schema.type === 'integer') return Number.isInteger(value) && within(value as number, schema)
  if (schema.type === 'array') return (value as string[]).every((entry) => fits(entry, schema.items))
  if (schema.anyOf) return schema.anyOf.some((one: TSchema) => one.const === value)
  return formatOf(schema)?.check(value as string) ?? true
}

const within = (value: number, { minimum, maximum }: TSchema) => value >= minimum && value <= maximum

function wants(schema: TSchema): string {
  if (schema.type === 'integer') return `a whole number from ${schema.minimum} to ${schema.maximum}`
  if (schema.anyOf) return `one of ${schema.anyOf.map((one: TSchema) => one.const).join(', ')}`
  return formatOf(schema)!.wants
}

const formatOf = (schema: TSchema) => FORMATS[schema.type === 'array' ? schema.items.format : schema.format]

/** The defaults that depend on other settings or on the machine, and what a shared database asks for. */
function complete(config: Config, faults: string[]): Config {
  const database = databaseAddress(config.DATABASE_URL)
  if (database?.kind === 'mysql') {
    if (database.tls?.ca !== undefined) checkCertificates(database.tls.ca, faults)
    if (config.SECRET.length === 0)
      faults.push(`SECRET is missing. On MySQL it must be ${FORMATS.secret!.wants}, the same for all instances.`)
    if (config.ISSUER === '') faults.push(`ISSUER is missing. On MySQL it must be ${FORMATS.issuer!.wants}.`)
  }
  checkAlgorithm(config, faults)
  return {
    ...config,
    ISSUER: config.ISSUER || `http://localhost:${config.PORT}`,
    HASH_CONCURRENCY: config.HASH_CONCURRENCY || cpus(),
  }
}

/** Keys of our own sign, or a shared secret does: never both, never neither. */
function checkAlgorithm({ JWT_ALG, JWT_SECRET }: Config, faults: string[]): void {
  // Of a value that cannot be read enough is told already.
  if (faults.some((fault) => fault.startsWith('JWT_'))) return
  if (JWT_ALG === 'HS256' && JWT_SECRET === '')
    faults.push(`JWT_SECRET is missing. With JWT_ALG=HS256 it must be ${FORMATS.secret!.wants}.`)
  if (JWT_ALG !== 'HS256' && JWT_SECRET !== '')
    faults.push(`JWT_SECRET is set, but ${JWT_ALG} signs with keys of its own. Take it away, or set JWT_ALG=HS256.`)
}

function checkCertificates(file: string, faults: string[]): void {
  try {
    readCertificates(file)
  } catch (error) {
    faults.push((error as Error).message)
  }
}

/** The CPUs given to this process. Node 20 does not know of a container's quota, so cgroup's cpu.max is read too. */
export function cpus(cpuMax = '/sys/fs/cgroup/cpu.max'): number {
  let quota = Number.POSITIVE_INFINITY
  try {
    const [given, period] = readFileSync(cpuMax, 'utf8').split(' ').map(Number)
    if (given && period) quota = Math.floor(given / period)
  } catch {
    // No cgroup, no quota.
  }
  return Math.max(1, Math.min(availableParallelism(), quota, 64))
}
