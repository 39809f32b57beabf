/** The rows of the table: which figure stands beside which, and what must be reached. Issue and docs speak of these. */

export interface Row {
  scenario: string
  label: string
  /** What stands in the table. */
  figure: string
  unit: 'a second' | 'ms' | 'MB' | 'µs'
  /** What it is divided by. */
  over?: { label: string; figure: string }
  /** Of the ratio where there is one, else of the figure. */
  target?: { least: number } | { most: number }
}

const rate = (scenario: string, label: string, service: string, over?: Row['over'], target?: Row['target']): Row => ({
  ...{ scenario, label, figure: `${scenario}/${service}/rate`, unit: 'a second' },
  ...(over && { over }),
  ...(target && { target }),
})
const overRate = (label: string, figure: string) => ({ label, figure: `${figure}/rate` })
const milliseconds = (scenario: string, label: string, figure: string, most?: number): Row => ({
  ...{ scenario, label, figure: `${scenario}/${figure}`, unit: 'ms' },
  ...(most !== undefined && { target: { most } }),
})

const BARE = (scenario: string) => overRate('bare Fastify', `${scenario}/fastify`)
const EXPRESS = (scenario: string) => overRate('Express', `${scenario}/express`)
const HASHES = (scenario: string) => overRate('hashes alone', `${scenario}/hashes`)
const ENGINES = [
  ['SQLite', 'sqlite'],
  ['MariaDB', 'mariadb'],
] as const

export const ROWS: Row[] = [
  rate('verify', 'GET /auth/verify', 'sqlite', BARE('verify'), { least: 0.85 }),
  rate('verify', 'GET /auth/verify', 'sqlite', EXPRESS('verify'), { least: 10 }),
  rate('verify', 'Bare Fastify with the headers of such an answer', 'floor', BARE('verify')),
  rate('me', 'GET /user/me, SQLite', 'sqlite', BARE('me'), { least: 0.65 }),
  rate('me', 'GET /user/me, MariaDB', 'mariadb', BARE('me'), { least: 0.35 }),
  rate('me', 'GET /user/me, SQLite', 'sqlite', EXPRESS('me')),
  cpu('verify', 'GET /auth/verify: CPU a request', 'sqlite'),
  cpu('me', 'GET /user/me, SQLite: CPU a request', 'sqlite'),
  cpu('me', 'GET /user/me, MariaDB: CPU a request, without MariaDB', 'mariadb'),
  ...ENGINES.map(([name, key]) => rate('login', `Logins, ${name}`, key, HASHES('login'), { least: 0.97 })),
  rate('login', 'Logins, Express in memory', 'express', HASHES('login')),
  ...ENGINES.map(([name, key]) => rate('register', `Registrations, ${name}`, key, HASHES('register'))),
  ...ENGINES.map(([name, key]) =>
    rate('refresh', `Refreshes, ${name}`, key, overRate('logins', `refresh/${key}/logins`), { least: 50 }),
  ),
  ...ENGINES.flatMap(([name, key]) => [
    milliseconds('storm', `GET while 64 clients log in, ${name}: p99`, `${key}/probe/p99`, 5),
    milliseconds('storm', `GET without them, ${name}: p99`, `${key}/calm/p99`),
  ]),
  milliseconds('storm', 'GET while 64 clients log in, Express: p99', 'express/probe/p99'),
  milliseconds('storm', 'GET of bare Fastify beside hashes alone: p99', 'floor/probe/p99'),
  milliseconds('storm', 'GET without them, Express: p99', 'express/calm/p99'),
  rate('overload', 'Hashes beside as many requests to bare Fastify', 'floor', HASHES('overload')),
  ...ENGINES.flatMap(([name, key]): Row[] => [
    rate('overload', `Logins at ten times the limit, ${name}`, key, HASHES('overload'), { least: 0.95 }),
    milliseconds('overload', `The slowest answer, ${name}`, `${key}/slowest`, 2500),
    milliseconds('overload', `A refusal (503), ${name}: p99`, `${key}/refused/p99`, 20),
  ]),
  {
    ...rate('instances', 'GET /auth/verify, two instances behind nginx', 'two', overRate('one', 'instances/one')),
    target: { least: 1.8 },
  },
  ...ENGINES.flatMap(([name, key]): Row[] => [
    milliseconds('start', `Ready, ${name}`, `${key}/ready`, 250),
    { ...megabytes(`Memory at rest, ${name}`, `${key}/rest`), target: { most: 90 } },
    { ...megabytes(`Memory after a storm, ${name}`, `${key}/storm`), target: { most: 120 } },
  ]),
  ...ENGINES.flatMap(([name, key]): Row[] => [
    rate('purge', `Sessions purged, ${name}`, key),
    milliseconds('purge', `GET /user/me beside the purge, ${name}: p99`, `${key}/probe/p99`),
    milliseconds('purge', `GET /user/me beside the purge, ${name}: the slowest`, `${key}/probe/slowest`),
  ]),
  ...ENGINES.flatMap(([name, key]) => [
    sizeOnDisk(`Database of 10M people with a session each, ${name}`, key),
    sizeRow(`Logins, 1,000 people against 10M, ${name}`, key, 'login', 1.15),
    sizeRow(`Refreshes, 1,000 people against 10M, ${name}`, key, 'refresh', 1.15),
    sizeRow(`GET /user/me, 1,000 people against 10M, ${name}`, key, 'me'),
  ]),
]

/** Steadier than a rate where others use the machine too, and not bounded by how fast the load comes. */
function cpu(scenario: string, label: string, service: string): Row {
  const over = { label: 'bare Fastify', figure: `${scenario}/fastify/cpu` }
  return { scenario, label, figure: `${scenario}/${service}/cpu`, unit: 'µs', over }
}

function sizeOnDisk(label: string, engine: string): Row {
  return { scenario: 'sizes', label, figure: `sizes/${engine}/10000000/megabytes`, unit: 'MB' }
}

function megabytes(label: string, figure: string): Row {
  return { scenario: 'start', label, figure: `start/${figure}`, unit: 'MB' }
}

/** How many times more the small one answers. */
function sizeRow(label: string, engine: string, what: string, most?: number): Row {
  const figure = (people: number) => `sizes/${engine}/${people}/${what}/rate`
  const row: Row = {
    ...{ scenario: 'sizes', label, figure: figure(1000), unit: 'a second' },
    over: { label: '10M', figure: figure(10_000_000) },
  }
  return most === undefined ? row : { ...row, target: { most } }
}
