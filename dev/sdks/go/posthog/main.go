// PostHog's Go SDK, of which only host and key are set.
package main

import (
	"fmt"
	"sync"

	"github.com/posthog/posthog-go"
	"weir.example/sdks/events"
)

func main() {
	host, key, count := events.Arguments()
	errors, pending := &events.Errors{}, &sync.WaitGroup{}
	pending.Add(count)
	client, err := posthog.NewWithConfig(key, posthog.Config{Endpoint: host, Callback: events.Callback[posthog.APIMessage]{Errors: errors, Pending: pending}})
	errors.Add(err)
	for number := range count {
		user, properties := events.User(number), events.Properties(number)
		var message posthog.Message
		switch number % 5 {
		case 0:
			message = posthog.Capture{DistinctId: user, Event: "Order Completed", Properties: properties}
		case 1:
			message = posthog.Identify{DistinctId: user, Properties: posthog.Properties(properties).Set("plan", "pro")}
		case 2:
			message = posthog.Capture{DistinctId: user, Event: "$pageview", Properties: properties}
		case 3:
			message = posthog.GroupIdentify{Type: "company", Key: fmt.Sprintf("acme-%d", number), Properties: properties}
		case 4:
			message = posthog.Alias{DistinctId: user, Alias: fmt.Sprintf("alias-%d", number)}
		}
		errors.Add(client.Enqueue(message))
	}
	pending.Wait()
	errors.Add(client.Close())
	errors.Exit()
}
