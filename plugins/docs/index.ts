/**
 * Swagger UI at /docs, and the OpenAPI document that it shows at /docs/json and /docs/yaml. DOCS=off leaves all of it
 * out. What makes them, some 250 files, is loaded when somebody first asks: pages.ts.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../../parts.ts'
import { fail } from '../../schemas/errors.ts'

const ADDRESSES = ['/docs', '/docs/', '/docs/json', '/docs/yaml', '/docs/static/*']
/** What of a request the pages need to know. */
const ASKED = ['if-none-match', 'if-modified-since', 'range']
/** What is of one connection (RFC 9110, section 7.6.1), or reckoned anew. */
const OF_THE_WAY = ['connection', 'transfer-encoding', 'content-length', 'date']

/** The request that is put to the pages. */
function questionOf({ url, headers }: FastifyRequest) {
  const asked = ASKED.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]]))
  return { url, headers: Object.fromEntries(asked) }
}

/** Answers by pages of an app of their own, which `build` makes once; all that stands on every answer stands on these too. */
function createAnswer(build: () => Promise<FastifyInstance>) {
  let pages: Promise<FastifyInstance> | undefined
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    /* c8 ignore next 4 -- what fails here is the machine, which may have no memory or no open file left; then it is tried again */
    pages ??= build().catch((error) => {
      pages = undefined
      throw error
    })
    const { statusCode, headers, payload, rawPayload } = await (await pages).inject(questionOf(request))
    if (statusCode === 404) fail('NOT_FOUND')
    if (statusCode >= 400) throw Object.assign(new Error(`the pages answered ${payload}`), { statusCode })
    const kept = Object.entries(headers).filter(([name]) => !OF_THE_WAY.includes(name))
    return reply
      .code(statusCode)
      .headers(Object.fromEntries(kept))
      .send(payload ? rawPayload : undefined)
  }
}

export default fp<Parts>(
  async (app, { config, routes }) => {
    if (!routes || config.DOCS === 'off') return
    const described: RouteOptions[] = []
    app.addHook('onRoute', (route) => {
      if (route.method !== 'HEAD' && !(route.schema as { hide?: boolean } | undefined)?.hide) described.push(route)
    })
    const handler = createAnswer(async () => (await import('./pages.ts')).buildPages(described))
    for (const url of ADDRESSES)
      app.route({
        method: 'GET',
        url,
        schema: { hide: true },
        config: { access: 'public', limit: 'none' },
        handler,
      } as RouteOptions)
  },
  // After access, so that its pages pass the gate too.
  { name: 'docs', dependencies: ['errors', 'access'] },
)
