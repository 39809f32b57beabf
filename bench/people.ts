/** The people of the benchmark: user0000001, user0000002 and so on, all with the same password. */
import type { Request } from './load/recorder.ts'

export const PASSWORD = 'correct horse battery'
/** As contract and service have it for the least. */
export const COST = 10
/** Of those scenarios where the number does not matter. */
export const PEOPLE = 10_000

const DIGITS = 7
const LOGINS = 5000

export const nameOf = (number: number): string => `user${String(number).padStart(DIGITS, '0')}`
export const emailOf = (number: number): string => `${nameOf(number)}@example.com`

const JSON_TYPE = { 'content-type': 'application/json' }

/** A body by POST. */
export const post = (path: string, body: object): Request => ({
  method: 'POST',
  path,
  headers: JSON_TYPE,
  body: JSON.stringify(body),
})

export const login = (number: number): Request => post('/user/login', { email: emailOf(number), password: PASSWORD })

/** Logins of people at random out of `people`; more of them than anything here asks for. */
export const logins = (people = PEOPLE): Request[] => someOf(people, LOGINS).map(login)

/** Asks for a page with an access token. */
export const get = (path: string, token: string): Request => ({
  method: 'GET',
  path,
  headers: { authorization: `Bearer ${token}` },
})

/** So many different people of all, at random: else what is read would lie in a cache. */
export function someOf(people: number, count: number): number[] {
  if (count >= people) return Array.from({ length: people }, (_, index) => index + 1)
  const numbers = new Set<number>()
  while (numbers.size < count) numbers.add(1 + Math.floor(Math.random() * people))
  return [...numbers]
}
