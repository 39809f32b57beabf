/** Bare Fastify: what a request costs before any service does anything. */
import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'

const User = Type.Object({
  id: Type.String(),
  username: Type.String(),
  email: Type.String(),
  email_verified: Type.Boolean(),
  roles: Type.Array(Type.String()),
  created_at: Type.String(),
  updated_at: Type.String(),
})

const user = {
  id: '01a20fc8-baa6-76cc-8b69-6497844ebced',
  username: 'user0000001',
  email: 'user0000001@example.com',
  email_verified: false,
  roles: [],
  created_at: '2026-11-24T22:59:02.950Z',
  updated_at: '2026-11-24T22:59:02.950Z',
}

const app = Fastify()
app.get('/auth/verify', (_, reply) => {
  reply.code(204).send()
})
// With all that stands in Latchkey's answer, and no check.
app.get('/auth/verify/unchecked', (_, reply) => {
  reply.header('x-request-id', randomUUID()).header('cache-control', 'no-store').header('x-auth-user-id', user.id)
  reply.header('x-auth-session-id', user.id).header('x-auth-roles', user.roles.join()).send()
})
app.get('/user/me', { schema: { response: { 200: User } } }, (_, reply) => {
  reply.send(user)
})
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
