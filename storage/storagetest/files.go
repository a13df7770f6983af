package storagetest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/storage/sqldb"
)

// Files is where Caddy keeps what it has.
type Files interface {
	StoreFile(ctx context.Context, key string, value []byte) error
	LoadFile(ctx context.Context, key string) ([]byte, error)
	DeleteFiles(ctx context.Context, key string) error
	ListFiles(ctx context.Context, key string, recursive bool) ([]string, error)
	FileInfo(ctx context.Context, key string) (sqldb.FileInfo, error)
}

// Locks are one node's.
type Locks interface {
	Lock(ctx context.Context, name string) error
	TryLock(ctx context.Context, name string) (bool, error)
	Renew(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
	Close(ctx context.Context) error
}

// TestFiles checks what certmagic's Storage promises, as its own FileStorage keeps it.
func TestFiles(t *testing.T, open Open) {
	run(t, open, map[string]func(*bench){
		"files":   storeFiles,
		"lists":   listFiles,
		"limits":  limitFiles,
		"at once": filesAtOnce,
	})
}

// TestLocks checks locks of two nodes that share a directory; each call of node makes one.
func TestLocks(t *testing.T, open Open, node func(Store) Locks) {
	tests := map[string]func(*bench){}
	for name, f := range map[string]func(*bench, func() Locks){
		"one holder": oneHolder, "whose it is": whoseLock, "closed": closedLocks, "waiting": waitForLock,
	} {
		tests[name] = func(b *bench) { f(b, func() Locks { return node(b.Store) }) }
	}
	run(t, open, tests)
}

func (b *bench) files() Files { return b.Store.(Files) } //nolint:forcetypeassert // else the test panics

func storeFiles(b *bench) {
	f := b.files()
	for _, key := range []string{"acme/a/key", "acme/none", "acme", ""} {
		b.is(second(f.LoadFile(b.ctx, key)), fs.ErrNotExist)
		b.is(second(f.FileInfo(b.ctx, key)), fs.ErrNotExist)
		b.is(second(f.ListFiles(b.ctx, key, true)), fs.ErrNotExist)
	}
	b.ok(f.DeleteFiles(b.ctx, "acme/none"))
	for _, value := range [][]byte{[]byte("first"), {}, bytes.Repeat([]byte{0, 1, 255}, 5000)} {
		b.clock.Add(time.Hour)
		b.ok(f.StoreFile(b.ctx, "acme/a/key", value))
		got, err := f.LoadFile(b.ctx, "acme/a/key")
		b.ok(err)
		if !bytes.Equal(got, value) {
			b.Errorf("got %d bytes, want %d", len(got), len(value))
		}
		info, err := f.FileInfo(b.ctx, "acme/a/key")
		b.ok(err)
		equal(b, "info", info, sqldb.FileInfo{Size: int64(len(value)), Modified: b.clock.Now()})
	}
	// The same path, however it is written; what is above it is no file.
	b.ok(second(f.LoadFile(b.ctx, "/acme//a/./key/")))
	b.ok(second(f.LoadFile(b.ctx, "../acme/b/../a/key")))
	b.is(second(f.LoadFile(b.ctx, "acme/a")), fs.ErrNotExist)
	b.is(second(f.LoadFile(b.ctx, "ACME/a/key")), fs.ErrNotExist)
	for _, key := range []string{"acme/a", "acme", ""} {
		info, err := f.FileInfo(b.ctx, key)
		b.ok(err)
		equal(b, key, info, sqldb.FileInfo{Folder: true})
	}
	b.is(second(f.FileInfo(b.ctx, "acme/a/k")), fs.ErrNotExist)
	b.is(second(f.FileInfo(b.ctx, "acm")), fs.ErrNotExist)
	b.ok(f.DeleteFiles(b.ctx, "acme/a/key"))
	b.ok(f.DeleteFiles(b.ctx, "acme/a/key"))
	b.is(second(f.LoadFile(b.ctx, "acme/a/key")), fs.ErrNotExist)
	b.is(second(f.FileInfo(b.ctx, "acme/a")), fs.ErrNotExist) // with its last file
	canceled, cancel := context.WithCancel(b.ctx)
	cancel()
	if err := f.StoreFile(canceled, "late", nil); !errors.Is(err, context.Canceled) {
		b.Errorf("store: %v", err)
	}
	if _, err := f.LoadFile(canceled, "late"); !errors.Is(err, context.Canceled) {
		b.Errorf("load: %v", err)
	}
}

func listFiles(b *bench) {
	f := b.files()
	for _, key := range []string{"c/ca/one.test/one.crt", "c/ca/one.test/one.key", "c/ca/two.test/two.crt", "c/ca-2/x", "c/ca.d/x", "c/ca0", "last.json", "c/ca/ä", "c/ca/%_"} {
		b.ok(f.StoreFile(b.ctx, key, []byte(key)))
	}
	for _, c := range []struct {
		key       string
		recursive bool
		want      string
	}{
		{"c/ca", false, "c/ca/%_ c/ca/one.test c/ca/two.test c/ca/ä"},
		{"c/ca/", true, "c/ca/%_ c/ca/one.test c/ca/one.test/one.crt c/ca/one.test/one.key c/ca/two.test c/ca/two.test/two.crt c/ca/ä"},
		{"c", false, "c/ca c/ca-2 c/ca.d c/ca0"},
		{"", false, "c last.json"},
		{"/", false, "c last.json"},
		{"last.json", true, ""}, // a file: nothing is below it
	} {
		got, err := f.ListFiles(b.ctx, c.key, c.recursive)
		b.ok(err)
		slices.Sort(got)
		equal(b, c.key, strings.Join(got, " "), c.want)
	}
	all, err := f.ListFiles(b.ctx, "", true)
	b.ok(err)
	equal(b, "all", len(all), 9+6)
	b.is(second(f.ListFiles(b.ctx, "c/c", true)), fs.ErrNotExist)
	b.is(second(f.ListFiles(b.ctx, "c/ca/%", true)), fs.ErrNotExist)
	// A folder goes with all that is in it, and nothing beside it.
	b.ok(f.DeleteFiles(b.ctx, "c/ca"))
	all, err = f.ListFiles(b.ctx, "", true)
	b.ok(err)
	slices.Sort(all)
	equal(b, "left", strings.Join(all, " "), "c c/ca-2 c/ca-2/x c/ca.d c/ca.d/x c/ca0 last.json")
}

func limitFiles(b *bench) {
	f := b.files()
	long := strings.Repeat("k", sqldb.MaxFilePath)
	b.ok(f.StoreFile(b.ctx, long, make([]byte, sqldb.MaxFileSize)))
	b.ok(second(f.LoadFile(b.ctx, long)))
	for name, err := range map[string]error{
		"a long path":       f.StoreFile(b.ctx, long+"k", nil),
		"a large file":      f.StoreFile(b.ctx, "k", make([]byte, sqldb.MaxFileSize+1)),
		"no path":           f.StoreFile(b.ctx, "/", nil),
		"a NUL":             f.StoreFile(b.ctx, "a\x00b", nil),
		"no text":           f.StoreFile(b.ctx, "a\xffb", nil),
		"all at once":       f.DeleteFiles(b.ctx, ""),
		"all, by a way up":  f.DeleteFiles(b.ctx, "a/../.."),
		"a long path read":  second(f.LoadFile(b.ctx, long+"k")),
		"a NUL in a lookup": second(f.FileInfo(b.ctx, "a\x00b")),
	} {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			b.Errorf("%s: %v", name, err)
		}
	}
	all, err := f.ListFiles(b.ctx, "", true)
	b.ok(err)
	equal(b, "files", len(all), 1)
}

// filesAtOnce writes one file from all sides: who reads it meanwhile sees one of them whole.
func filesAtOnce(b *bench) {
	f := b.files()
	b.ok(f.StoreFile(b.ctx, "one", bytes.Repeat([]byte{0}, 1000)))
	var wg sync.WaitGroup
	for _, letter := range "abcdefgh" {
		wg.Go(func() {
			for range 5 {
				if err := f.StoreFile(b.ctx, "one", bytes.Repeat([]byte(string(letter)), 1000)); err != nil {
					b.Error(err)
				}
				got, err := f.LoadFile(b.ctx, "one")
				if err != nil || len(got) != 1000 || bytes.Count(got, got[:1]) != 1000 {
					b.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

// insideAtOnce counts how many are inside at once of those who asked for one lock.
func insideAtOnce(b *bench, nodes []Locks, lock func(Locks) error, unlock func(Locks) error) int {
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		node := nodes[i%len(nodes)]
		wg.Go(func() {
			if err := lock(node); err != nil {
				b.Error(err)
				return
			}
			n := inside.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(5 * time.Millisecond) // what the lock is for
			inside.Add(-1)
			if err := unlock(node); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return int(most.Load())
}

func oneHolder(b *bench, node func() Locks) {
	nodes := []Locks{node(), node(), node()}
	n := insideAtOnce(b, nodes, func(l Locks) error { return l.Lock(b.ctx, "issue_cert") }, func(l Locks) error { return l.Unlock(b.ctx, "issue_cert") })
	equal(b, "holders at once", n, 1)
	// Control: without a lock they meet.
	if n := insideAtOnce(b, nodes, func(Locks) error { return nil }, func(Locks) error { return nil }); n < 2 {
		b.Error("twenty that nothing keeps apart did not meet")
	}
	b.ok(nodes[0].Lock(b.ctx, "one"))
	b.ok(nodes[1].Lock(b.ctx, "another"))
	b.ok(nodes[0].Unlock(b.ctx, "one"))
	b.ok(nodes[1].Unlock(b.ctx, "another"))
}

func (b *bench) tries(l Locks, want bool) {
	b.Helper()
	got, err := l.TryLock(b.ctx, "lock")
	b.ok(err)
	equal(b, "taken", got, want)
}

func whoseLock(b *bench, node func() Locks) {
	one, two := node(), node()
	b.tries(one, true)
	b.tries(one, false)
	b.tries(two, false)
	b.clock.Add(48 * time.Hour) // a node's clock ends no lock
	b.tries(two, false)
	b.is(two.Unlock(b.ctx, "lock"), sqldb.ErrNotHeld)
	b.is(two.Renew(b.ctx, "lock"), sqldb.ErrNotHeld)
	b.tries(two, false)
	b.ok(one.Renew(b.ctx, "lock"))
	b.ok(one.Unlock(b.ctx, "lock"))
	b.is(one.Unlock(b.ctx, "lock"), sqldb.ErrNotHeld)
	b.tries(two, true)
	b.is(one.Unlock(b.ctx, "lock"), sqldb.ErrNotHeld)
	b.tries(one, false)
	b.ok(two.Unlock(b.ctx, "lock"))
	for _, name := range []string{"", strings.Repeat("x", 1025), "a\x00b"} {
		if taken, err := one.TryLock(b.ctx, name); taken || err == nil {
			b.Errorf("took %q", name)
		}
	}
}

func closedLocks(b *bench, node func() Locks) {
	one, two := node(), node()
	b.tries(one, true)
	b.ok(one.Close(b.ctx))
	b.tries(two, true) // it was given back
	b.ok(one.Unlock(b.ctx, "lock"))
	b.tries(node(), false) // and that was nobody else's
	if _, err := one.TryLock(b.ctx, "other"); err == nil {
		b.Error("a lock was taken after the end")
	}
	b.ok(two.Close(b.ctx))
}

func waitForLock(b *bench, node func() Locks) {
	one, two := node(), node()
	for _, waits := range []Locks{one, two} { // for a lock of this node and of another one
		b.tries(one, true)
		ctx, cancel := context.WithCancel(b.ctx)
		got := make(chan error, 1)
		go func() { got <- waits.Lock(ctx, "lock") }()
		cancel()
		b.is(<-got, context.Canceled)
		go func() { got <- waits.Lock(b.ctx, "lock") }()
		b.ok(one.Unlock(b.ctx, "lock"))
		b.ok(<-got)
		b.ok(waits.Unlock(b.ctx, "lock"))
	}
}
