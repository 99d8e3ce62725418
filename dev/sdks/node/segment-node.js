// Segment's Node SDK, of which only host and key are set. Usage: node segment-node.js HOST KEY COUNT
import { Analytics } from '@segment/analytics-node'
import { finish, props, turns, user } from './events.js'

const [host, writeKey, count] = process.argv.slice(2)
const errors = []
const analytics = new Analytics({ host, writeKey })
analytics.on('error', (error) => errors.push(error))
for (const [number, turn] of turns(count, 6)) {
  const userId = user(number)
  const properties = props(number)
  if (turn === 0) analytics.track({ userId, event: 'Order Completed', properties })
  if (turn === 1) analytics.identify({ userId, traits: { ...properties, plan: 'pro' } })
  if (turn === 2) analytics.page({ userId, name: 'Home', properties })
  if (turn === 3) analytics.screen({ anonymousId: `anonymous-${number}`, name: 'Start', properties })
  if (turn === 4) analytics.group({ userId, groupId: 'acme', traits: properties })
  if (turn === 5) analytics.alias({ userId, previousId: `anonymous-${number}` })
}
await analytics.closeAndFlush()
finish(errors)
