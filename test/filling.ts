/**
 * What stands in the fields of each route: found from the routes and their own schemas, so that a new one is filled too.
 * A schema that this does not understand is an error: then this has to learn it.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyInstance, RouteOptions } from 'fastify'
import type { Test } from 'tap'
import { createEngine } from './engines.ts'
import { startApp } from './helper.ts'

export type Part = 'body' | 'form' | 'query' | 'params' | 'headers'

export interface Field {
  part: Part
  name: string
  schema: TSchema
}

export interface Route {
  /** `DELETE /user/sessions/:id` */
  call: string
  method: string
  url: string
  access: string
  /** It is one of the methods by which the same is asked as by GET. */
  hidden: boolean
  /** Asked by gateways, it looks at no body. */
  proxied: boolean
  /** Its body is a form. */
  form: boolean
  fields: Field[]
  /** Members of the body of which just one of the lists may be there. */
  branches: string[][]
  /** The response schemas say that it can answer with one of these. */
  successes: number[]
}

export type Values = Record<Part, Record<string, unknown>>

/** Makes a canary for the field of this name. */
type Make = (name: string) => string

/** All routes, as Fastify itself is told of them. */
export async function statedRoutes(t: Test): Promise<Route[]> {
  const stated: { route: RouteOptions; url: string }[] = []
  const watch = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', (route) => void stated.push({ route, url: route.url }))
  }
  subscribe('fastify.initialization', watch)
  await startApp(t, createEngine(t, 'sqlite'))
  unsubscribe('fastify.initialization', watch)
  // Only now every hook that changes a route has run.
  return stated.flatMap(({ route, url }) => [route.method].flat().map((method) => describe(route, method, url)))
}

function describe({ config, schema = {} }: RouteOptions, method: string, url: string): Route {
  const call = `${method} ${url}`
  const schemas = {
    [config?.bodyType === 'form' ? 'form' : 'body']: schema.body,
    query: schema.querystring,
    params: schema.params,
    headers: schema.headers,
  } as Record<Part, TSchema>
  const fields = Object.entries(schemas).flatMap(([part, whole]) =>
    membersOf(whole, call).map(([name, own]) => ({ part: part as Part, name, schema: own })),
  )
  for (const name of parametersOf(url)) {
    if (!fields.some((field) => field.part === 'params' && field.name === name))
      fields.push({ part: 'params', name, schema: Type.String() })
  }
  const branches = ((schemas.body?.oneOf ?? []) as TSchema[]).map(({ required }) => required as string[])
  const successes = Object.keys(schema.response ?? {})
    .map(Number)
    .filter((status) => status < 400)
  const form = config?.bodyType === 'form'
  const { access = 'session', proxied = false } = config ?? {}
  const hidden = (schema as { hide?: boolean }).hide ?? false
  return { call, method, url, access, hidden, proxied, form, fields, branches, successes }
}

const PARAMETER = /:(\w+)|\*/g
const parametersOf = (url: string) => [...url.matchAll(PARAMETER)].map(([, name = '*']) => name)

const UNDERSTOOD = /^(type|properties|required|additionalProperties|oneOf|examples|description|title|\$id)$/

function membersOf(schema: TSchema | undefined, where: string): [string, TSchema][] {
  if (schema === undefined) return []
  const strange = Object.keys(schema).filter((keyword) => !UNDERSTOOD.test(keyword))
  if (schema.type !== 'object' || strange.length > 0) notUnderstood(where, schema)
  return Object.entries(schema.properties)
}

function notUnderstood(where: string, schema: TSchema): never {
  throw new Error(`test/filling.ts cannot fill ${where}; teach it ${JSON.stringify(schema)}.`)
}

/** The address with its parameters and its query. */
export function pathOf({ url }: Route, { params, query }: Values, more: [string, string][] = []): string {
  const path = url.replace(PARAMETER, (_, name = '*') => encodeURIComponent(String(params[name])))
  const search = formOf(query, more)
  return search ? `${path}?${search}` : path
}

/** Members as a form has them; a list is its member over and over. */
export function formOf(values: Values[Part], more: [string, string][] = []): string {
  const members = Object.entries(values).flatMap(([name, value]) =>
    [value].flat().map((one): [string, string] => [name, String(one)]),
  )
  return String(new URLSearchParams([...members, ...more]))
}

export const NONE = (): Values => ({ body: {}, form: {}, query: {}, params: {}, headers: {} })

/** Ways to fill a route in which nothing is wrong with the form; together they take each branch and each value of an enum. */
export function wellFormed(route: Route, known: Record<string, string>, make: Make): Values[] {
  const turns = Math.max(1, route.branches.length, ...route.fields.map(({ schema }) => schema.enum?.length ?? 1))
  return Array.from({ length: turns }, (_, turn) => {
    const branch = route.branches[turn % route.branches.length] ?? []
    const elsewhere = route.branches.flat().filter((name) => !branch.includes(name))
    const values = NONE()
    for (const field of route.fields) {
      const { part, name } = field
      if (part === 'body' && elsewhere.includes(name)) continue
      values[part][name] = known[name] ?? wellFormedValue(field, turn, make)
    }
    return values
  })
}

const FORMS: Record<string, (make: () => string) => string> = {
  none: (make) => make(),
  username: (make) => make(),
  email: (make) => `${make()}@${make()}.example`,
}

function wellFormedValue({ name, schema }: Field, turn: number, make: Make): unknown {
  if (schema.enum) return schema.enum[turn % schema.enum.length]
  if ((schema.pattern || schema.type === 'array') && schema.examples) return schema.examples[0]
  const { type, format = 'none', pattern, minLength = 0, maxLength = Number.POSITIVE_INFINITY } = schema
  const text = type === 'string' && pattern === undefined && FORMS[format]?.(() => make(name))
  if (!text || text.length < minLength || text.length > maxLength) notUnderstood(name, schema)
  return text
}

/** Values that a field must not take, each with a canary in it. */
export function illFormed({ part, name, schema }: Field, make: Make): unknown[] {
  const canary = () => make(name)
  const { enum: values, format, pattern, maxLength } = schema
  return [
    `${canary()}\0`,
    ...(values || format || pattern || part === 'params' ? [`${canary()}@@`] : []),
    ...(maxLength ? [canary().padEnd(maxLength + 1, 'x')] : []),
    ...(part === 'query' || part === 'form' ? [[canary(), canary()]] : []),
    ...(part === 'body' ? [[canary()], { [make('field')]: canary() }, `${canary()}\ud800`] : []),
  ]
}
