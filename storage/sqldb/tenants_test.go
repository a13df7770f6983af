package sqldb_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// filesOf are the names of a tenant's files.
func filesOf(t *testing.T, dir, id string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "tenants", id+".*"))
	must(t, err)
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

// Of a tenant that was deleted no file is left, and none is open.
func TestDeletedFiles(t *testing.T) {
	dir := t.TempDir()
	db := open(t, sqldb.Options{Dir: dir})
	var mu sync.Mutex
	var told []core.Change
	db.OnChange = func(id core.TenantID, changes []core.Change) {
		mu.Lock()
		defer mu.Unlock()
		if id == "t_b" {
			told = append(told, changes...)
		}
	}
	for range 2 {
		_, err := db.CreateTenant(t.Context(), "t_b", "B")
		must(t, err)
		alice := &core.User{UserName: "alice", Active: true}
		must(t, db.CreateUser(t.Context(), "t_b", alice))
		must(t, db.SaveSession(t.Context(), "t_b", core.Hash("k"), &core.Session{ID: "s", User: alice.ID, Expires: db.Now().Add(1e12)}))
		if files := filesOf(t, dir, "t_b"); len(files) < 4 { // each with its log
			t.Fatalf("before: %q", files)
		}
		before := db.OpenTenants()
		storagetest.Remove(t, db, "t_b")
		if files := filesOf(t, dir, "t_b"); len(files) != 0 {
			t.Errorf("left: %q", files)
		}
		if after := db.OpenTenants(); after != before-1 {
			t.Errorf("%d tenants open, %d before", after, before)
		}
		if left := db.Remembered("t_b"); left != "" {
			t.Errorf("in memory: %s", left)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := len(slices.DeleteFunc(told, func(c core.Change) bool { return c.Kind != core.ChangedAny })); n != 2 {
		t.Errorf("caches were told %d times to drop everything, want once for each deletion", n)
	}
}

// A tenant that is made not ready and deleted at once keeps its files until whoever is at work in it
// has ended.
func TestDeletedUnderTheLast(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	db := open(t, sqldb.Options{Dir: dir})
	tenant, err := db.CreateTenant(ctx, "t_b", "B")
	must(t, err)
	admin, err := db.UserByName(ctx, "t_b", "akadmin")
	must(t, err)
	inside, leave := make(chan struct{}), make(chan struct{})
	worked, deleted := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := db.UpdateUser(ctx, "t_b", admin.PK, func(u *core.User) error {
			close(inside)
			<-leave
			u.Email = "late@example.com"
			return nil
		})
		worked <- err
	}()
	<-inside
	for _, ready := range []bool{false, true, false} { // with nobody inside of the second
		_, err = db.UpdateTenant(ctx, "t_b", func(t *core.Tenant) error { t.Ready = ready; return nil })
		must(t, err)
	}
	go func() { deleted <- db.DeleteTenant(ctx, "t_b", tenant.UUID) }()
	eventually(t, "the tenant is gone", func() error {
		if _, err := db.RegisteredTenant(ctx, tenant.UUID); !errors.Is(err, core.ErrNotFound) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	select {
	case err := <-deleted:
		close(leave)
		t.Fatalf("the files went under who works with them (%v), who was told: %v", err, <-worked)
	case <-time.After(100 * time.Millisecond):
	}
	if files := filesOf(t, dir, "t_b"); len(files) == 0 {
		t.Error("the files are gone")
	}
	close(leave)
	must(t, <-worked)
	must(t, <-deleted)
	if files := filesOf(t, dir, "t_b"); len(files) != 0 {
		t.Errorf("left: %q", files)
	}
	if what := db.Remembered("t_b"); what != "" {
		t.Errorf("in memory there is still: %s", what)
	}
}

// A tenant has a number of hosts and no more, whichever way they come, and many at once: who has too
// many could use up what a certificate authority gives the server.
func TestHostsOfATenant(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		db.Caps(3, 3)
		for _, id := range []core.TenantID{"t_a", "t_b"} {
			_, err := db.CreateTenant(ctx, id, "x")
			must(t, err)
		}
		refuses := func(err error, field, message string) {
			t.Helper()
			var fe *core.FieldError
			if !errors.As(err, &fe) || fe.Field != field || !strings.Contains(fe.Message, message) {
				t.Errorf("not refused by %s: %v", field, err)
			}
		}
		atOnce := func(create func(i int) error) (last error) {
			t.Helper()
			failed := make(chan error, 8)
			for i := range 8 {
				go func() { failed <- create(i) }()
			}
			n := 0
			for range 8 {
				if err := <-failed; err != nil {
					last = err
					n++
				}
			}
			if n != 5 {
				t.Errorf("%d of 8 were refused", n)
			}
			return last
		}
		err := atOnce(func(i int) error {
			return db.CreateDomain(ctx, &core.Domain{Tenant: "t_a", Name: fmt.Sprintf("h%d.test", i)})
		})
		refuses(err, "domain", "at most 3 domains")
		other := &core.Domain{Tenant: "t_b", Name: "other.test"}
		must(t, db.CreateDomain(ctx, other)) // of its own it has room
		_, err = db.UpdateDomain(ctx, other.ID, func(d *core.Domain) error { d.Tenant = "t_a"; return nil })
		refuses(err, "domain", "at most 3 domains")
		_, err = db.UpdateDomain(ctx, other.ID, func(d *core.Domain) error { d.Name = "another.test"; return nil })
		must(t, err)

		provider := func(id core.TenantID, i int) error {
			return db.CreateProxyProvider(ctx, id, &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: fmt.Sprint("p", i)},
				ClientID: fmt.Sprint("c", i), Mode: core.ProxyAuthSingle, ExternalHost: fmt.Sprintf("https://h%d.test", i)})
		}
		refuses(atOnce(func(i int) error { return provider("t_a", i) }), "external_host", "at most 3 proxy providers")
		for i := range 5 { // the operator's own
			must(t, provider(core.DefaultTenant, i))
		}
	})
}

// What a crash leaves of a tenant, half made or half deleted, is removed at the next
// start; it was nobody's, so nothing of it comes back.
func TestHalfDeleted(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		_, err := db.CreateTenant(t.Context(), "t_b", "B")
		must(t, err)
		must(t, db.CreateUser(t.Context(), "t_b", &core.User{UserName: "alice"}))
		// As if the process was killed after the commit.
		must(t, db.Exec(t.Context(), "public", `DELETE FROM tenants WHERE id = 't_b'`))
		must(t, db.Exec(t.Context(), "public", `INSERT INTO meta (name, value) VALUES ('scrap/t_b', '')`))
	})
	if len(filesOf(t, dir, "t_b")) == 0 {
		t.Fatal("nothing was left to remove")
	}
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		if files := filesOf(t, dir, "t_b"); len(files) != 0 {
			t.Errorf("left: %q", files)
		}
		if n, err := db.Text(t.Context(), "public", `SELECT CAST(count(*) AS TEXT) FROM meta WHERE name LIKE 'scrap/%'`); n != "0" || err != nil {
			t.Errorf("%s notes left, %v", n, err)
		}
		_, err := db.CreateTenant(t.Context(), "t_b", "B")
		must(t, err)
		if _, err := db.UserByName(t.Context(), "t_b", "alice"); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("alice is back: %v", err)
		}
	})
}

// Files that nobody noted are somebody's: a tenant of that name is refused, and they stay.
func TestStrangersFiles(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		_, err := db.CreateTenant(t.Context(), "t_b", "B")
		must(t, err)
		must(t, db.Exec(t.Context(), "public", `DELETE FROM tenants WHERE id = 't_b'`))
	})
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		for range 2 {
			_, err := db.CreateTenant(t.Context(), "t_b", "B")
			var field *core.FieldError
			if !errors.As(err, &field) || field.Field != "schema_name" || errors.Is(err, core.ErrExists) {
				t.Errorf("error %v", err)
			}
			if len(filesOf(t, dir, "t_b")) < 2 {
				t.Error("the files are gone")
			}
		}
	})
}

// A tenant whose file somebody took away is told of, and not made again without its people.
func TestLostFile(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		_, err := db.CreateTenant(t.Context(), "t_b", "B")
		must(t, err)
	})
	for _, name := range filesOf(t, dir, "t_b") {
		must(t, os.Remove(filepath.Join(dir, "tenants", name)))
	}
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		_, err := db.UserByName(t.Context(), "t_b", "akadmin")
		if err == nil || errors.Is(err, core.ErrNotFound) || !strings.Contains(err.Error(), "t_b.db") {
			t.Errorf("error %v", err)
		}
		if files := filesOf(t, dir, "t_b"); len(files) != 0 {
			t.Errorf("made: %q", files)
		}
		storagetest.Remove(t, db, "t_b") // and can be given up
		_, err = db.CreateTenant(t.Context(), "t_b", "B")
		must(t, err)
	})
}
