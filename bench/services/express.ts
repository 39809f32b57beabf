/**
 * A plain service of Express, jsonwebtoken and bcrypt, as good tutorials write it: HS256 by a shared secret, people in
 * memory, so that it pays for no database. It has no queue, no sessions, no refresh and no guard.
 */
import { randomBytes } from 'node:crypto'
import bcrypt from 'bcrypt'
import { nameOf, PASSWORD } from '../people.ts'
import { tool } from '../tools.ts'

interface Request {
  headers: Record<string, string | undefined>
  body: { email: string; password: string }
  claims?: { sub: string }
}
interface Response {
  status(code: number): Response
  json(body: unknown): void
  end(): void
}
type Handler = (request: Request, response: Response, next: () => void) => unknown
type Route = (path: string, ...handlers: Handler[]) => void
interface Express {
  (): { get: Route; post: Route; listen(port: number, host: string): void }
  json(): Handler
}
interface Jsonwebtoken {
  sign(claims: object, secret: string, options: object): string
  verify(token: string, secret: string, options: object): { sub: string }
}

const express = tool<Express>('express')
const jwt = tool<Jsonwebtoken>('jsonwebtoken')

const SECRET = randomBytes(32).toString('hex')
const COST = Number(process.env.BCRYPT_COST)

const passwordHash = await bcrypt.hash(PASSWORD, COST)
const users = new Map(
  Array.from({ length: Number(process.env.PEOPLE) }, (_, index) => {
    const username = nameOf(index + 1)
    const email = `${username}@example.com`
    const created_at = new Date().toISOString()
    return [email, { id: String(index + 1), username, email, roles: [], created_at, passwordHash }]
  }),
)
const byId = new Map([...users.values()].map((user) => [user.id, user]))

const authenticate: Handler = (request, response, next) => {
  try {
    const [, token = ''] = request.headers.authorization?.split(' ') ?? []
    request.claims = jwt.verify(token, SECRET, { algorithms: ['HS256'] })
    next()
  } catch {
    response.status(401).json({ error: 'Unauthorized' })
  }
}

const app = express()

app.get('/auth/verify', authenticate, (_, response) => response.status(204).end())

app.get('/user/me', authenticate, (request, response) => {
  const { passwordHash: _, ...user } = byId.get(request.claims!.sub)!
  response.json(user)
})

app.post('/user/login', express.json(), async (request, response) => {
  const user = users.get(request.body.email)
  if (!user || !(await bcrypt.compare(request.body.password, user.passwordHash)))
    return response.status(401).json({ error: 'Unauthorized' })
  const access_token = jwt.sign({ sub: user.id, email: user.email }, SECRET, { algorithm: 'HS256', expiresIn: '15m' })
  return response.json({ access_token })
})

app.listen(Number(process.env.PORT), '127.0.0.1')
