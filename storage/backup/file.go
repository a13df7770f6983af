package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteFile lets write fill a file of mode 0600, and gives it its name when all of
// it is on the disk: there is a whole file of that name, or the one that was there
// before, or none.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.tmp") // mode 0600
	if err != nil {
		return fmt.Errorf("make backup file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write backup file: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("name backup file: %w", err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil //nolint:nilerr // a directory that may not be read cannot be synced either; the file is there
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write backup file: %w", err)
	}
	return nil
}
