/** What a service is told of a token (RFC 7662, section 2.2). */
import { type Static, Type } from '@sinclair/typebox'

const seconds = (description: string, example: number) =>
  Type.Optional(Type.Integer({ description: `${description}, in seconds since 1970`, examples: [example] }))
const text = (description: string, example: string) => Type.Optional(Type.String({ description, examples: [example] }))

export const Introspection = Type.Object(
  {
    active: Type.Boolean({ description: 'Whether the token is good right now; if not, nothing else is told' }),
    token_use: Type.Optional(
      Type.Unsafe<'access_token' | 'refresh_token'>({ type: 'string', enum: ['access_token', 'refresh_token'] }),
    ),
    token_type: text('Of an access token', 'Bearer'),
    iss: text('Who issued it', 'https://auth.example.com'),
    sub: text("The person's id", '019ab2c4-6f1e-7a31-9c55-2f6f0d3c1b7a'),
    aud: text('For whom it is', 'latchkey'),
    client_id: text('The same', 'latchkey'),
    exp: seconds('The end of the access token, or of the session', 1_795_500_900),
    iat: seconds('The issue of the access token, or the start of the session', 1_795_500_000),
    jti: text('Of an access token', '019ab2c4-6f1e-7a31-9c55-2f6f0d3c1b7b'),
    sid: text("The session's id", '019ab2c4-6f1e-7a31-9c55-2f6f0d3c1b7c'),
    username: text('As it is now', 'ann'),
    roles: Type.Optional(Type.Array(Type.String(), { description: 'As they are now', examples: [[]] })),
  },
  { title: 'Introspection', description: 'What a token is worth right now' },
)
export type Introspection = Static<typeof Introspection>

/** The form that names a token (RFC 7662, section 2.1; RFC 7009, section 2.1). What else is in it is ignored. */
export const TokenForm = Type.Object(
  {
    token: Type.String({ minLength: 1, description: 'An access token or a refresh token', examples: ['eyJ…'] }),
    token_type_hint: Type.Optional(Type.String({ description: 'Only a hint', examples: ['access_token'] })),
    client_id: Type.Optional(Type.String({ description: 'The id of the service, where HTTP Basic is not used' })),
    client_secret: Type.Optional(Type.String({ description: 'Its secret, likewise' })),
  },
  { examples: [{ token: 'eyJ…', token_type_hint: 'access_token' }] },
)
