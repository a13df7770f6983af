//go:build !linux

package expression_test

import "time"

// cpuTime is the wall time where the CPU time of a thread is not to be had.
func cpuTime(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
