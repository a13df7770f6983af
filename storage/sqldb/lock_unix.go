//go:build unix

package sqldb

import (
	"errors"
	"os"
	"syscall"
)

var errFlockHeld = errors.New("held")

func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errFlockHeld
	}
	return err
}

// unlock takes the lock from everybody who has the open file.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
