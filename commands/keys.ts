/** `latchkey keys`: shows and changes the signing keys, also while instances serve. */
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildApp } from '../app.ts'
import { readConfig } from '../config.ts'
import { isoOf, keysOf } from '../plugins/keys/index.ts'

type Keys = NonNullable<ReturnType<typeof keysOf>['set']>

const say = (line: string) => process.stdout.write(`${line}\n`)
const sayJson = (value: unknown) => say(JSON.stringify(value, null, 2))

/** Gives `work` the keys, and says what it gives. Throws where there are none: JWT_ALG is HS256. */
async function withKeys(work: (keys: Keys) => unknown): Promise<void> {
  // Nothing but the answer on stdout: it may be read by a program.
  const app = await buildApp({ config: { ...readConfig(), LOG_LEVEL: 'silent' }, routes: false })
  try {
    const { set } = keysOf(app)
    if (!set) throw new Error('There are no signing keys: with JWT_ALG=HS256 the one JWT_SECRET signs.')
    await work(set)
  } finally {
    await app.close()
  }
}

type Row = Record<'kid' | 'alg' | 'state' | 'created_at', string> &
  Record<'signs_at' | 'published_until', string | null>

function sayTable(rows: Row[]): void {
  const short = (time: string | null) => time?.replace(/\.\d+Z$/, 'Z') ?? '-'
  const lines = [
    ['KID', 'ALG', 'STATE', 'CREATED', 'SIGNS FROM', 'PUBLISHED UNTIL'],
    ...rows.map((row) => [
      ...[row.kid, row.alg, row.state],
      ...[row.created_at, row.signs_at, row.published_until].map(short),
    ]),
  ]
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  for (const line of lines)
    say(
      line
        .map((text, column) => text.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
}

/** `latchkey keys list`: each key, what it does, and when. */
export const listKeys = ({ json }: { json?: true }) =>
  withKeys((keys) => {
    const rows = keys.list().map(({ kid, alg, state, createdAt, signsAt, publishedUntil }) => ({
      kid,
      alg,
      state,
      created_at: isoOf(createdAt)!,
      signs_at: isoOf(signsAt ?? undefined) ?? null,
      published_until: isoOf(Number.isFinite(publishedUntil) ? publishedUntil : undefined) ?? null,
    }))
    if (json) sayJson({ keys: rows })
    else sayTable(rows)
  })

/** `latchkey keys rotate`. */
export const rotateKeys = () =>
  withKeys(async (keys) => {
    const { kid, signsAt, done } = await keys.rotate()
    say(
      done
        ? `Key ${kid} signs from ${isoOf(signsAt)} on. Another one is published, to be the next.`
        : `Key ${kid} is to sign from ${isoOf(signsAt)} on already. Nothing was changed: rotate again after that.`,
    )
  })

/** `latchkey keys revoke KID`. */
export const revokeKey = (kid: string) =>
  withKeys(async (keys) => {
    if (!(await keys.revoke(kid))) throw new Error(`There is no key ${kid}. See latchkey keys list.`)
    say(`Key ${kid} is gone: within 2 s no instance takes its tokens any more. Key ${keys.current().kid} signs.`)
  })

/** `latchkey keys reseal`. */
export const resealKeys = () =>
  withKeys(async (keys) => {
    const { keys: all, anew } = await keys.reseal()
    say(`${anew} of ${all} keys were sealed anew: all are under the first entry of SECRET now.`)
  })

/** `latchkey keys export`: the public keys as a JWK set, as PEM, or as PEM files `KID.pem` in a folder. */
export const exportKeys = ({ pem, dir }: { pem?: true; dir?: string }) =>
  withKeys((keys) => {
    const published = keys.published()
    if (dir !== undefined) {
      for (const { kid, publicPem } of published) replaceFile(dir, `${kid}.pem`, publicPem)
      const stale = removeOthers(
        dir,
        published.map(({ kid }) => `${kid}.pem`),
      )
      say(`${published.length} keys are in ${dir}; ${stale} that are no longer published were removed.`)
    } else if (pem) process.stdout.write(published.map(({ publicPem }) => publicPem).join(''))
    else sayJson({ keys: published.map(({ publicJwk }) => publicJwk) })
  })

/** Whole or not at all, for whoever reads it meanwhile. */
function replaceFile(dir: string, name: string, text: string): void {
  mkdirSync(dir, { recursive: true })
  const draft = join(dir, `.${name}.${process.pid}`)
  writeFileSync(draft, text)
  renameSync(draft, join(dir, name))
}

/** A thumbprint (RFC 7638): other files that somebody keeps there are none of ours. */
const OURS = /^[\w-]{43}\.pem$/

function removeOthers(dir: string, kept: string[]): number {
  const stale = readdirSync(dir).filter((name) => OURS.test(name) && !kept.includes(name))
  for (const name of stale) rmSync(join(dir, name))
  return stale.length
}
