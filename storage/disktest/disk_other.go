//go:build !linux

package disktest

import "syscall"

// Fault says as what one access of a file fails, or 0.
type Fault func(path string, write bool) syscall.Errno

// Set has no way to make a disk fail here.
func Set(Fault) { panic("disktest: only on Linux") }
