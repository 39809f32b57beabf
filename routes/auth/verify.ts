/**
 * /auth/verify: may this request pass? Asked by gateways about requests of others (nginx `auth_request`, Traefik
 * ForwardAuth, Caddy `forward_auth`, Envoy `ext_authz`), for each of them: the hottest route of all.
 */

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sessionOf } from '../../plugins/access.ts'
import { closeInStop, type Life, lifeOf } from '../../plugins/headers.ts'
import { errors } from '../../schemas/error-responses.ts'
import { fail } from '../../schemas/errors.ts'
import { METHODS } from '../../schemas/http.ts'
import { ROLE } from '../../schemas/user.ts'

const header = (description: string) => Type.String({ description })

const Allowed = Type.Unsafe<undefined>({
  type: 'null',
  description:
    'It may pass. Give these headers to the service behind the gateway, and none of the same name from outside',
  headers: {
    'X-Auth-User-Id': header("The person: the token's `sub`"),
    'X-Auth-Session-Id': header("The session: the token's `sid`"),
    'X-Auth-Roles': header('The roles of the person with commas between them; empty where there are none'),
  },
})

const Query = Type.Object({
  role: Type.Optional(
    Type.Array(Type.String({ pattern: ROLE.source }), {
      description: 'The person has to have this role; where it is repeated, any of them',
      examples: [['admin']],
    }),
  ),
})

/** A gateway may ask by any method, also by that of the request that it asks about. A tunnel is nothing that is asked for here. */
const OTHERS = METHODS.filter((method) => method !== 'CONNECT' && method !== 'GET' && method !== 'HEAD')

const ANSWERS = errors('token', 'FORBIDDEN')

const route: FastifyPluginAsyncTypebox = async (app) => {
  // A preflight is not for this address, but for that which the gateway asks about.
  const config = { access: 'token', limit: 'none', proxied: true, cors: false } as const
  const answer = createAnswer(lifeOf(app))
  const verify = { onRequest: answer, handler: answer, config }
  for (const method of OTHERS.filter((method) => !app.supportedMethods.includes(method))) app.addHttpMethod(method)

  app.route({
    ...verify,
    method: 'GET',
    url: '/verify',
    schema: {
      operationId: 'verify',
      summary: 'May it pass?',
      description:
        'For gateways, by any method, with whatever headers and body came with the request that they ask about: only `Authorization` and `role` are looked at.',
      tags: ['gateways'],
      querystring: Query,
      // Nothing else is answered: a gateway would make an error of its own of it.
      response: { 200: Allowed, 401: ANSWERS[401], 403: ANSWERS[403], 503: ANSWERS[503] },
    },
  })
  app.route({ ...verify, method: OTHERS, url: '/verify', schema: { hide: true } })
}

/**
 * Answers within the hook, before a body is looked at: one that was announced may never come. (The handler is never
 * asked.) And without Fastify's reply, which takes about as long as the check does: all that the onSend hooks would add
 * is added here.
 */
const createAnswer =
  (life: Life) =>
  (request: FastifyRequest, reply: FastifyReply): void => {
    const { id, userId, roles } = sessionOf(request)
    const { role } = request.query as { role?: string | string[] }
    if (role !== undefined && !mayPass(roles, [role].flat())) fail('FORBIDDEN')
    closeInStop(life, reply)
    const headers = {
      'x-request-id': request.id,
      'cache-control': 'no-store',
      'x-auth-user-id': userId,
      'x-auth-session-id': id,
      'x-auth-roles': roles.join(),
      'content-length': '0',
    }
    // Not by hijack(): what throws here, such as a role that no header can hold, is to be answered as an error.
    reply.raw.writeHead(200, headers).end()
  }

/** Whether somebody with these roles has any of the wanted ones. What cannot be a role is a mistake of the gateway's, and lets nobody in. */
function mayPass(roles: string[], wanted: string[]): boolean {
  return wanted.every((role) => ROLE.test(role)) && wanted.some((role) => roles.includes(role))
}

export default route
