//go:build !linux

package disktest

// Fault decides whether one access of a file fails.
type Fault func(path string, write bool) bool

// Set has no way to make a disk fail here.
func Set(Fault) { panic("disktest: only on Linux") }
