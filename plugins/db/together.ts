/**
 * Rows that are asked for one by one within a turn of the event loop are read by one query: under load a query costs
 * more than a row. Nobody waits for it, since in its turn nothing else is done.
 */
import { setImmediate } from 'node:timers/promises'
import type { Engine } from './engine.ts'
import { isUnspent, shared, spend } from './waiting.ts'

/** How many ids a query takes. A list is filled up to the next of these, since each length is a prepared statement of its own. */
const LENGTHS = [1, 8, 64]
const MOST = 64

/** Gives a function that reads the row of an id. `select` puts question marks into the SQL; the rows have the id as `idOf` says. */
export function createTogether<Row>(
  { all, maxWaitMs }: Pick<Engine, 'all' | 'maxWaitMs'>,
  select: (marks: string) => string,
  idOf: (row: Row) => string,
): (id: string) => Promise<Row | undefined> {
  const statements = new Map(LENGTHS.map((length) => [length, select(Array(length).fill('?').join(', '))]))
  let asked: string[] = []
  let rows: Promise<Map<string, Row>> | undefined

  function readSome(ids: string[]): Promise<Row[]> {
    const length = LENGTHS.find((one) => one >= ids.length)!
    return all(statements.get(length)!, [...ids, ...Array(length - ids.length).fill(ids[0])])
  }

  async function readAll(): Promise<Map<string, Row>> {
    await setImmediate()
    const ids = asked
    asked = []
    rows = undefined
    const parts: Promise<Row[]>[] = []
    for (let start = 0; start < ids.length; start += MOST) parts.push(readSome(ids.slice(start, start + MOST)))
    return new Map((await Promise.all(parts)).flat().map((row) => [idOf(row), row]))
  }

  async function readAlone(id: string): Promise<Row | undefined> {
    const [row] = await readSome([id])
    return row
  }

  return (id) => {
    // Whoever has less time left than the others would be kept by them for longer.
    if (!isUnspent(maxWaitMs)) return readAlone(id)
    asked.push(id)
    rows ??= shared(maxWaitMs, readAll)
    const mine = rows
    return spend(maxWaitMs, async () => (await mine).get(id))
  }
}
