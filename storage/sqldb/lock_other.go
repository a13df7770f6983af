//go:build !unix

package sqldb

import (
	"errors"
	"os"
)

var errFlockHeld = errors.New("held")

// flock does nothing where the system has no such lock: SQLite's own locks keep
// the files whole.
func flock(*os.File) error { return nil }

// unlock has nothing to undo.
func unlock(*os.File) error { return nil }
