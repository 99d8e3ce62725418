// RudderStack's Node SDK, of which only data plane and key are set. Usage: node rudder-node.js HOST KEY COUNT
import RudderAnalytics from '@rudderstack/rudder-sdk-node'
import { finish, props, turns, user } from './events.js'

const [host, writeKey, count] = process.argv.slice(2)
const errors = []
const analytics = new RudderAnalytics(writeKey, { dataPlaneUrl: host })
const done = (error) => error && errors.push(error)
for (const [number, turn] of turns(count, 6)) {
  const userId = user(number)
  const properties = props(number)
  if (turn === 0) analytics.track({ userId, event: 'Order Completed', properties }, done)
  if (turn === 1) analytics.identify({ userId, traits: { ...properties, plan: 'pro' } }, done)
  if (turn === 2) analytics.page({ userId, name: 'Home', properties }, done)
  if (turn === 3) analytics.screen({ anonymousId: `anonymous-${number}`, name: 'Start', properties }, done)
  if (turn === 4) analytics.group({ userId, groupId: 'acme', traits: properties }, done)
  if (turn === 5) analytics.alias({ userId, previousId: `anonymous-${number}` }, done)
}
await analytics.flush()
finish(errors)
