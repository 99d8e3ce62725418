// What the page of browser.js does: sends events, waits until the SDK is done, reports errors.
import { props, turns, user } from './events.js'

const { host, key, count, name } = window.task
const errors = []
const text = (value) => (typeof value === 'object' && !(value instanceof Error) ? JSON.stringify(value) : String(value))
for (const level of ['error', 'warn']) {
  const write = console[level]
  console[level] = (...values) => {
    errors.push(`console.${level}: ${values.map(text).join(' ')}`)
    write.apply(console, values)
  }
}
addEventListener('error', (event) => errors.push(`uncaught: ${event.message}`))
addEventListener('unhandledrejection', (event) => errors.push(`unhandled: ${event.reason}`))
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Segment's and RudderStack's calls; a browser's user is who was identified last. */
function call(analytics, number, turn) {
  const properties = props(number)
  if (turn === 0) return analytics.track('Order Completed', properties)
  if (turn === 1) return analytics.identify(user(number), { ...properties, plan: 'pro' })
  if (turn === 2) return analytics.page('Shop', 'Home', properties)
  if (turn === 3) return analytics.group('acme', properties)
  return analytics.alias(user(number), `anonymous-${number}`)
}

const run = {
  async segment() {
    const analytics = AnalyticsNext.AnalyticsBrowser.load(
      { writeKey: key, cdnURL: host },
      { integrations: { 'Segment.io': { protocol: 'http' } } },
    )
    const calls = []
    for (const [number, turn] of turns(count, 5)) calls.push(call(analytics, number, turn))
    await Promise.all(calls)
  },
  async rudder() {
    const analytics = new rudderanalytics.RudderAnalytics()
    analytics.load(key, host, { configUrl: host })
    await new Promise((resolve) => analytics.ready(resolve))
    for (const [number, turn] of turns(count, 5)) {
      call(analytics, number, turn)
      // The SDK's queue holds a hundred.
      if (number % 50 === 49) await sleep(1000)
    }
  },
  async posthog() {
    posthog.init(key, {
      api_host: host,
      capture_pageview: false,
      autocapture: false,
      // The SDK's own limit is ten events a second.
      rate_limiting: { events_per_second: 1000, events_burst_limit: 10_000 },
    })
    for (const [number, turn] of turns(count, 5)) {
      const properties = props(number)
      if (turn === 0) posthog.capture('Order Completed', properties)
      if (turn === 1) posthog.setPersonProperties({ ...properties, plan: 'pro' })
      if (turn === 2) posthog.capture('$pageview', properties)
      if (turn === 3) posthog.group('company', `acme-${number}`, properties)
      if (turn === 4) posthog.alias(`alias-${number}`, `user-${number}`)
    }
  },
}

try {
  await run[name]()
  // SDKs don't say when their queues are empty: until no request was made for a while.
  for (let seen = -1, quiet = 0; quiet < 40; ) {
    await sleep(200)
    const now = performance.getEntriesByType('resource').length
    quiet = now === seen ? quiet + 1 : 0
    seen = now
    performance.setResourceTimingBufferSize(100_000)
  }
} catch (error) {
  errors.push(String(error?.stack ?? error))
}
await fetch('/done', { method: 'POST', body: JSON.stringify(errors) })
