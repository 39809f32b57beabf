// `npm run dev`: builds and serves; `node --watch-path` runs it again on every change. (TypeScript 7.0.2's own watch
// mode was tried and saw no change.)
import { execSync } from 'node:child_process'

execSync('npm run --silent build', { stdio: 'inherit' })
const { run, serve } = await import('../dist/server.js')
await run(serve)
