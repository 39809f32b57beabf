/**
 * The gate: each route states as data who may ask, and an onRequest hook lets them in. Nothing is open unless a route
 * opens it.
 */
import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { putFirst } from '../hooks.ts'
import type { Parts } from '../parts.ts'
import { fail } from '../schemas/errors.ts'
import type { AccessClaims } from '../schemas/tokens.ts'
import { type ServiceClients, serviceClientsOf } from './clients.ts'
import { withBudgetUntil } from './db/waiting.ts'
import { countOf, whenOver } from './headers.ts'
import { type AccessTokens, accessTokensOf } from './jwt.ts'
import { type Sessions, sessionsOf } from './sessions/index.ts'

/**
 * Who may ask. `public`: everyone. `token`: an access token by itself. `session`: a token, and its session and person
 * read from the database. `either`: as `session` where an Authorization header is there, else as `public`. `service`:
 * one of SERVICE_CLIENTS, by HTTP Basic or, where the body is a form, in it.
 */
export type Access = 'public' | 'token' | 'session' | 'either' | 'service'

/** What limits a route beyond the server's own limits. `guesses`: failed passwords, see limits.ts. */
export type Limit = 'none' | 'guesses'

/** Who asks, by the access token. */
export interface Bearer {
  id: string
  userId: string
  roles: string[]
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
    limit?: Limit
  }
  interface FastifyRequest {
    /** Set by the gate; null on public routes. */
    session: Bearer | null
  }
}

/** Fails the start where a route of this scope does not state its access and its limit. */
export function demandAccess(scope: FastifyInstance): void {
  scope.addHook('onRoute', ({ method, url, config }) => {
    if (!config?.access || !config.limit) throw new Error(`${method} ${url} does not state its access and its limit`)
  })
}

/** The session of a request that the gate has let in. */
/* c8 ignore next 2 -- the gate has let nobody in without one; were it not so, this would not open anything */
export const sessionOf = (request: FastifyRequest): Bearer => request.session ?? fail('UNAUTHENTICATED')

/**
 * The token of an `Authorization: Bearer` header (RFC 6750, section 2.1); undefined where there is none. Throws
 * INVALID_TOKEN where the header is there twice: Node.js takes the first, and what stands behind a gateway may take the other.
 */
function tokenOf(request: FastifyRequest): string | undefined {
  if (countOf(request, 'authorization') > 1) fail('INVALID_TOKEN')
  const { authorization = '' } = request.headers
  const [scheme] = /^Bearer +(?=\S)/i.exec(authorization) ?? []
  return scheme && authorization.slice(scheme.length)
}

/** Claims as who asks. */
const bearerOf = ({ sid, sub, roles }: AccessClaims): Bearer => ({ id: sid, userId: sub, roles })

interface Needs extends Pick<Parts, 'config' | 'now'> {
  accessTokens: AccessTokens
  sessions: Sessions
  clients: ServiceClients
}

function createGate({ accessTokens, sessions, clients, config, now }: Needs) {
  /** The claims of an access token that is good by itself. Throws TOKEN_EXPIRED, INVALID_TOKEN; UNAVAILABLE where the list of ended sessions is too old to judge. */
  function judge(token: string): AccessClaims | Promise<AccessClaims> {
    const claims = accessTokens.verify(token)
    return claims instanceof Promise ? claims.then(living) : living(claims)
  }

  function living(claims: AccessClaims): AccessClaims {
    if (!sessions.ended.isFresh()) fail('UNAVAILABLE')
    if (sessions.ended.has(claims.sid)) fail('INVALID_TOKEN')
    if (now() >= claims.exp * 1000) fail('TOKEN_EXPIRED')
    return claims
  }

  /** Without a promise where the token is known: this is the way of nearly every request. */
  function byToken(request: FastifyRequest): Bearer | Promise<Bearer> {
    const claims = judge(tokenOf(request) ?? fail('UNAUTHENTICATED'))
    return claims instanceof Promise ? claims.then(bearerOf) : bearerOf(claims)
  }

  async function bySession(request: FastifyRequest): Promise<Bearer> {
    const { id, userId } = await byToken(request)
    const living = await sessions.live(id)
    if (living?.account.id !== userId) return fail('INVALID_TOKEN')
    return { id, userId, roles: living.account.roles }
  }

  /** A form is judged when it has been read (enterByForm below). */
  function byClient({ headers: { authorization }, routeOptions }: FastifyRequest): null {
    if (authorization !== undefined) clients.byHeader(authorization)
    else if (routeOptions.config.bodyType !== 'form') fail('UNAUTHENTICATED')
    return null
  }

  function enter(request: FastifyRequest, access: Access): Bearer | null | Promise<Bearer | null> {
    if (access === 'public' || (access === 'either' && request.headers.authorization === undefined)) return null
    if (access === 'service') return byClient(request)
    return access === 'token' ? byToken(request) : bySession(request)
  }

  return {
    judge,

    /** The hook of a route that lets in by this access. */
    hook: (access: Access): onRequestHookHandler =>
      function gate(request, reply, done) {
        const admit = (session: Bearer | null) => {
          request.session = session
          done()
        }
        const pass = () => {
          const entered = enter(request, access)
          if (entered instanceof Promise) entered.then(admit, done)
          else admit(entered)
        }
        // Where a token is enough there is one query at most, which has all of the time; and these routes are those that
        // are asked all the time.
        if (access === 'token') pass()
        else withBudgetUntil((over) => whenOver(reply, over), config.DB_MAX_WAIT_MS, pass)
      },
  }
}

export type Gate = ReturnType<typeof createGate>
export const gateOf = (app: FastifyInstance) => app.getDecorator<Gate>('gate')

export default fp<Parts>(
  async (app, { config, now }) => {
    const clients = serviceClientsOf(app)
    const gate = createGate({ accessTokens: accessTokensOf(app), sessions: sessionsOf(app), clients, config, now })
    app.decorate('gate', gate)
    app.decorateRequest('session', null)
    /** Before anything else in the form is judged. */
    const enterByForm = async (request: FastifyRequest) => clients.byForm(request)
    // Of each route by itself, whose options a hook for all would have to look up: that costs more than the rest of the gate.
    app.addHook('onRoute', (route) => {
      /* c8 ignore next -- a route without them does not start; if it did, it would be closed */
      const { access = 'session', bodyType } = route.config ?? {}
      // First: a surface test holds that no other plugin puts a hook before it.
      putFirst(route, 'onRequest', gate.hook(access))
      if (access === 'service' && bodyType === 'form') putFirst(route, 'preValidation', enterByForm)
    })
  },
  // After errors, which answers addresses that are not there; after passwords, so that the gate stands before its hook.
  { name: 'access', dependencies: ['errors', 'jwt', 'sessions', 'clients', 'passwords'] },
)
