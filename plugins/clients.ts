/**
 * Service clients: who SERVICE_CLIENTS lets ask about tokens. They say who they are by HTTP Basic or in the form (RFC
 * 6749, section 2.3.1), never by both.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../parts.ts'
import { type ServiceClient, serviceClient } from '../schemas/config.ts'
import { fail } from '../schemas/errors.ts'

const digestOf = ({ id, secret }: ServiceClient) => createHash('sha256').update(`${id}:${secret}`).digest()

function createServiceClients(pairs: readonly string[]) {
  const known = pairs.map((pair) => digestOf(serviceClient(pair)!))

  /** In the same time for whatever is given: digests have one length, and all of them are compared. */
  function isKnown(given: ServiceClient): boolean {
    const digest = digestOf(given)
    return known.filter((one) => timingSafeEqual(one, digest)).length > 0
  }

  /**
   * Judges an Authorization header. Gives the ids that it may mean. Throws UNAUTHENTICATED where it is no HTTP Basic,
   * INVALID_CREDENTIALS.
   */
  function byHeader(authorization: string): string[] {
    const [, text] = /^Basic +(\S+)$/i.exec(authorization) ?? []
    const known = readings(text ?? fail('UNAUTHENTICATED')).filter(isKnown)
    return known.length > 0 ? known.map(({ id }) => id) : fail('INVALID_CREDENTIALS')
  }

  return {
    byHeader,

    /**
     * Judges the members of a form, where no header has been judged before. Throws UNAUTHENTICATED, INVALID_CREDENTIALS,
     * and VALIDATION_FAILED where both ways are taken; an id that says the same again is none (RFC 6749, section 3.2.1).
     */
    byForm({ body, headers: { authorization } }: FastifyRequest): void {
      const { client_id: id, client_secret: secret } = (body ?? {}) as Partial<Record<string, string>>
      if (authorization !== undefined) {
        const field = secret !== undefined ? '/client_secret' : '/client_id'
        if (secret === undefined && (id === undefined || byHeader(authorization).includes(id))) return
        fail('VALIDATION_FAILED', { details: [{ field, rule: 'oneOf' }] })
      }
      if (id === undefined && secret === undefined) fail('UNAUTHENTICATED')
      if (!isKnown({ id: id ?? '', secret: secret ?? '' })) fail('INVALID_CREDENTIALS')
    },
  }
}

/** What Basic credentials may mean: as they stand, as most programs send them, and form-decoded, as RFC 6749 has it. */
function readings(base64: string): ServiceClient[] {
  const text = Buffer.from(base64, 'base64').toString()
  const colon = text.indexOf(':')
  const sent = { id: text.slice(0, Math.max(colon, 0)), secret: text.slice(colon + 1) }
  return [sent, { id: decoded(sent.id), secret: decoded(sent.secret) }]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

export type ServiceClients = ReturnType<typeof createServiceClients>
export const serviceClientsOf = (app: FastifyInstance) => app.getDecorator<ServiceClients>('serviceClients')

export default fp<Parts>(
  async (app, { config }) => {
    app.decorate('serviceClients', createServiceClients(config.SERVICE_CLIENTS))
  },
  { name: 'clients' },
)
