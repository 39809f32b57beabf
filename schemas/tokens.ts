/** What a login, a refresh or a new password answers: the two tokens and the person. */
import { type Static, Type } from '@sinclair/typebox'
import { User } from './user.ts'

export const RefreshToken = Type.String({
  minLength: 1,
  description: 'Opaque; from the last token answer',
  examples: ['lkr_AX9m…'],
})

export const TokenAnswer = Type.Object(
  {
    result: Type.Literal('success'),
    access_token: Type.String({
      description: 'JWT by RFC 9068; send it as `Authorization: Bearer …`',
      examples: ['eyJ…'],
    }),
    token_type: Type.Literal('Bearer'),
    expires_in: Type.Integer({ description: 'Seconds that the access token lives', examples: [900] }),
    refresh_token: Type.String({ description: 'Opaque; good for POST /user/refresh', examples: ['lkr_AX9m…'] }),
    refresh_expires_in: Type.Integer({
      description: 'Seconds that the session lives without a refresh',
      examples: [2592000],
    }),
    user: User,
  },
  { title: 'TokenAnswer', description: 'An access token, a refresh token and the person' },
)
export type TokenAnswer = Static<typeof TokenAnswer>

export type { AccessClaims } from '../verifier/token.ts'

export const Success = Type.Object({ result: Type.Literal('success') }, { title: 'Success', description: 'Done' })
