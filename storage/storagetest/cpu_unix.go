//go:build unix

package storagetest

import (
	"syscall"
	"time"
)

// processorTime is what this process has used, its own and the kernel's for it.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
