// `npm run postman`: prints docs/latchkey.postman_collection.json, made of test/openapi.json. Each folder runs from top to
// bottom without a hand: the tokens are kept in variables, and each run registers a person of its own.
// (openapi-to-postmanv2 was tried: random ids, so a new file at each run; bodies of "<string>"; no tokens kept.)

import { readFileSync } from 'node:fs'
import { type Code, ERRORS } from '../schemas/errors.ts'

/** What is used of the document. */
interface Document {
  info: { title: string; version: string }
  tags: { name: string; description: string }[]
  paths: Record<string, Record<string, Omit<Operation, 'method' | 'path'>>>
}

interface Operation {
  method: string
  path: string
  operationId: string
  summary: string
  description: string
  tags: string[]
  security: Record<string, string[]>[]
  parameters?: { in: string; name: string; description: string; schema: { enum?: string[] } }[]
  requestBody?: { content: Record<string, { example?: object; schema: { properties: object } }> }
  responses: Record<string, unknown>
}

const FLOW = 'register login me sessions refresh changePassword logout'
/** What cannot stand in the order of the document: one ends the session that another needs, so that a login lies between. */
const OWN_ORDER: Record<string, string> = {
  user:
    'register login me rename refresh changePassword login sessions endSession ' +
    'logoutByPost login logout login deleteAccount',
  gateways: 'register verify',
  services: 'register introspect revoke revocations',
}

/** What stands in a body, by the name of the member. */
const VARIABLES: Record<string, string> = {
  username: '{{username}}',
  email: '{{username}}@example.com',
  password: '{{password}}',
  current_password: '{{password}}',
  new_password: '{{password}}',
  refresh_token: '{{refresh_token}}',
  token: '{{access_token}}',
  token_type_hint: 'access_token',
}

const FORM = 'application/x-www-form-urlencoded'
const BASIC = [
  { key: 'username', value: '{{client_id}}', type: 'string' },
  { key: 'password', value: '{{client_secret}}', type: 'string' },
]

const NEW_PERSON = [
  '// Each run is another person.',
  "pm.collectionVariables.set('username', 'ann-' + Math.random().toString(36).slice(2, 12))",
]
const KEEP = [
  '// Keeps what other requests need.',
  "const answer = pm.response.text().startsWith('{') ? pm.response.json() : {}",
  "for (const name of ['access_token', 'refresh_token']) if (answer[name]) pm.collectionVariables.set(name, answer[name])",
  'const other = (answer.sessions ?? []).find(({ current }) => !current)',
  "if (other) pm.collectionVariables.set('session_id', other.id)",
]
/** What an answer has to say, beside its status. */
const CHECKS: Record<string, string> = {
  register: "pm.expect(pm.response.json().access_token).to.be.a('string')",
  me: "pm.expect(pm.response.json().username).to.eql(pm.collectionVariables.get('username'))",
  sessions: 'pm.expect(pm.response.json().sessions.filter(({ current }) => current)).to.have.length(1)',
  introspect: 'pm.expect(pm.response.json().active).to.eql(true)',
  revocations: "pm.expect(pm.response.json().sessions).to.be.an('array')",
  verify: "pm.expect(pm.response.headers.get('X-Auth-User-Id')).to.be.a('string')",
  logout: "pm.expect(pm.response.json().result).to.eql('success')",
}

const file = new URL('../../test/openapi.json', import.meta.url)
const { info, tags, paths }: Document = JSON.parse(readFileSync(file, 'utf8'))
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]): Operation => ({ ...operation, method, path })),
)

console.log(JSON.stringify(collection(), null, 2))

function collection() {
  return {
    info: {
      name: info.title,
      description: `${info.title} ${info.version}. Set \`base_url\`, then run the first folder; for what services ask, \`client_id\` and \`client_secret\` too.`,
      schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
    },
    auth: { type: 'bearer', bearer: [{ key: 'token', value: '{{access_token}}', type: 'string' }] },
    variable: Object.entries({
      base_url: 'http://127.0.0.1:3000',
      username: 'ann',
      password: 'correct horse battery',
      access_token: '',
      refresh_token: '',
      session_id: '',
      client_id: '',
      client_secret: '',
    }).map(([key, value]) => ({ key, value })),
    event: [script('test', KEEP)],
    item: [flow(), ...tags.map(folder)],
  }
}

function flow() {
  const item = [
    ...byIds(FLOW).map((operation) => request(operation)),
    ...byIds('me').map((me) => request(me, 'INVALID_TOKEN')),
  ]
  return { name: 'From registration to logout', description: 'After the logout the token is refused.', item }
}

function folder({ name, description }: Document['tags'][number]) {
  const tagged = operations.filter((operation) => operation.tags.includes(name))
  const ordered = byIds(OWN_ORDER[name])
  const rest = tagged.filter((operation) => !ordered.includes(operation))
  return { name, description, item: [...ordered, ...rest].map((operation) => request(operation)) }
}

function byIds(ids = ''): Operation[] {
  return ids.split(' ').flatMap((id) => operations.filter(({ operationId }) => operationId === id))
}

/** Who asks, where it is not the person of the collection's access token: nobody, unless a token is demanded, or a service. */
function authOf(security: Operation['security']) {
  if (security.some((one) => 'basic' in one)) return { auth: { type: 'basic', basic: BASIC } }
  return security.length === 0 || security.some((one) => !('bearer' in one)) ? { auth: { type: 'noauth' } } : {}
}

/** One request. It expects what goes well, or this refusal. */
function request(operation: Operation, refusal?: Code) {
  const { operationId, summary, description, method, security } = operation
  const body = bodyOf(operation)
  const status = refusal ? ERRORS[refusal].status : Object.keys(operation.responses)[0]
  const check = refusal ? `pm.expect(pm.response.json().code).to.eql('${refusal}')` : CHECKS[operationId]
  const name = refusal ? `${summary} Refused` : summary
  const test = [`pm.test(${JSON.stringify(`${name}: ${status}`)}, () => {`, `  pm.response.to.have.status(${status})`]
  return {
    name,
    event: [
      ...(operationId === 'register' ? [script('prerequest', NEW_PERSON)] : []),
      script('test', [...test, ...(check ? [`  ${check}`] : []), '})']),
    ],
    request: {
      method: method.toUpperCase(),
      description,
      ...authOf(security),
      header: body ? [{ key: 'Content-Type', value: typeOf(operation) }] : [],
      ...(body && { body: typeOf(operation) === FORM ? formOf(body) : jsonOf(body) }),
      url: urlOf(operation),
    },
    response: [],
  }
}

/** With what may stand in the query, switched off. */
function urlOf({ path, parameters = [] }: Operation) {
  const [, ...segments] = path.replace('{id}', '{{session_id}}').split('/')
  const query = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, description, schema }) => ({ key: name, value: schema.enum?.[0], description, disabled: true }))
  return { raw: ['{{base_url}}', ...segments].join('/'), host: ['{{base_url}}'], path: segments, query }
}

/** The members of the document's example, or all where that is empty or absent, with variables for values. */
function bodyOf({ requestBody }: Operation): Record<string, string | undefined> | undefined {
  if (!requestBody) return undefined
  const { example = {}, schema } = Object.values(requestBody.content)[0]!
  const names = Object.keys(example)
  const shown = names.length > 0 ? names : Object.keys(schema.properties)
  return Object.fromEntries(shown.map((name) => [name, VARIABLES[name]]))
}

/** The media type of a body that is there. */
function typeOf({ requestBody }: Operation): string {
  return Object.keys(requestBody!.content)[0]!
}

function jsonOf(body: object) {
  return { mode: 'raw', raw: JSON.stringify(body, null, 2) }
}

function formOf(body: object) {
  return { mode: 'urlencoded', urlencoded: Object.entries(body).map(([key, value]) => ({ key, value })) }
}

function script(listen: 'prerequest' | 'test', exec: string[]) {
  return { listen, script: { type: 'text/javascript', exec } }
}
