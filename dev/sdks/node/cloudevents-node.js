// CloudEvents' JavaScript SDK writes messages, fetch sends them. Usage: node cloudevents-node.js HOST KEY COUNT
// A third of the events in binary mode, a third structured, a third in batches of ten.
import { CloudEvent, HTTP, Mode } from 'cloudevents'
import { again, finish, props, turns, user } from './events.js'

const [host, key, count] = process.argv.slice(2)
const errors = []
const event = (number) =>
  new CloudEvent({
    id: `e ${number}`,
    source: '/orders',
    type: 'order.placed',
    subject: user(number),
    region: 'zürich',
    data: props(number),
  })
const send = (message) =>
  again(async () => {
    const headers = { ...message.headers, authorization: `Bearer ${key}` }
    const reply = await fetch(`${host}/api/v1/events`, { method: 'POST', headers, body: message.body })
    if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`)
  }, errors)
let batch = []
for (const [number, turn] of turns(count, 3)) {
  if (turn === 0) await send(HTTP.binary(event(number)))
  if (turn === 1) await send(HTTP.structured(event(number)))
  if (turn === 2) batch.push(event(number))
  if (batch.length === 10 || (number === count - 1 && batch.length > 0)) {
    await send({
      headers: { 'content-type': 'application/cloudevents-batch+json' },
      body: `[${batch.map((each) => HTTP.structured(each).body).join(',')}]`,
    })
    batch = []
  }
}
finish(errors)
