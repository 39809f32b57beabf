/** GET /health/live and /health/ready: what an orchestrator asks. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { dbOf } from '../plugins/db/index.ts'
import { lifeOf } from '../plugins/headers.ts'
import { errors } from '../schemas/error-responses.ts'
import { fail } from '../schemas/errors.ts'

const Health = Type.Object({ status: Type.Literal('ok') }, { title: 'Health', description: 'All is well' })

/** The first answer of a process waits for no compiler; there is nothing to leave out. */
const asItIs = () => JSON.stringify

const route: FastifyPluginAsyncTypebox = async (app) => {
  const db = dbOf(app)
  const life = lifeOf(app)

  app.route({
    method: 'GET',
    url: '/health/live',
    config: { access: 'public', limit: 'none' },
    schema: {
      operationId: 'live',
      summary: 'Is the process alive?',
      description: 'Says that the process answers; restart it where it does not.',
      tags: ['health'],
      response: { 200: Health, ...errors() },
    },
    serializerCompiler: asItIs,
    handler: async (_request, reply) => reply.code(200).send({ status: 'ok' }),
  })

  app.route({
    method: 'GET',
    url: '/health/ready',
    config: { access: 'public', limit: 'none' },
    schema: {
      operationId: 'ready',
      summary: 'Can it serve?',
      description: '503 while the database does not answer, and while the process is stopping.',
      tags: ['health'],
      response: { 200: Health, ...errors() },
    },
    serializerCompiler: asItIs,
    handler: async (_request, reply) => {
      if (life.stopping) fail('UNAVAILABLE')
      await db.ping()
      return reply.code(200).send({ status: 'ok' })
    },
  })
}

export default route
