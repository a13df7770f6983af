package core

import "time"

// Counter names a count of failed attempts, such as "account:<user ID>" or
// "address:<prefix>".
type Counter struct {
	Key string
	// Window: without a failure for so long, it starts anew.
	Window time.Duration
}

// Failures is what a counter says.
type Failures struct {
	Count  int
	Newest time.Time // zero where Count always was 0
}
