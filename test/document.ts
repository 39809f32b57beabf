// The OpenAPI document as a person reads it in Swagger UI: one call after the other, each with its example.

import type { InjectOptions } from 'fastify'

type Method = NonNullable<InjectOptions['method']>

interface Schema {
  properties?: Record<string, { examples?: unknown[] }>
}

export interface Operation {
  operationId: string
  summary: string
  requestBody?: { required: boolean; content: Record<string, { schema: Schema; example?: unknown }> }
  security: Record<string, string[]>[]
  responses: Record<string, unknown>
}

export interface Document {
  paths: Record<string, Record<string, Operation>>
}

/** In the document's order. */
export function operationsOf({ paths }: Document): (Operation & { method: Method; path: string })[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      ...operation,
      method: method.toUpperCase() as Method,
      path,
    })),
  )
}

/** The body that Swagger UI fills in; undefined where there is none. */
export function exampleOf({ requestBody }: Operation): unknown {
  const { example, schema } = requestBody?.content['application/json'] ?? {}
  if (example !== undefined || !schema) return example
  return Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([name, { examples }]) => [name, examples?.[0]]),
  )
}

/** The members of a form that it fills in; undefined where the body is none. */
export const formExampleOf = ({ requestBody }: Operation) =>
  requestBody?.content['application/x-www-form-urlencoded']?.example as Record<string, string> | undefined
