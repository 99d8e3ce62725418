// An SDK in a real browser, headless Chromium, of which only host and key are set.
// Usage: node browser.js HOST KEY COUNT segment|rudder|posthog
// The page comes from an origin of its own, so that every request of the SDK is one across origins. It reports here
// what the SDK wrote to the console as errors and warnings.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const CHROMIUM = process.env.CHROMIUM ?? 'chromium'
const PAGE_MILLISECONDS = 120_000
const BUNDLES = {
  segment: '@segment/analytics-next/dist/umd/index.js',
  rudder: '@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js',
  posthog: 'posthog-js/dist/array.full.no-external.js',
}

const [host, key, count, name] = process.argv.slice(2)
const here = (path) => readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8')
const files = {
  '/sdk.js': () => here(`node_modules/${BUNDLES[name]}`),
  '/events.js': () => here('events.js'),
  '/page.js': () => here('browser-page.js'),
}
const page = `<!doctype html><meta charset="utf-8"><title>Shop</title>
<script>window.task = ${JSON.stringify({ host, key, count: Number(count), name })}</script>
<script src="/sdk.js"></script><script type="module" src="/page.js"></script>`

const profile = mkdtempSync(join(tmpdir(), 'sdk-browser-'))
let browser
const timeout = setTimeout(() => end(['the page did not end in time']), PAGE_MILLISECONDS)

function end(errors) {
  for (const error of errors.slice(0, 8)) console.error('the page reports', error)
  process.exitCode = errors.length > 0 ? 1 : 0
  clearTimeout(timeout)
  browser.kill()
}

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/done') {
    let body = ''
    request.on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      response.end()
      end(JSON.parse(body))
    })
    return
  }
  const path = request.url.split('?')[0]
  const type = files[path] ? 'text/javascript' : 'text/html'
  response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(files[path] ? files[path]() : page)
})
server.listen(0, '127.0.0.1', () => {
  const url = `http://localhost:${server.address().port}/`
  // SDKs drop what robots do.
  const agent = '--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36'
  const options = ['--headless=new', agent, '--no-sandbox', '--disable-gpu', '--no-proxy-server', '--no-first-run']
  browser = spawn(CHROMIUM, [...options, '--disable-background-networking', `--user-data-dir=${profile}`, url], {
    stdio: 'ignore',
  })
  browser.on('error', (error) => end([`${CHROMIUM} can't be started: ${error.message}`]))
  browser.on('exit', () => {
    server.close()
    server.closeAllConnections()
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  })
})
