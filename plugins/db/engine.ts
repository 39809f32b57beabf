/** What both engines promise, so that one SQL text serves MySQL, MariaDB and SQLite. */

export type Value = string | number | null

/** One statement of a list. With `expect` it must touch just that many rows, or the whole list is undone. */
export interface Statement {
  sql: string
  values: Value[]
  expect?: number
}

/** The one thing that the engines spell differently: types of columns. */
export interface Types {
  /** An opaque identifier, compared byte by byte. */
  id: string
  /** A canonical form of up to 320 bytes, which no collation may fold and no padding equate. */
  canonical: string
  /** Text that is only shown, up to so many characters. */
  text: (length: number) => string
  /** Text without a bound that matters. */
  long: string
}

export interface Engine {
  types: Types
  /** For people: which database this is, without its password. */
  name: string
  /** What a query may take outside of a request: DB_MAX_WAIT_MS. */
  maxWaitMs: number
  all<Row>(sql: string, values?: Value[]): Promise<Row[]>
  /** The first row, at less cost than a list of one. */
  first<Row>(sql: string, values: Value[]): Promise<Row | undefined>
  /** Runs one statement and gives the number of rows it matched. Throws UniqueViolation. */
  run(sql: string, values?: Value[]): Promise<number>
  /**
   * A transaction. Gives the counts of its statements once it is committed, or undefined where one of them missed its
   * expected count and nothing was changed. Throws UniqueViolation.
   */
  batch(statements: Statement[]): Promise<number[] | undefined>
  /** A change of the schema; one that is there already is fine. */
  define(sql: string): Promise<void>
  /** Milliseconds since 1970 by the database's own clock. */
  clock(): Promise<number>
  close(): Promise<void>
}

/** A row of this name is there already. Which name it was is asked by a SELECT: the messages differ by engine. */
export class UniqueViolation extends Error {}
