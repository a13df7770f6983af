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
