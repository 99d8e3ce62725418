// OpenMeter's Node SDK, of which only host and key are set. Usage: node openmeter-node.js HOST KEY COUNT
// Half of the events are sent alone, half in batches of ten. The SDK leaves retries to the application.
import { OpenMeter } from '@openmeter/sdk'
import { again, finish, props, turns, user } from './events.js'

const [host, apiKey, count] = process.argv.slice(2)
const errors = []
const openmeter = new OpenMeter({ baseUrl: host, apiKey })
const event = (number) => ({
  type: 'tokens',
  subject: user(number),
  id: `event-${number}`,
  source: 'sdk-check',
  data: props(number),
})
let batch = []
for (const [number, turn] of turns(count, 2)) {
  if (turn === 0) await again(() => openmeter.events.ingest(event(number)), errors)
  if (turn === 1) batch.push(event(number))
  if (batch.length === 10 || (number === count - 1 && batch.length > 0)) {
    const full = batch
    await again(() => openmeter.events.ingest(full), errors)
    batch = []
  }
}
finish(errors)
