/** `latchkey migrate`: brings the database up to date and makes what the first start would make, without serving. */
import { buildApp } from '../app.ts'
import { readConfig } from '../config.ts'
import { dbOf } from '../plugins/db/index.ts'

export async function migrate(): Promise<void> {
  const app = await buildApp({ config: readConfig(), routes: false })
  process.stdout.write(`${dbOf(app).name} is up to date.\n`)
  await app.close()
}
