// The documents as tests read them: their fenced blocks, each with the comment right before it, their links, and the
// files that they name.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { ROOT } from './process.ts'

export interface Block {
  /** What stands behind the fence: `console`, `sh`, `js`, or nothing. */
  language: string
  text: string
  /** The line of its opening fence. */
  line: number
  /** The HTML comment right before it, without its marks. */
  note: string
}

export interface Page {
  path: string
  lines: string[]
  blocks: Block[]
  /** The text without its blocks. */
  prose: string
}

/** The pages that a reader meets: those beside the README, and docs/. */
export function pagePaths(): string[] {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name))
  return [...readdirSync(ROOT), ...docs].filter((path) => path.endsWith('.md')).sort()
}

export function readPage(path: string, text = readFileSync(join(ROOT, path), 'utf8')): Page {
  const lines = text.trimEnd().split('\n')
  const page: Page = { path, lines, blocks: [], prose: '' }
  let block: Block | undefined
  lines.forEach((line, index) => {
    const fence = /^```(.*)$/.exec(line)
    if (block && line === '```') block = undefined
    else if (block) block.text += `${line}\n`
    else if (fence) {
      block = { language: fence[1]!.trim(), text: '', line: index + 1, note: commentOf(lines.slice(0, index)) }
      page.blocks.push(block)
    } else page.prose += `${line}\n`
  })
  if (block) throw new Error(`${path}:${block.line}: this block does not end.`)
  return page
}

/** A blank line may stand between. */
const commentOf = (before: string[]) => /^<!-- (.*) -->$/.exec(before.findLast((line) => line !== '') ?? '')?.[1] ?? ''

/** The links of a page to this repository: the file, and the heading in it. */
export function linksOf({ path, prose }: Page): { file: string; heading: string }[] {
  const targets = [
    ...prose.matchAll(/\]\(([^)\s]+)\)/g),
    ...prose.matchAll(/^\[[^\]]+\]: (\S+)$/gm),
    ...prose.matchAll(/ (?:src|href)="([^"]+)"/g),
  ].map(([, target = '']) => target)
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = '', heading = ''] = decodeURI(target).split('#')
      return { file: file ? normalize(join(dirname(path), file)) : path, heading }
    })
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf({ prose }: Page): string[] {
  return [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** The files and folders that a page names, as paths from the top of the repository: in `code`, and in commands. */
export function namesOf({ prose, blocks }: Page): string[] {
  const top = readdirSync(ROOT).filter((name) => name !== 'data')
  const code = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, name = '']) => name)
  const words = blocks.filter(({ language }) => language === 'sh').flatMap(({ text }) => text.split(/[\s=:'"]+/))
  return [
    ...code.filter((name) => /^[\w-][\w.-]*\.(ts|js|mjs|py|md|ya?ml)$/.test(name)),
    ...[...code, ...words].filter((name) => /^[\w.-]+(\/[\w.-]+)+\/?$/.test(name) && top.includes(name.split('/')[0]!)),
  ]
}

export const exists = (name: string): boolean => existsSync(join(ROOT, name))
