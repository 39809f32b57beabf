// An example as somebody has it who took it: its folder alone, with the packages that it imports beside it.

import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { ROOT } from './process.ts'

/** Where the packages lie that only tests and examples use. */
export const TOOLS = join(ROOT, 'test/tools/node_modules')

/** Copies examples/NAME, links these packages into it by where they lie, and gives the folder. Gone when the test ends. */
export function takeExample(t: Test, name: string, packages: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-example-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(ROOT, 'examples', name), folder, { recursive: true })
  // What says that these files are modules.
  if (!existsSync(join(folder, 'package.json'))) cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  for (const [imported, home] of Object.entries(packages)) {
    const place = join(folder, 'node_modules', imported)
    mkdirSync(dirname(place), { recursive: true })
    symlinkSync(home, place)
  }
  return folder
}
