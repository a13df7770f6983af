package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
)

// crowd holds the writer of the directory until n writes wait behind it, calls before, and
// returns how many went with each commit.
func crowd(t *testing.T, db *sqldb.DB, n int, write func(i int), before ...func()) []int {
	t.Helper()
	var mu sync.Mutex
	var groups []int
	db.ObserveCommits("public", func(together int) {
		mu.Lock()
		defer mu.Unlock()
		groups = append(groups, together)
	})
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		must(t, db.HoldWriter("public", held, release))
	})
	<-held
	for i := range n {
		wg.Go(func() { write(i) })
	}
	waiting(t, db, n)
	for _, f := range before {
		f()
	}
	close(release)
	wg.Wait()
	return groups
}

// waiting waits until n writes wait.
func waiting(t *testing.T, db *sqldb.DB, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); db.WaitingCommits("public") != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%d wait, want %d", db.WaitingCommits("public"), n)
			return
		}
	}
}

// Writes that wait for one another reach the disk together, each whole or not at all.
func TestWritesCommitTogether(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	ctx := t.Context()
	must(t, db.CreateUser(ctx, "public", &core.User{UserName: "taken"}))
	errs := make([]error, 20)
	panicked := make([]any, 20)
	groups := crowd(t, db, 20, func(i int) {
		defer func() { panicked[i] = recover() }()
		switch i {
		case 3: // one is refused
			errs[i] = db.CreateUser(ctx, "public", &core.User{UserName: "taken"})
		case 7: // one fails after it wrote
			errs[i] = db.ExecThen(ctx, "public", func() error { return errors.New("no") }, `UPDATE users SET name = 'spoilt'`)
		case 11: // one panics after it wrote
			errs[i] = db.ExecThen(ctx, "public", func() error { panic("oh") }, `UPDATE users SET name = 'spoilt'`)
		default:
			errs[i] = db.CreateUser(ctx, "public", &core.User{UserName: fmt.Sprint("user", i)})
		}
	})
	if len(groups) != 2 || groups[0] != 1 || groups[1] != 20 {
		t.Errorf("commits of %v writes, want 1 and 20", groups)
	}
	for i, err := range errs {
		_, find := db.UserByName(ctx, "public", fmt.Sprint("user", i))
		switch i {
		case 3:
			if !errors.Is(err, core.ErrExists) {
				t.Errorf("a name that is taken: %v", err)
			}
		case 7:
			if err == nil || !strings.Contains(err.Error(), "no") {
				t.Errorf("one that failed: %v", err)
			}
		case 11:
			if panicked[i] == nil || !strings.Contains(fmt.Sprint(panicked[i]), "oh") {
				t.Errorf("one that panicked: %v, %v", err, panicked[i])
			}
		default:
			if err != nil || find != nil || panicked[i] != nil {
				t.Errorf("user %d: %v, %v, %v", i, err, find, panicked[i])
			}
		}
	}
	if u, err := db.UserByName(ctx, "public", "taken"); err != nil || u.DisplayName == "spoilt" {
		t.Errorf("what failed left something: %+v, %v", u, err)
	}
	checkFiles(t, db)
}

// Whoever goes away while they wait takes nothing along; whoever goes away while others'
// work is under way does not undo it.
func TestWhoLeavesTheCommit(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	left, leave := context.WithCancel(t.Context())
	during, cancel := context.WithCancel(t.Context())
	errs := make([]error, 4)
	crowd(t, db, 4, func(i int) {
		user := &core.User{UserName: fmt.Sprint("user", i)}
		switch i {
		case 0:
			errs[i] = db.ExecThen(during, "public", func() error { cancel(); return nil }, `UPDATE users SET name = 'touched'`)
		case 1:
			errs[i] = db.CreateUser(left, "public", user)
		default:
			errs[i] = db.CreateUser(t.Context(), "public", user)
		}
	}, func() {
		leave()
		waiting(t, db, 3)
	})
	if !errors.Is(errs[1], context.Canceled) {
		t.Errorf("who left: %v", errs[1])
	}
	for _, i := range []int{2, 3} {
		if _, err := db.UserByName(t.Context(), "public", fmt.Sprint("user", i)); errs[i] != nil || err != nil {
			t.Errorf("user %d: %v, %v", i, errs[i], err)
		}
	}
	if u, err := db.UserByName(t.Context(), "public", "user1"); err == nil {
		t.Errorf("who left was written: %+v", u)
	}
}

// A full disk takes the transaction of all down: each is then told by itself, and what
// fits is kept.
func TestFullDiskTogether(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	ctx := t.Context()
	must(t, db.FillDisk(ctx, "public", true))
	errs := make([]error, 6)
	crowd(t, db, 6, func(i int) {
		big := i == 2
		attributes := map[string]any{}
		if big {
			attributes["x"] = strings.Repeat("x", 8<<20)
		}
		errs[i] = db.CreateUser(ctx, "public", &core.User{UserName: fmt.Sprint("user", i), Attributes: attributes})
	})
	if errs[2] == nil {
		t.Error("control: the disk is not full")
	}
	must(t, db.FillDisk(ctx, "public", false))
	for i, err := range errs {
		if _, find := db.UserByName(ctx, "public", fmt.Sprint("user", i)); (err == nil) != (find == nil) {
			t.Errorf("user %d: %v, but %v", i, err, find)
		}
	}
	checkFiles(t, db)
}
