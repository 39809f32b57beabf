/**
 * What schemas are written by: the functions of TypeBox that are used here, by its own types. TypeBox itself is some 200
 * files, half as much to load at each start as Fastify with all that it needs; here its types do all the work.
 */
import type { Type as TypeBox } from '@sinclair/typebox'

export type { Static, TSchema } from '@sinclair/typebox'

type Schema = Record<string | symbol, unknown>

/** A member that may be left out; as a symbol it is no part of the JSON Schema. */
const OPTIONAL = Symbol('optional')

const plain = (type: string) => (options?: Schema) => ({ ...options, type })

const builder = {
  Array: (items: Schema, options?: Schema) => ({ ...options, type: 'array', items }),
  Boolean: plain('boolean'),
  Integer: plain('integer'),
  Literal: (value: string, options?: Schema) => ({ ...options, const: value, type: typeof value }),
  Null: plain('null'),
  Object(properties: Record<string, Schema>, options?: Schema) {
    const required = Object.keys(properties).filter((name) => !(OPTIONAL in properties[name]!))
    return { ...options, type: 'object', ...(required.length > 0 && { required }), properties }
  },
  Optional: (schema: Schema) => ({ ...schema, [OPTIONAL]: true }),
  String: plain('string'),
  Union: (anyOf: Schema[], options?: Schema) => ({ ...options, anyOf }),
  Unsafe: (schema: Schema) => schema,
}

export const Type = builder as unknown as Pick<typeof TypeBox, keyof typeof builder>
