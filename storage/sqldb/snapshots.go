package sqldb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/backup"
)

// Snapshots are backups, sealed with the master secret, that are made before
// something replaces or changes all tables. The newest few of each kind are kept,
// under Dir/snapshots.
const (
	beforeUpgrade = "upgrade"
	beforeRestore = "replaced"
	keptSnapshots = 3 // of each kind
)

func snapshotDir(dir string) string { return filepath.Join(dir, "snapshots") }

// snapshotsOf are the files of a kind, oldest first.
func snapshotsOf(dir, kind string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(snapshotDir(dir), kind+"-*.backup"))
	slices.Sort(found) // their names begin with the time
	return found, err
}

// LastSnapshot is the newest of those that upgrades made, the one that a rollback
// restores. None: os.ErrNotExist.
func LastSnapshot(dir string) (string, error) {
	found, err := snapshotsOf(dir, beforeUpgrade)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no upgrade has left a snapshot in %s: %w", snapshotDir(dir), os.ErrNotExist)
	}
	return found[len(found)-1], nil
}

// takeSnapshot writes one, reads it back, and removes those that are too many.
func takeSnapshot(ctx context.Context, e engine, opt *Options, now time.Time, kind string) (string, error) {
	if opt.Dir == "" {
		return "", errors.New("no data directory is given to keep it in")
	}
	dir := snapshotDir(opt.Dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of snapshots: %w", err)
	}
	scraps, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	if err != nil {
		return "", err
	}
	for _, name := range scraps { // of a process that was killed
		if err := os.Remove(name); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, kind+"-"+now.UTC().Format("20060102T150405.000000Z")+".backup")
	err = backup.WriteFile(path, func(w io.Writer) error {
		return writeBackup(ctx, e, opt.Master, w, now, BackupOptions{Product: opt.Product})
	})
	if err != nil {
		return "", err
	}
	opt.reached("snapshot written")
	if err := readThrough(path, opt.Master); err != nil {
		return "", errors.Join(fmt.Errorf("read back %s: %w", path, err), os.Remove(path))
	}
	all, err := snapshotsOf(opt.Dir, kind)
	if err != nil {
		return "", err
	}
	for _, old := range all[:max(0, len(all)-keptSnapshots)] {
		if err := os.Remove(old); err != nil {
			return "", err
		}
	}
	return path, nil
}

// readThrough reads a whole snapshot: what is damaged shows.
func readThrough(path string, m *keys.Master) (err error) {
	f, err := os.Open(path) //nolint:gosec // under our own directory
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, err := backup.Open(f, func(*backup.Header) (backup.Key, error) { return BackupKey(m), nil })
	if err != nil {
		return err
	}
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// underWay is an upgrade that was begun: a crash in its middle leaves the file, and
// the next start goes on without a snapshot of what is half done.
type underWay struct {
	To       backup.Schema `json:"to"`
	Snapshot string        `json:"snapshot"`
}

func underWayPath(dir string) string { return filepath.Join(snapshotDir(dir), "upgrade.json") }

// readUnderWay gives the snapshot of an upgrade to that schema which did not end.
func readUnderWay(dir string, to backup.Schema) (string, bool) {
	b, err := os.ReadFile(underWayPath(dir))
	var u underWay
	if err != nil || json.Unmarshal(b, &u) != nil || u.To != to {
		return "", false
	}
	path := filepath.Join(snapshotDir(dir), filepath.Base(u.Snapshot))
	f, err := os.Open(path) //nolint:gosec // under our own directory
	if err != nil {
		return "", false
	}
	defer f.Close()
	_, _, err = backup.ReadHeader(bufio.NewReader(f))
	return path, err == nil
}

func writeUnderWay(dir string, u underWay) error {
	return backup.WriteFile(underWayPath(dir), func(w io.Writer) error { return json.NewEncoder(w).Encode(u) })
}

func endUnderWay(dir string) error {
	if err := os.Remove(underWayPath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
