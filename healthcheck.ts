/**
 * What the container's HEALTHCHECK runs: asks /health/live at the address that the settings name. Exit code 0 where the
 * service lives, 1 where it does not.
 */
import { get } from 'node:http'
import { readConfig } from './config.ts'

// A wildcard such as 0.0.0.0 or :: connects to this machine itself.
const { HOST: host, PORT: port } = readConfig()

get({ host, port, path: '/health/live' }, ({ statusCode }) => end(statusCode === 200, `answered ${statusCode}`)).on(
  'error',
  ({ message }) => end(false, message),
)

/** Docker keeps what is printed: `docker inspect` shows it. */
function end(lives: boolean, answer: string): never {
  process.stdout.write(`${host}:${port} ${answer}\n`)
  process.exit(lives ? 0 : 1)
}
