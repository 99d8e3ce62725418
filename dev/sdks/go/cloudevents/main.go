// CloudEvents' Go SDK, with its own HTTP client and its own retries: a third of the events in binary mode, a third
// structured, a third in batches of ten.
package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"weir.example/sdks/events"
)

func event(number int) cloudevents.Event {
	event := cloudevents.NewEvent()
	event.SetID(fmt.Sprintf("e %d", number))
	event.SetSource("/orders")
	event.SetType("order.placed")
	event.SetSubject(events.User(number))
	event.SetTime(time.Now())
	event.SetExtension("region", "zürich")
	if err := event.SetData(cloudevents.ApplicationJSON, events.Properties(number)); err != nil {
		panic(err)
	}
	return event
}

func main() {
	host, key, count := events.Arguments()
	errors := &events.Errors{}
	target := host + "/api/v1/events"
	client, err := cloudevents.NewClientHTTP(
		cehttp.WithTarget(target), cehttp.WithHeader("Authorization", "Bearer "+key))
	errors.Add(err)
	ctx := cloudevents.ContextWithRetriesExponentialBackoff(context.Background(), 50*time.Millisecond, 8)
	send := func(ctx context.Context, event cloudevents.Event) {
		if result := client.Send(ctx, event); !cloudevents.IsACK(result) {
			errors.Add(result)
		}
	}
	var batch []cloudevents.Event
	for number := range count {
		switch number % 3 {
		case 0:
			send(ctx, event(number))
		case 1:
			send(binding.WithForceStructured(ctx), event(number))
		case 2:
			batch = append(batch, event(number))
		}
		if len(batch) == 10 || number == count-1 && len(batch) > 0 {
			errors.Add(sendBatch(target, key, batch))
			batch = nil
		}
	}
	errors.Exit()
}

// sendBatch retries as an application does: the SDK's client sends single events alone.
func sendBatch(target, key string, batch []cloudevents.Event) error {
	var failure error
	for attempt := range 8 {
		time.Sleep(time.Duration(attempt) * 100 * time.Millisecond)
		request, err := cehttp.NewHTTPRequestFromEvents(context.Background(), target, batch)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+key)
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			failure = err
			continue
		}
		reply.Body.Close()
		if reply.StatusCode < 300 {
			return nil
		}
		failure = fmt.Errorf("%s", reply.Status)
	}
	return failure
}
