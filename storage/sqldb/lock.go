package sqldb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dirLock holds the data directory for this process. The lock is the open
// file's, so a second Open in one process meets it too, and a process that dies
// lets go of it.
type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's own directory
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := flock(f); err != nil {
		who := "process unknown"
		if b, rerr := io.ReadAll(io.LimitReader(f, 32)); rerr == nil && len(b) > 0 {
			who = "process " + strings.TrimSpace(string(b))
		}
		if errors.Is(err, errFlockHeld) {
			err = fmt.Errorf("data directory %s is %w (%s)", dir, ErrLocked, who)
		}
		return nil, errors.Join(err, f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	return &dirLock{file: f}, nil
}

// release lets go. The file stays: removing it would let two processes each
// lock a file of that name. To close it would not be enough: a child process that was forked has all
// files of its parent until it becomes the program that it is to be, and the lock with them.
func (l *dirLock) release() error { return errors.Join(unlock(l.file), l.file.Close()) }
