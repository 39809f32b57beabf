/**
 * Names of HTTP, as node:http has them. Not by `import … from 'node:http'`: that looks at each of its names, and for the
 * one that is WebSocket Node.js 24 loads all of its fetch, 12 MB that the service has no use for.
 */
export const { METHODS, STATUS_CODES } = process.getBuiltinModule('node:http')
