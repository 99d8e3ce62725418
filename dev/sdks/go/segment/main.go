// Segment's Go SDK, of which only host and key are set.
package main

import (
	"fmt"
	"sync"

	"gopkg.in/segmentio/analytics-go.v3"
	"weir.example/sdks/events"
)

func main() {
	host, key, count := events.Arguments()
	errors, pending := &events.Errors{}, &sync.WaitGroup{}
	pending.Add(count)
	client, err := analytics.NewWithConfig(key, analytics.Config{Endpoint: host, Callback: events.Callback[analytics.Message]{Errors: errors, Pending: pending}})
	errors.Add(err)
	for number := range count {
		user, properties := events.User(number), events.Properties(number)
		var message analytics.Message
		switch number % 6 {
		case 0:
			message = analytics.Track{UserId: user, Event: "Order Completed", Properties: properties}
		case 1:
			message = analytics.Identify{UserId: user, Traits: analytics.Traits(properties).Set("plan", "pro")}
		case 2:
			message = analytics.Page{UserId: user, Name: "Home", Properties: properties}
		case 3:
			anonymous := fmt.Sprintf("anonymous-%d", number)
			message = analytics.Screen{AnonymousId: anonymous, Name: "Start", Properties: properties}
		case 4:
			message = analytics.Group{UserId: user, GroupId: "acme", Traits: properties}
		case 5:
			message = analytics.Alias{UserId: user, PreviousId: fmt.Sprintf("anonymous-%d", number)}
		}
		errors.Add(client.Enqueue(message))
	}
	pending.Wait()
	errors.Add(client.Close())
	errors.Exit()
}
