/**
 * The password room: hash and verify at the cost in force, and judge a new password. Both hashing calls wait in one
 * queue; `turn` is called when the wait is over and may still call the job off. A route that states `hashes` is given a
 * place in that queue.
 */
import type {
  FastifyContextConfig,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  onRequestAsyncHookHandler,
  onSendHookHandler,
} from 'fastify'
import fp from 'fastify-plugin'
import { putFirst } from '../../hooks.ts'
import type { Parts } from '../../parts.ts'
import { fail } from '../../schemas/errors.ts'
import { clientOf, closeInStop, type Life, lifeOf, whenOver } from '../headers.ts'
import { networkOf } from '../limits.ts'
import { isCommon } from './policy.ts'
import { createQueue, type Place, type Turn } from './queue.ts'

export type { Place } from './queue.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How many hashes an answer costs where all goes well. It is refused at its head where they would wait too long. */
    hashes?: number
    /** `late`: it is refused when the first hash is asked for, after all else was judged. */
    admission?: 'late'
  }
  interface FastifyRequest {
    /** Set by a hook where the route states `hashes`. */
    place: Place | null
  }
}

type Settings = Pick<Parts['config'], 'BCRYPT_COST' | 'HASH_CONCURRENCY' | 'HASH_MAX_WAIT_MS'>

export function createPasswords({ config }: { config: Settings }) {
  const queue = createQueue({
    workers: config.HASH_CONCURRENCY,
    maxWaitMs: config.HASH_MAX_WAIT_MS,
    cost: config.BCRYPT_COST,
  })
  return {
    /** Throws OVERLOADED where the wait would be too long and the place is not taken yet, or the thread dies; UNAVAILABLE after the end. */
    hash: (password: string, turn?: Turn, place?: Place) => queue.run({ kind: 'hash', password }, turn, place),
    /** With `null`, for an account that is not there, it takes its time all the same. Throws as `hash`. */
    verify: (password: string, stored: string | null, turn?: Turn, place?: Place) =>
      queue.run({ kind: 'check', password, stored }, turn, place),
    /** A place for so many hashes of somebody in this network, not taken yet. */
    place: queue.place,
    /** Milliseconds that a refusal of now is to be held. */
    hold: queue.hold,
    isCommon,
    close: queue.close,
  }
}

export type Passwords = ReturnType<typeof createPasswords>
export const passwordsOf = (app: FastifyInstance) => app.getDecorator<Passwords>('passwords')

/** The place of a request whose route states `hashes`. */
/* c8 ignore next 2 -- the hook has given it one; were it not so, nothing would be hashed */
export const placeOf = (request: FastifyRequest): Place => request.place ?? fail('INTERNAL')

/**
 * Decides before the body is read and anything is looked up: what is refused costs next to nothing. The place is left
 * when the answer is out, or the client gone: Node says both by `close`.
 */
function createAdmission(placeFor: Passwords['place'], { hashes, admission }: FastifyContextConfig) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const place = placeFor(networkOf(clientOf(request).ip), hashes)
    request.place = place
    whenOver(reply, place.leave)
    if (admission !== 'late') place.take()
  }
}

/** Holds a refusal as long as the brake says. */
function createHold(passwords: Passwords, life: Life): onSendHookHandler {
  return ({ place }, reply, _payload, done) => {
    const ms = place?.isRefused() ? passwords.hold() : 0
    if (ms <= 0) return done()
    setTimeout(() => {
      // Again: the stop may have begun meanwhile.
      closeInStop(life, reply)
      done()
    }, ms)
  }
}

export default fp<Parts>(
  async (app, { config }) => {
    const passwords = createPasswords({ config })
    app.decorate('passwords', passwords)
    app.decorateRequest('place', null)
    // On these routes alone; the gate, whose plugin comes later, puts itself before it.
    app.addHook('onRoute', (route) => {
      /* c8 ignore next -- no route starts without a config: access.ts */
      if (!route.config?.hashes) return
      putFirst(route, 'onRequest', createAdmission(passwords.place, route.config) as onRequestAsyncHookHandler)
      putFirst(route, 'onSend', createHold(passwords, lifeOf(app)))
    })
    // Fastify calls this after the requests in flight were answered: it stops the server first.
    app.addHook('onClose', passwords.close)
  },
  { name: 'passwords' },
)
