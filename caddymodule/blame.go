package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/postern-sso/postern/storage/sqldb"
)

// blame names the setting because of which the stores do not open, and says what would be right
// where the error does not.
func (s settings) blame(err error) error {
	switch {
	case errors.Is(err, sqldb.ErrOtherSecret):
		return fmt.Errorf("secret: %w", err)
	case unwritable(err):
		return fmt.Errorf("data: %w: name a directory in which the user of this server (uid %d) may write, or let them", err, os.Getuid())
	case s.database != databaseSQLite:
		return fmt.Errorf("database: %w", err)
	}
	return fmt.Errorf("data: %w", err)
}

// unwritable reports whether it is a directory that cannot be made or written to.
func unwritable(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ENOENT) && path.Op == "mkdir")
}

// openHere reports whether a configuration with another secret has the same data open in this process.
func (s settings) openHere() (here bool) {
	pool.Range(func(key, _ any) bool {
		text, _ := key.(string)
		data, _, _ := strings.Cut(text, "\x00")
		here = data == s.data && text != s.poolKey()
		return !here
	})
	return here
}
