package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/postern-sso/postern/core"
)

// makeTemplate migrates an empty file, from which every tenant's is copied: a
// copy takes a millisecond, the migrations take many. One that is there is
// brought up to date.
func (e *sqliteEngine) makeTemplate(ctx context.Context, p part) error {
	path := filepath.Join(e.dir, "template"+p.suffix())
	if err := removeScraps(path); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return e.migrateFile(ctx, path, p)
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return makeFile(ctx, path, migrationSet{part: p, more: e.more})
}

// makeFile makes a file with the tables of a part.
func makeFile(ctx context.Context, path string, set migrationSet) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*.tmp") // mode 0600
	if err != nil {
		return err
	}
	name := temp.Name()
	if err := temp.Close(); err != nil {
		return err
	}
	if err := migrateFile(ctx, name, set); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return settle(name, path)
}

// copyFile copies through a temporary file, so that a crash leaves either the
// whole file or none.
func copyFile(from, to string) (err error) {
	src, err := os.Open(from) //nolint:gosec // the template, under our own directory
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	temp, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+"-*.tmp") // mode 0600
	if err != nil {
		return err
	}
	if _, err := io.Copy(temp, src); err != nil {
		return errors.Join(err, temp.Close(), os.Remove(temp.Name()))
	}
	if err := temp.Close(); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return settle(temp.Name(), to)
}

// settle gives a finished file its name, durably.
func settle(temp, path string) error {
	if err := syncPath(temp); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncPath(filepath.Dir(path))
}

func syncPath(path string) error {
	f, err := os.Open(path) //nolint:gosec // under our own directory
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", path, err), f.Close())
	}
	return f.Close()
}

// removeScraps deletes temporary copies of path that a crash left. Where path
// itself is gone its log goes too: SQLite would replay it into the new file.
func removeScraps(path string) error {
	found, err := filepath.Glob(path + "-*.tmp")
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		found = append(found, path+"-wal", path+"-shm")
	}
	for _, name := range found {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// anyFile reports whether a tenant has a file, of whatever part.
func (e *sqliteEngine) anyFile(t core.TenantID) (bool, error) {
	for p := range parts {
		path, err := e.path(t, p)
		if err != nil {
			return false, err
		}
		if _, err := os.Stat(path); err == nil {
			return true, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}
