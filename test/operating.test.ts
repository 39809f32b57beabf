/** docs/operating.md, by its own commands: back-up and restore on both engines. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { PASSWORD } from './helper.ts'
import { bearer, listening, node, ROOT, register, type Service, settingsOf } from './process.ts'

const skip = process.env.TEST_MYSQL_URL ? false : 'no MariaDB server'

/** The page's blocks that say that they are run here. */
const COMMANDS = [
  ...readFileSync(join(ROOT, 'docs/operating.md'), 'utf8').matchAll(
    /<!-- run by: test\/operating\.test\.ts -->\n\n```sh\n(.*?)```/gs,
  ),
].map(([, command]) => command!)

const commandWith = (text: string) => {
  const found = COMMANDS.filter((command) => command.includes(text))
  if (found.length !== 1) throw new Error(`docs/operating.md has ${found.length} commands with ${text}`)
  return found[0]!
}

/** Grace 0: every refresh moves the counter, so that no clock has to be waited for. */
const SETTINGS = { REFRESH_GRACE: '0' }

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-operating-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const run = (command: string, cwd: string, env: NodeJS.ProcessEnv = {}) =>
  promisify(execFile)('bash', ['-ec', command], { cwd, env: { ...process.env, ...env } })

async function stop(service: Service): Promise<void> {
  service.signal('SIGTERM')
  await service.ended
}

const refresh = (service: Service, refresh_token: string) => service.ask('POST /user/refresh', { refresh_token })

t.test('every command is used below', async (t) => {
  t.equal(COMMANDS.length, 5)
})

t.test(
  'a restored file on SQLite: a newer token is refused and its session kept, what was ended lives again',
  async (t) => {
    const folder = folderOf(t)
    const env = { ...settingsOf(`sqlite:${join(folder, 'data/latchkey.db')}`), ...SETTINGS, SECRET: undefined }
    const start = async () => listening(node(t, ['dist/server.js'], env))
    let service = await start()
    const [ann, bob] = [await register(service.ask), await register(service.ask)]
    const second = (await refresh(service, ann.refresh_token)).body
    await stop(service)
    await run(commandWith('cp data/'), folder)

    service = await start()
    const third = (await refresh(service, second.refresh_token)).body
    t.match(await service.ask('POST /user/logout', { refresh_token: bob.refresh_token }), { status: 200 })
    // As a power cut leaves it: with a journal beside it that belongs to the newer file.
    service.signal('SIGKILL')
    await service.ended
    await run(commandWith('cp backup/'), folder)

    service = await start()
    t.match(await refresh(service, third.refresh_token), { status: 401, body: { code: 'INVALID_REFRESH_TOKEN' } })
    await service.line(/a refresh token is ahead of its session/)
    t.match(await refresh(service, second.refresh_token), { status: 200 }, 'the session is kept')
    t.match(await refresh(service, bob.refresh_token), { status: 200 }, 'as the page warns')
    t.match(await service.ask('GET /user/me', undefined, bearer(ann)), { status: 200 }, 'the keys are the same')
    await stop(service)
  },
)

t.test('a restored dump on MariaDB, with all sessions ended', { skip }, async (t) => {
  const folder = folderOf(t)
  const server = new URL(process.env.TEST_MYSQL_URL!)
  const client = [`host=${server.hostname}`, `port=${server.port}`, `user=${server.username}`]
  writeFileSync(join(folder, '.my.cnf'), `[client]\n${client.join('\n')}\npassword=${server.password}\n`)
  const shell = (command: string) => run(command, folder, { HOME: folder })
  await shell("mariadb --execute 'DROP DATABASE IF EXISTS latchkey; CREATE DATABASE latchkey'")
  const env = { ...settingsOf(`${server.href.replace(/\/$/, '')}/latchkey`), ...SETTINGS }
  const start = async () => listening(node(t, ['dist/server.js'], env))
  let service = await start()
  const ann = await register(service.ask)
  await shell(commandWith('mariadb-dump'))
  const second = (await refresh(service, ann.refresh_token)).body
  const late = await register(service.ask)
  await stop(service)
  await shell(commandWith('< latchkey.sql'))
  await shell(commandWith('DELETE FROM sessions'))

  service = await start()
  for (const { refresh_token } of [ann, second, late])
    t.match(await refresh(service, refresh_token), { status: 401, body: { code: 'INVALID_REFRESH_TOKEN' } })
  t.match(await service.ask('GET /user/sessions', undefined, bearer(ann)), { body: { code: 'INVALID_TOKEN' } })
  const { username } = ann.user
  t.match(await service.ask('POST /user/login', { username, password: PASSWORD }), { status: 200 })
  const { username: lost } = late.user
  t.match(await service.ask('POST /user/login', { username: lost, password: PASSWORD }), { status: 401 })
  await stop(service)
})
