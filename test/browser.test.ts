/**
 * Swagger UI as a person uses it, in headless Chromium: registers, presses Authorize, asks who they are, logs out, by
 * try-it alone; directly and under a path of a gateway. The browser must have nothing to complain about.
 */
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { exampleOf, operationsOf } from './document.ts'
import { createEngine } from './engines.ts'
import { startApp } from './helper.ts'
import { startNginx } from './nginx.ts'
import { ROOT } from './process.ts'
import { need, skipWithout } from './programs.ts'
import { listen } from './raw.ts'

// playwright-core's types name these two of the DOM's; all of its types would be too many for a service.
declare global {
  type Node = object
  type HTMLElementTagNameMap = Record<never, never>
}

/** Written with UPDATE=1; docs/ and the README show it. */
const PICTURE = join(ROOT, 'docs/swagger-ui.png')

/** A page of this size; and what it complained about, and what it asked for. */
async function openPage(t: Test, browser: Browser) {
  const page = await browser.newPage({ viewport: { width: 1000, height: 1145 } })
  t.teardown(() => page.close())
  // Only what never comes: on a busy machine each step may take long.
  page.setDefaultTimeout(100_000)
  const complaints: string[] = []
  const asked: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning', 'assert'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('requestfailed', (request) => complaints.push(`${request.url()} ${request.failure()?.errorText}`))
  page.on('request', (request) => asked.push(request.url()))
  // Chromium writes some violations on the console and keeps others to itself.
  await page.addInitScript(
    `document.addEventListener('securitypolicyviolation', (e) => console.error('CSP', e.effectiveDirective, e.blockedURI, e.sample))`,
  )
  return { page, complaints, asked }
}

/** Presses Execute; gives the answer as it is shown. Opens the operation where it is not open yet. */
async function execute(page: Page, operation: string) {
  const block = page.locator(`#operations-user-${operation}`)
  if (!(await block.locator('.opblock-body').isVisible())) await block.locator('.opblock-summary-control').click()
  const clear = block.getByRole('button', { name: 'Clear' })
  if (await clear.isVisible()) await clear.click()
  await block.getByRole('button', { name: 'Execute' }).click()
  const answer = block.locator('.live-responses-table .response')
  const status = await answer.locator('.response-col_status').textContent()
  const body = JSON.parse((await answer.locator('.highlight-code code').first().textContent()) ?? '')
  return { status: Number(status), body }
}

async function authorize(page: Page, token: string): Promise<void> {
  await page.locator('.scheme-container').getByRole('button', { name: 'Authorize' }).click()
  const dialog = page.locator('.modal-ux')
  const people = dialog.locator('.auth-container', { hasText: 'bearer' })
  await people.getByRole('textbox').fill(token)
  await people.getByRole('button', { name: 'Apply credentials' }).click()
  await dialog.getByRole('button', { name: 'Close' }).first().click()
}

/** Registers, authorizes, asks, logs out, asks again: with the examples as they stand. */
async function useAll(t: Test, page: Page, picture: string | undefined): Promise<void> {
  const { status, body } = await execute(page, 'register')
  t.equal(status, 201)
  await page.locator('#operations-user-register .opblock-summary-control').click()
  await authorize(page, body.access_token)
  t.match(await execute(page, 'me'), { status: 200, body: { username: 'ann', email: 'ann@example.com' } })
  if (picture) {
    await page.mouse.move(0, 0)
    await page.screenshot({ path: picture, animations: 'disabled' })
  }
  t.match(await execute(page, 'logout'), { status: 200, body: { result: 'success' } })
  t.match(await execute(page, 'me'), { status: 401, body: { code: 'INVALID_TOKEN' } })
}

/** Chromium writes the answer after the logout on its console; else there is nothing there. */
function isQuiet(t: Test, complaints: string[]): void {
  const refusal = 'Failed to load resource: the server responded with a status of 401 (Unauthorized)'
  t.strictSame(complaints, [refusal])
}

t.test('a person by try-it alone', { skip: skipWithout('chromium', 'nginx') }, async (t) => {
  const browser = await chromium.launch({ executablePath: need('chromium') })
  t.teardown(() => browser.close())

  await t.test('directly', async (t) => {
    const app = await startApp(t, createEngine(t, 'sqlite'))
    const port = await listen(app.server, process.env.UPDATE ? 3000 : 0)
    const { page, complaints } = await openPage(t, browser)
    await page.goto(`http://127.0.0.1:${port}/docs`)
    t.equal(await page.title(), 'Latchkey')
    await useAll(t, page, process.env.UPDATE && PICTURE)

    // All that the page can show, at once: one after the other takes long.
    const closed = page.locator('.opblock-summary-control[aria-expanded=false], .models-control[aria-expanded=false]')
    await closed.evaluateAll((buttons) => {
      for (const button of buttons as { click(): void }[]) button.click()
    })
    for (const block of await page.locator('.opblock').all()) await block.locator('.responses-inner').waitFor()
    const bodies = await Promise.all((await page.locator('.body-param__text').all()).map((text) => text.inputValue()))
    const examples = operationsOf((await app.anon.get('/docs/json')).body).map(exampleOf)
    const filledIn = bodies.map((text) => JSON.parse(text))
    t.strictSame(
      filledIn,
      examples.filter((example) => example !== undefined),
      'the examples that another test sends',
    )
    isQuiet(t, complaints)
  })

  await t.test('under a path of a gateway', async (t) => {
    const app = await startApp(t, createEngine(t, 'sqlite'))
    const { origin } = await startNginx(t, await listen(app.server))
    const { page, complaints, asked } = await openPage(t, browser)
    await page.goto(`${origin}/latchkey/docs`)
    await useAll(t, page, undefined)
    await page.goto(`${origin}/latchkey/docs/`)
    t.equal((await execute(page, 'login')).status, 200, 'with a slash too')
    isQuiet(t, complaints)
    for (const url of asked) t.ok(url.startsWith(`${origin}/latchkey/`), url)
  })
})
