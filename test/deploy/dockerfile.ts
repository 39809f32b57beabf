// Reads the steps of our Dockerfile: as much of the format as that file uses. Whatever else stands in it is an error, so
// that no step is passed over.

export interface Step {
  name: string
  /** What stands behind the name, on one line, with the build arguments put in. */
  text: string
}

export interface Stage {
  name: string
  /** An image, or the name of a stage before it. */
  base: string
  steps: Step[]
}

const KNOWN = /^(ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|RUN|STOPSIGNAL|USER|VOLUME|WORKDIR)$/

/** The stages in their order. */
export function readDockerfile(source: string): Stage[] {
  const lines = source.replace(/^\s*#.*\n/gm, '').replace(/\\\n\s*/g, '')
  const stages: Stage[] = []
  const args: Record<string, string> = {}
  for (const line of lines.split('\n').filter((line) => line.trim() !== '')) {
    const [, name = '', rest = ''] = /^(\S+)\s+(.*\S)\s*$/.exec(line) ?? []
    if (!KNOWN.test(name)) throw new Error(`This check does not know the step: ${line}`)
    const text = rest.replace(/\$\{(\w+)\}/g, (_, arg) => args[arg] ?? '')
    const stage = stages.at(-1)
    if (name === 'ARG') Object.assign(args, pairs(text))
    else if (name === 'FROM') stages.push(stageOf(text))
    else if (stage) stage.steps.push({ name, text })
  }
  return stages
}

function stageOf(text: string): Stage {
  const [, base = '', name = 'last'] = /^(\S+)(?: AS (\S+))?$/.exec(text) ?? []
  return { name, base, steps: [] }
}

/** `A=1 B="two words"`, as ARG, ENV and LABEL have it. */
export function pairs(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)].map(([, k, q, v]) => [k, q ?? v ?? '']))
}

/** The texts of all steps of this name. */
export const textsOf = ({ steps }: Stage, name: string): string[] =>
  steps.filter((step) => step.name === name).map(({ text }) => text)

/** The words of a command in exec form. A shell form is an error: its shell would keep the signals to itself. */
export function execForm(text: string | undefined): string[] {
  const words: unknown = text === undefined ? [] : JSON.parse(text)
  if (!Array.isArray(words)) throw new Error(`This is no list of words: ${text}`)
  return words
}

/** `--name=value` before the rest. */
export function flags(text: string): { flags: Record<string, string>; rest: string } {
  const rest = text.replace(/^(--\S+\s+)+/, '')
  const given = text.slice(0, text.length - rest.length).matchAll(/--([\w-]+)=(\S+)/g)
  return { flags: Object.fromEntries([...given].map(([, name, value]) => [name, value])), rest }
}
