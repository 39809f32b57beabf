/**
 * Open this first: the whole service. All options of the server, then the plugins, then the routes within a scope that
 * demands that each of them states its access.
 */
import { randomBytes as systemRandomBytes } from 'node:crypto'
import { join } from 'node:path'
import autoload from '@fastify/autoload'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyServerOptions, LogController } from 'fastify'
import { type Logger, pino } from 'pino'
import { v7 as uuidv7 } from 'uuid'
import type { Config } from './config.ts'
import type { Parts } from './parts.ts'
import { demandAccess } from './plugins/access.ts'
import { compilers } from './plugins/body/compilers.ts'
import { answerClientError, answerError, answerFrameworkError } from './plugins/errors.ts'
import { HEAD_LIMIT, requestIds } from './plugins/headers.ts'
import { trustedProxies } from './schemas/config.ts'

type Options = Pick<Parts, 'config'> & Partial<Omit<Parts, 'newId'>>

const BODY_LIMIT = 32 * 1024
const ARRIVAL_MS = 15_000
const MAX_CONNECTIONS = 10_000

/** The service, ready to listen or to be injected into. Time and randomness can be given, so that tests move a clock instead of sleeping. */
export async function buildApp(options: Options) {
  const { config, now = Date.now, randomBytes = systemRandomBytes, jwksMaxAge = 300, routes = true } = options
  const newId = () => uuidv7({ msecs: now(), random: randomBytes(16) })
  const parts: Parts = { config, now, randomBytes, newId, jwksMaxAge, routes }
  const log = await createLog(config)
  const app = Fastify(serverOptions(config, log)).withTypeProvider<TypeBoxTypeProvider>()
  // Not as the option `logger`: then Fastify would listen to the end of every answer, to write a line that nobody wants.
  app.log = log
  app.server.maxConnections = MAX_CONNECTIONS
  // Node answers an unknown Expect by itself, without a body; plugins/headers.ts answers it in our shape.
  app.server.on('checkExpectation', app.routing)
  // Before any plugin, since a route keeps the handler that stands when it is made.
  app.setErrorHandler(answerError)

  app.register(autoload, { dir: join(import.meta.dirname, 'plugins'), maxDepth: 1, forceESM: true, options: parts })
  if (routes) {
    app.register(async (scope) => {
      demandAccess(scope)
      scope.register(autoload, { dir: join(import.meta.dirname, 'routes'), forceESM: true, options: parts })
    })
  }
  try {
    await app.ready()
  } catch (error) {
    await app.close()
    throw error
  }
  return app
}

export type App = Awaited<ReturnType<typeof buildApp>>

/** JSON lines on stdout; on a terminal, lines for people, by what is loaded only there. */
async function createLog({ LOG_LEVEL: level }: Config): Promise<Logger> {
  if (!process.stdout.isTTY) return pino({ level })
  const { default: build } = await import('pino-pretty')
  return pino({ level }, build({ ignore: 'pid,hostname,reqId', sync: true }))
}

function serverOptions(config: Config, log: Logger): FastifyServerOptions {
  return {
    // No logger of its own for each request, which would cost more than most requests: the few lines name the request themselves.
    childLoggerFactory: () => log,
    // One line for each error answer, written by plugins/errors.ts; the default ones hold the query string.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestIds(config),
    trustProxy: trustedProxies(config.TRUSTED_PROXIES),
    bodyLimit: BODY_LIMIT,
    schemaController: { compilersFactory: compilers },
    // A database that is away is waited for, and a migration may take minutes: plugins/db bounds both.
    pluginTimeout: 0,
    // An id that is too long is not found, instead of an error of the router's own.
    routerOptions: { maxParamLength: HEAD_LIMIT },
    requestTimeout: ARRIVAL_MS,
    connectionTimeout: ARRIVAL_MS + config.HASH_MAX_WAIT_MS + config.DB_MAX_WAIT_MS + 60_000,
    http: {
      maxHeaderSize: HEAD_LIMIT,
      headersTimeout: ARRIVAL_MS,
      connectionsCheckingInterval: 1000,
      // Node's own answer has no body; plugins/headers.ts has one.
      requireHostHeader: false,
    },
    forceCloseConnections: 'idle',
    // Likewise: plugins/headers.ts answers 503 UNAVAILABLE while closing.
    return503OnClosing: false,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
  } as FastifyServerOptions
}
