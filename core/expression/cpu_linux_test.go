package expression_test

import (
	"runtime"
	"syscall"
	"time"
)

// cpuTime runs f and returns the CPU time of its thread.
func cpuTime(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 1 // RUSAGE_THREAD
	var before, after syscall.Rusage
	_ = syscall.Getrusage(thread, &before)
	f()
	_ = syscall.Getrusage(thread, &after)
	return time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}
