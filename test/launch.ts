// Starts a server that is not ours, such as a gateway, and waits until it listens.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { killWithUs } from './mariadb.ts'

/** Runs the command until the test ends; it has to listen on this port. Fails with what it printed where it ends before. */
export async function launch(
  t: Pick<Test, 'teardown'>,
  [program = '', ...args]: string[],
  port: number,
  env = {},
): Promise<void> {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] })
  killWithUs(child)
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaints += text
  })
  const ended = once(child, 'close')
  t.teardown(() => {
    child.kill('SIGTERM')
    return ended
  })
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`${program} did not start:\n${complaints}`)
    await pause(20)
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return open
}
