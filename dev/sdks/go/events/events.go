// Package events is what all programs of this folder send, and how they end.
package events

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

// Arguments reads HOST KEY COUNT.
func Arguments() (host, key string, count int) {
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	return os.Args[1], os.Args[2], count
}

// User is who did the event of that number.
func User(number int) string { return fmt.Sprintf("user-%d", number%97) }

// Properties are what tends to break on the way: letters, quotes, floats, nested values.
func Properties(number int) map[string]interface{} {
	return map[string]interface{}{
		"number": number,
		"total":  float64(number) / 7,
		"größe":  `ü "<&>" 😀`,
		"items":  []map[string]interface{}{{"sku": "a", "paid": true, "discount": nil}},
	}
}

// Errors are those that an SDK reports, from any goroutine.
type Errors struct {
	lock sync.Mutex
	seen []error
}

// Add notes an error; nil is none.
func (e *Errors) Add(err error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if err != nil {
		e.seen = append(e.seen, err)
	}
}

// Callback counts what an SDK is done with, where it takes one for its messages M. On Close such an SDK drops what
// would have to be sent again.
type Callback[M any] struct {
	Errors  *Errors
	Pending *sync.WaitGroup
}

// Success is called for a message that was sent.
func (c Callback[M]) Success(M) { c.Pending.Done() }

// Failure is called for a message that was given up.
func (c Callback[M]) Failure(_ M, err error) {
	c.Errors.Add(err)
	c.Pending.Done()
}

// Exit ends the program, with 1 if the SDK reported an error.
func (e *Errors) Exit() {
	e.lock.Lock()
	defer e.lock.Unlock()
	for _, err := range e.seen[:min(len(e.seen), 5)] {
		fmt.Fprintln(os.Stderr, "the SDK reports", err)
	}
	if len(e.seen) > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}
