/**
 * The canary sweep over one running service: every route, with every field filled, rightly and wrongly, by everyone who
 * may ask and who may not. Each answer is held against the one rule: a canary comes back in the member of its own name
 * and nowhere else, and a password never. test/canary.test.ts holds what was printed.
 */
import { Agent, request } from 'node:http'
import type { Test } from 'tap'
import type { ServiceClient } from '../schemas/config.ts'
import type { TokenAnswer } from '../schemas/tokens.ts'
import type { Canaries } from './canaries.ts'
import { connect } from './engines.ts'
import { type Field, formOf, illFormed, NONE, pathOf, type Route, type Values, wellFormed } from './filling.ts'
import { basicOf, claimsOf, FORM } from './helper.ts'
import type { Service } from './process.ts'

type Headers = Record<string, string>

/** What people, browsers and proxies send along. */
const TOLD_BY_HEADERS = [
  'accept',
  'accept-encoding',
  'accept-language',
  'cookie',
  'forwarded',
  'from',
  'if-none-match',
  'origin',
  'proxy-authorization',
  'range',
  'referer',
  'traceparent',
  'user-agent',
  'via',
  'x-api-key',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-http-method-override',
  'x-real-ip',
  'x-request-id',
]

interface Sent {
  method: string
  path: string
  headers?: Headers
  body?: string | undefined
}

export interface Heard {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it by hand
  body: any
}

/** Somebody by name, with what the fields of these names are to hold to be right. */
export type Person = Record<string, string> & { access_token: string; refresh_token: string; password: string }

export const bearerOf = ({ access_token }: Person): Headers => ({ authorization: `Bearer ${access_token}` })

/** What lets somebody in at this route: a service by its secret, which in a form stands in the form. */
function authorization({ access, form }: Route, person: Person): Headers {
  if (access !== 'service') return bearerOf(person)
  return form ? {} : basicOf({ id: person.client_id!, secret: person.client_secret! })
}

export type Sweep = ReturnType<typeof createSweep>

/** The role that everybody has. */
const ROLE = 'admin'

export interface Sweepable {
  canaries: Canaries
  databaseUrl: string
  /** One of the service's SERVICE_CLIENTS. */
  client: ServiceClient
}

export function createSweep(t: Test, { port }: Service, { canaries, databaseUrl, client }: Sweepable) {
  const { make, hide, found } = canaries
  const codes = new Set<string>()
  const told: Headers = Object.fromEntries(TOLD_BY_HEADERS.map((name) => [name, make(name.replaceAll('-', '_'))]))
  // An agent's connections would be kept by a service that stops.
  const agent = new Agent({ keepAlive: false })

  /** One request, with canaries in all headers. Its answer is held against the rule. */
  async function send({ method, path, headers = {}, body }: Sent): Promise<Heard> {
    // By itself Node.js tells no length with GET, HEAD and DELETE.
    const type: Headers =
      body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
    const options = { agent, host: '127.0.0.1', port, method, path, headers: { ...told, ...type, ...headers } }
    const { status, text, fields } = await new Promise<{ status: number; text: string; fields: object }>(
      (resolve, reject) => {
        const sending = request(options, (answer) => {
          let text = ''
          answer.setEncoding('utf8').on('data', (part) => {
            text += part
          })
          answer.on('end', () => resolve({ status: answer.statusCode!, text, fields: answer.headers }))
        })
        sending.on('error', reject).end(body)
      },
    )
    const json = String((fields as Headers)['content-type']).startsWith('application/json') && text !== ''
    const heard: Heard = { status, body: json ? JSON.parse(text) : text }
    const astray = [...leaks(fields), ...leaks(heard.body)]
    if (astray.length > 0) t.fail(`${method} ${path} → ${status} tells ${astray.join(', ')}`)
    if (heard.body?.code) codes.add(heard.body.code)
    return heard
  }

  /** The canaries in an answer that stand elsewhere than in the member of their own name. */
  function leaks(value: unknown, name = ''): string[] {
    if (typeof value !== 'object' || value === null) {
      // Swagger UI sends a browser on to its page with the query that it came with.
      const own = name === 'location' ? 'query' : name
      const astray = found(String(value)).filter((field) => field !== own || /password/.test(field))
      return astray.map((field) => `${field} in ${name || 'its text'}`)
    }
    return Object.entries(value).flatMap(([member, inner]) => [
      ...found(member).map((field) => `${field} as a name`),
      ...leaks(inner, Array.isArray(value) ? name : member),
    ])
  }

  /** Looks out for tokens from now on, for each of their parts as well. */
  function learn({ access_token, refresh_token }: TokenAnswer): void {
    hide('access_token', access_token)
    hide('access_token', Buffer.from(access_token.split('.')[2]!, 'base64url'))
    hide('refresh_token', refresh_token)
    // plugins/sessions/refresh-token.ts: the handle and the MAC.
    const bytes = Buffer.from(refresh_token.slice('lkr_'.length), 'base64url')
    hide('refresh_token', bytes.subarray(1, 17))
    hide('refresh_token', bytes.subarray(21))
  }

  async function register(): Promise<Person> {
    const names = { username: make('username'), email: `${make('email')}@${make('email')}.example` }
    const password = make('password')
    const body = JSON.stringify({ ...names, password })
    const { status, body: answer } = await send({ method: 'POST', path: '/user/register', body })
    if (status !== 201) throw new Error(`${status} ${JSON.stringify(answer)}`)
    learn(answer)
    const { access_token, refresh_token } = await promote(answer)
    const id = claimsOf(access_token).sid
    // `*` is a file of Swagger UI.
    const service = { token: access_token, client_id: client.id, client_secret: client.secret }
    const own = { ...names, password, current_password: password, access_token, refresh_token, id }
    return { ...own, ...service, role: ROLE, '*': 'swagger-ui.css' }
  }

  /** Gives the role; the next token knows of it. */
  async function promote({ user, refresh_token }: TokenAnswer): Promise<TokenAnswer> {
    const database = await connect(databaseUrl)
    await database.sql('UPDATE users SET roles = ? WHERE id = ?', [ROLE, user.id])
    await database.close()
    const body = JSON.stringify({ refresh_token })
    const { body: answer } = await send({ method: 'POST', path: '/user/refresh', body })
    learn(answer)
    return answer
  }

  let somebody: Person | undefined
  /** A person who is logged in. The same one until a request of hers has changed something. */
  async function living(): Promise<Person> {
    somebody ??= await register()
    return somebody
  }

  /** Fields that stood in a request that was answered well, and that were refused for what they held. */
  const accepted = new Set<string>()
  const refused = new Set<string>()
  const succeeded = new Set<string>()

  async function fill(route: Route, values: Values, headers: Headers = {}): Promise<Heard> {
    const { method, fields, form } = route
    const json = fields.some(({ part }) => part === 'body') ? JSON.stringify(values.body) : undefined
    const path = pathOf(route, values, unknownQuery)
    const all = { ...(form && FORM), ...(values.headers as Headers), ...headers }
    const heard = await send({ method, path, headers: all, body: form ? formOf(values.form) : json })
    if (heard.status >= 400) return heard
    if (heard.body?.access_token) learn(heard.body)
    const harmless = method === 'GET' || method === 'HEAD' || (route.access === 'public' && !values.body.refresh_token)
    if (!harmless) somebody = undefined
    succeeded.add(`${route.call} ${heard.status}`)
    for (const { part, name } of fields) if (name in values[part]) accepted.add(`${route.call} ${part} ${name}`)
    return heard
  }
  const unknownQuery: [string, string][] = [
    [make('query'), make('query')],
    ['access_token', make('query')],
  ]

  function brokenJson({ body }: Values): [string, Headers?][] {
    const told = Object.keys(body).length > 0 ? body : { password: make('password') }
    const text = JSON.stringify(told)
    const twice = `${text.slice(0, -1)},${text.slice(1)}`
    return [
      [text.slice(0, -1)],
      [`${text.slice(0, -1)},}`],
      [`\ufeff${text}`],
      [`[${text}]`],
      [JSON.stringify(text)],
      [twice],
      [JSON.stringify({ ...told, [make('field')]: make('value') })],
      [`${text}${' '.repeat(33 * 1024)}`],
      [formOf(told), FORM],
      [text, { 'content-type': `text/${make('content_type')}` }],
      [text, { 'content-type': `application/json; charset=${make('content_type')}` }],
    ]
  }

  function brokenForms({ form }: Values): [string, Headers?][] {
    const text = formOf(form)
    const more = `${text}&${make('field')}=${make('value')}`
    return [
      [`${text}&${text}`, FORM],
      [`${more}%`, FORM],
      [`${more}%ff`, FORM],
      [`${more}%00`, FORM],
      [`\ufeff${text}`, FORM],
      [more.padEnd(33 * 1024, 'x'), FORM],
      [JSON.stringify(form)],
      [text, { 'content-type': `text/${make('content_type')}` }],
      [text, { 'content-type': `${FORM['content-type']}; charset=${make('content_type')}` }],
    ]
  }

  return {
    send,
    register,
    learn,
    /** The codes of all errors that were answered. */
    codes,

    /** Everything in its right form: what is right, by whoever it belongs to, and what is nobody's. */
    async rightly(route: Route): Promise<void> {
      for (const speaks of [true, false]) {
        for (const knows of route.fields.length > 0 ? [true, false] : [true]) {
          const turns = wellFormed(route, {}, make).length
          for (let turn = 0; turn < turns; turn++) {
            const person = await living()
            const values = wellFormed(route, knows ? person : {}, make)[turn]!
            const { status } = await fill(route, values, speaks ? authorization(route, person) : {})
            if (status >= 500) t.fail(`${route.call} → ${status}`)
          }
        }
      }
    },

    /** Everyone who must not be let in. */
    async byStrangers(route: Route, strangers: string[]): Promise<void> {
      if (route.access === 'public') return
      for (const authorization of strangers) {
        const { status } = await fill(route, wellFormed(route, {}, make)[0]!, { authorization })
        if (status !== 401) t.fail(`${route.call} → ${status} with ${authorization}`)
      }
    },

    /** One field after the other with what it must not hold. */
    async wrongly(route: Route): Promise<void> {
      for (const field of route.fields) {
        for (const value of illFormed(field, make)) {
          const person = await living()
          const ways = wellFormed(route, person, make)
          const values = ways.find((way) => field.name in way[field.part])!
          values[field.part][field.name] = value
          const { status } = await fill(route, values, authorization(route, person))
          if (status < 400 || status >= 500) t.fail(`${route.call} → ${status} with ${nameOf(field)} of ${value}`)
          else refused.add(`${route.call} ${nameOf(field)}`)
        }
      }
    },

    /** Bodies that are none, or none of this route; what is in them is right. */
    async brokenly(route: Route): Promise<void> {
      if (route.proxied) return
      const person = await living()
      const values = wellFormed(route, person, make)[0]!
      for (const [body, headers] of route.form ? brokenForms(values) : brokenJson(values)) {
        const { method } = route
        const path = pathOf(route, values, unknownQuery)
        const all = { ...authorization(route, person), ...headers }
        const { status } = await send({ method, path, body, headers: all })
        if (status < 400 || status >= 500) t.fail(`${route.call} → ${status} with ${body}`)
      }
    },

    /** Addresses beside those that are there, and methods that they do not take. */
    async astray(url: string, methods: string[]): Promise<void> {
      const person = await living()
      const route: Route = {
        call: '',
        url,
        method: '',
        access: '',
        hidden: false,
        proxied: false,
        form: false,
        fields: [],
        branches: [],
        successes: [],
      }
      const path = pathOf(route, { ...NONE(), params: person })
      const body = JSON.stringify({ password: make('password') })
      const query = `?${make('query')}=${make('query')}`
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND'].filter(
        (one) => !methods.includes(one),
      ))
        t.match(
          await send({ method, path: path + query, body, headers: bearerOf(person) }),
          { status: 405 },
          `${method} ${url}`,
        )
      const beside = `${path}/${make('path')}/${make('path')}${query}`
      t.match(await send({ method: 'GET', path: beside, headers: bearerOf(person) }), { status: 404 }, `beside ${url}`)
    },

    /** All routes at once, whatever they say while the database is in trouble. Gives the statuses that there were. */
    async inTrouble(routes: Route[], person: Person): Promise<number[]> {
      const asked = routes.flatMap((route) =>
        (route.fields.length > 0 ? [person, {}] : [person]).map((known) =>
          fill(route, wellFormed(route, known, make)[0]!, authorization(route, person)),
        ),
      )
      return (await Promise.all(asked)).map(({ status }) => status)
    },

    /** A route or a field that was added and that this does not reach makes itself known here. */
    holdComplete(routes: Route[]): void {
      for (const { call, fields, successes } of routes) {
        const answered = [...succeeded]
          .filter((one) => one.startsWith(`${call} `))
          .map((one) => Number(one.split(' ')[2]))
        t.ok(answered.length > 0, `${call} has answered well`)
        for (const status of successes) t.ok(answered.includes(status), `${call} has answered ${status}`)
        for (const field of fields) {
          t.ok(accepted.has(`${call} ${nameOf(field)}`), `${call} took ${nameOf(field)}`)
          t.ok(refused.has(`${call} ${nameOf(field)}`), `${call} refused ${nameOf(field)}`)
        }
      }
    },
  }
}

const nameOf = ({ part, name }: Field) => `${part} ${name}`
