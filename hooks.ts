/** Hooks of single routes: one that only some of them need, or that differs by route, costs the others nothing. */
import type { RouteOptions } from 'fastify'

type Hook = 'onRequest' | 'preValidation' | 'onSend'

/** Puts a hook before those that the route has; after the hooks that stand for all routes. */
export function putFirst<Name extends Hook>(
  route: RouteOptions,
  name: Name,
  hook: Extract<RouteOptions[Name], (...args: never[]) => unknown>,
): void {
  Object.assign(route, { [name]: [hook, ...[route[name] ?? []].flat()] })
}
