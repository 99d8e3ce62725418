// PostHog's Node SDK, of which only host and key are set. Usage: node posthog-node.js HOST KEY COUNT
import { PostHog } from 'posthog-node'
import { finish, props, turns, user } from './events.js'

const [host, key, count] = process.argv.slice(2)
const errors = []
const client = new PostHog(key, { host })
client.on('error', (error) => errors.push(error))
for (const [number, turn] of turns(count, 5)) {
  const distinctId = user(number)
  const properties = props(number)
  if (turn === 0) client.capture({ distinctId, event: 'Order Completed', properties })
  if (turn === 1) client.identify({ distinctId, properties: { $set: { ...properties, plan: 'pro' } } })
  if (turn === 2) client.capture({ distinctId, event: '$pageview', properties })
  if (turn === 3) client.groupIdentify({ groupType: 'company', groupKey: `acme-${number}`, properties })
  if (turn === 4) client.alias({ distinctId, alias: `alias-${number}` })
}
await client.shutdown()
finish(errors)
