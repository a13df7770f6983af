package sqldb_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/disktest"
	"github.com/postern-sso/postern/storage/sqldb"
)

// brokenDisk makes the files below a directory fail as mode says; other tests' go on.
func brokenDisk(t *testing.T, dir string) (mode *atomic.Pointer[disktest.Fault]) {
	t.Helper()
	mode = new(atomic.Pointer[disktest.Fault])
	disktest.Set(func(path string, write bool) syscall.Errno {
		if f := mode.Load(); f != nil && strings.HasPrefix(path, dir) {
			return (*f)(path, write)
		}
		return 0
	})
	t.Cleanup(func() { disktest.Set(nil) })
	return mode
}

// L-08: a disk that gives errors for writes, or that the kernel has made read-only under a server. Reads go on, a write
// fails as a whole with what says that another time will do, the log has one alarm, and with the disk mended everything
// works, without a restart.
func TestDiskErrors(t *testing.T) {
	for _, as := range []syscall.Errno{syscall.EIO, syscall.EROFS} {
		t.Run(as.Error(), func(t *testing.T) { testDiskErrors(t, as) })
	}
}

func testDiskErrors(t *testing.T, as syscall.Errno) {
	var log bytes.Buffer
	dir := t.TempDir()
	mode := brokenDisk(t, dir)
	db := open(t, sqldb.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx := t.Context()
	must(t, db.CreateUser(ctx, "public", &core.User{UserName: "before", Active: true}))
	code := saveCode(t, db, "code")

	broken := disktest.Fault(func(_ string, write bool) syscall.Errno {
		if write {
			return as
		}
		return 0
	})
	mode.Store(&broken)
	for i := range 20 {
		name := fmt.Sprint("during", i)
		if err := db.CreateUser(ctx, "public", &core.User{UserName: name, Active: true}); !errors.Is(err, core.ErrUnavailable) {
			t.Fatalf("a write: %v", err)
		}
		if _, err := db.UserByName(ctx, "public", name); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("half a user: %v", err)
		}
	}
	if err := db.ConsumeCode(ctx, "public", code, nil); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("a code: %v", err)
	}
	if _, err := db.UserByName(ctx, "public", "before"); err != nil {
		t.Errorf("a read: %v", err)
	}
	if err := db.Ping(ctx); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if n := strings.Count(log.String(), "takes no writes"); n != 1 || !strings.Contains(log.String(), "disk I/O error") {
		t.Errorf("%d alarms: %s", n, log.String())
	}

	mode.Store(nil)
	if err := db.ConsumeCode(ctx, "public", code, nil); err != nil {
		t.Errorf("the code that was not spent: %v", err)
	}
	if err := db.ConsumeCode(ctx, "public", code, nil); !errors.Is(err, core.ErrConsumed) {
		t.Errorf("the code that was: %v", err)
	}
	must(t, db.CreateUser(ctx, "public", &core.User{UserName: "after", Active: true}))
	must(t, db.Ping(ctx))
	if n := strings.Count(log.String(), "writes again"); n != 1 {
		t.Errorf("%d lines tell that it is over: %s", n, log.String())
	}
	checkFiles(t, db)
}

// L-08: a disk that gives errors now and then, for reads too. What was acknowledged is there, what was
// refused is there whole or not at all, and the files are sound, before and after a restart.
func TestDiskErrorsNowAndThen(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	mode := brokenDisk(t, dir)
	opt := sqldb.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}
	acknowledged, refused := map[string]bool{}, map[string]bool{}
	ctx := t.Context()
	wrong := func(db *sqldb.DB) (out []string) {
		t.Helper()
		for name, list := range map[string]map[string]bool{"acknowledged": acknowledged, "refused": refused} {
			for user := range list {
				u, err := db.UserByName(ctx, "public", user)
				switch {
				case err != nil && (name == "acknowledged" || !errors.Is(err, core.ErrNotFound)):
					out = append(out, fmt.Sprintf("%s was %s: %v", user, name, err))
				case err == nil && len(fmt.Sprint(u.Attributes["x"])) != 5000:
					out = append(out, fmt.Sprintf("%s was %s, and half of it is there", user, name))
				}
			}
		}
		return out
	}
	look := func(db *sqldb.DB) {
		t.Helper()
		for _, problem := range wrong(db) {
			t.Error(problem)
		}
		checkFiles(t, db)
	}
	again(t, opt, func(db *sqldb.DB) {
		var n atomic.Int64
		now := disktest.Fault(func(string, bool) syscall.Errno {
			if n.Add(1)%7 == 0 {
				return syscall.EIO
			}
			return 0
		})
		for i := range 200 {
			name := fmt.Sprint("user", i)
			if r.IntN(4) == 0 {
				mode.Store(nil)
			} else {
				n.Store(r.Int64N(7))
				mode.Store(&now)
			}
			if err := db.CreateUser(ctx, "public", &core.User{UserName: name, Active: true, Attributes: map[string]any{"x": strings.Repeat("x", 5000)}}); err == nil {
				acknowledged[name] = true
			} else {
				refused[name] = true
			}
			mode.Store(nil)
		}
		look(db)
	})
	again(t, opt, look)
	again(t, opt, func(db *sqldb.DB) { // control: one that is gone is noticed, and one that is there by half
		for _, damage := range []string{`UPDATE users SET attributes = '{}' WHERE username LIKE 'user%'`, `DELETE FROM users WHERE username LIKE 'user%'`} {
			must(t, db.Exec(ctx, "public", damage))
			if n := len(wrong(db)); n < len(acknowledged) {
				t.Errorf("%s: %d of %d are missed", damage, n, len(acknowledged))
			}
		}
	})
	t.Logf("%d acknowledged, %d refused", len(acknowledged), len(refused))
	if len(acknowledged) < 20 || len(refused) < 20 {
		t.Error("this was no test of errors now and then")
	}
}
