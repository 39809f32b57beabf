/** A session: one login on one device, as its person sees it and as the database holds it. */
import { type Static, Type } from '@sinclair/typebox'
import { Id, Timestamp } from './user.ts'

export const SessionView = Type.Object(
  {
    id: Id,
    current: Type.Boolean({ description: 'Whether this request belongs to it' }),
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    ip: Type.String({ examples: ['203.0.113.7'] }),
    user_agent: Type.String({ examples: ['Mozilla/5.0 (X11; Linux x86_64)'] }),
  },
  { title: 'Session', description: 'A session: one login on one device' },
)
export type SessionView = Static<typeof SessionView>

/** Where a login came from. */
export interface Client {
  ip: string
  userAgent: string
}

/** A session as the database holds it; times in milliseconds. */
export interface Session extends Client {
  id: string
  userId: string
  /** SHA-256 of the refresh token's handle; the handle itself stands nowhere. */
  handleHash: string
  /** How many times the refresh token was rotated. */
  generation: number
  createdAt: number
  lastUsedAt: number
  rotatedAt: number | null
  expiresAt: number
  /** Until when an access token of this session may be alive, so how long its ending must be remembered. */
  until: number
}

export function viewOf(session: Session, currentId: string): SessionView {
  return {
    id: session.id,
    current: session.id === currentId,
    created_at: new Date(session.createdAt).toISOString(),
    last_used_at: new Date(session.lastUsedAt).toISOString(),
    expires_at: new Date(session.expiresAt).toISOString(),
    ip: session.ip,
    user_agent: session.userAgent,
  }
}
