package redisdb

import "time"

// SetWait gives calls more time than a person would: for tests that are not about time, on a
// machine that has other things to do.
func (s *Sessions) SetWait(d time.Duration) { s.wait = d }

// Believe makes a store that believes every copy, whatever has ended: the control of tests
// that hold what is believed.
func (s *Sessions) Believe() { s.credulous = true }

// Insist makes a store that asks Redis whether or not it answered lately: the control of tests that hold what an
// outage costs.
func (s *Sessions) Insist() { s.asks = true }
