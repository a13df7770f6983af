package sqldb_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

func locksOf(s storagetest.Store) storagetest.Locks { return s.(*sqldb.DB).NewLocks() }

// eachEngine opens a directory on SQLite, and on PostgreSQL where there is one.
func eachEngine(t *testing.T, f func(t *testing.T, db *sqldb.DB)) {
	eachRewrap(t, func(t *testing.T, url string) { f(t, open(t, where(url))) })
}

// Whoever was killed holds a lock for its lease and no longer, by the database's clock.
func TestLockOfTheDead(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *sqldb.DB) {
		locks := db.NewLocks()
		abandon := func(name string, lease time.Duration) {
			t.Helper()
			if taken, err := db.Abandon(t.Context(), name, lease); err != nil || !taken {
				t.Fatal(taken, err)
			}
		}
		// Control: while the lease runs it is not to be had.
		abandon("a", 20*time.Second)
		if taken, err := locks.TryLock(t.Context(), "a"); err != nil || taken {
			t.Fatal("taken from who has it", err)
		}
		abandon("b", time.Millisecond)
		must(t, locks.Lock(t.Context(), "b"))
		// An end that is too far away is from before the clock was set back.
		abandon("c", time.Hour)
		must(t, locks.Lock(t.Context(), "c"))
		must(t, locks.Close(t.Context()))
	})
}

// A lock that is held is kept, and one that was lost is known to be.
func TestLockIsKept(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *sqldb.DB) {
		locks := db.NewLocks()
		locks.RenewEvery(10 * time.Millisecond)
		must(t, locks.Lock(t.Context(), "a"))
		first, err := db.LockEnd(t.Context(), "a")
		must(t, err)
		eventually(t, "the lease is extended", func() error {
			end, err := db.LockEnd(t.Context(), "a")
			if err == nil && end <= first {
				err = errors.New("not yet")
			}
			return err
		})
		must(t, db.StealLock(t.Context(), "a"))
		if err := locks.Renew(t.Context(), "a"); !errors.Is(err, sqldb.ErrNotHeld) {
			t.Errorf("kept what was lost: %v", err)
		}
		if err := locks.Unlock(t.Context(), "a"); !errors.Is(err, sqldb.ErrNotHeld) {
			t.Errorf("gave back what was lost: %v", err)
		}
		_, err = db.LockEnd(t.Context(), "a")
		must(t, err) // the thief's is still there
		must(t, locks.Close(t.Context()))
	})
}

// With SQLite nobody but the process that has the directory open holds a lock: one that was killed
// delays the next start not at all.
func TestStartFreesLocks(t *testing.T) {
	opt := sqldb.Options{Dir: t.TempDir(), Master: master(t, 'k')}
	db, err := sqldb.Open(t.Context(), opt)
	must(t, err)
	_, err = db.Abandon(t.Context(), "a", 20*time.Second)
	must(t, err)
	must(t, db.Close())
	locks := open(t, opt).NewLocks()
	if taken, err := locks.TryLock(t.Context(), "a"); err != nil || !taken {
		t.Error("held by nobody who lives", err)
	}
	must(t, locks.Close(t.Context()))
}

func holds(t *testing.T, path string, what []byte) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return bytes.Contains(b, what)
}

// At rest a file is sealed, to its path.
func TestFilesAreSealed(t *testing.T) {
	dir := t.TempDir()
	canary := []byte("-----BEGIN PRIVATE KEY----- canary")
	db := open(t, sqldb.Options{Dir: dir})
	must(t, db.StoreFile(t.Context(), "ca/root.key", canary))
	must(t, db.StoreFile(t.Context(), "ca/other.key", []byte("other")))
	for _, name := range []string{"public.db", "public.db-wal"} {
		if holds(t, filepath.Join(dir, "tenants", name), canary) {
			t.Errorf("%s holds the key as it is", name)
		}
	}
	// Control: the search finds what is there.
	if !holds(t, filepath.Join(dir, "tenants", "public.db"), []byte("ca/root.key")) && !holds(t, filepath.Join(dir, "tenants", "public.db-wal"), []byte("ca/root.key")) {
		t.Error("the search has lost its way")
	}
	must(t, db.Exec(t.Context(), "public", `UPDATE caddy_files SET value = (SELECT value FROM caddy_files WHERE path = 'ca/root.key') WHERE path = 'ca/other.key'`))
	if got, err := db.LoadFile(t.Context(), "ca/other.key"); !errors.Is(err, keys.ErrSealed) || bytes.Contains(got, canary) {
		t.Errorf("moved to another path it opens: %q, %v", got, err)
	}
}
