package sqldb_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
)

// for a name at the login page the database is asked the same, whether it is somebody's name, somebody's
// address or nobody's.
func TestLoginsAskAlike(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	u := &core.User{UserName: "alice", Email: "alice@corp.test", Active: true, Type: core.UserInternal}
	must(t, db.CreateUser(t.Context(), core.DefaultTenant, u))
	var asked []string
	db.Trace(func(_ core.TenantID, query string, _ []any) { asked = append(asked, query) })
	of := func(find func() (*core.User, error), known bool) []string {
		t.Helper()
		asked = nil
		got, err := find()
		if known && (err != nil || got.ID != u.ID) || !known && !errors.Is(err, core.ErrNotFound) {
			t.Fatalf("%v, %v", got, err)
		}
		return asked
	}
	byLogin := func(name string, known bool) []string {
		return of(func() (*core.User, error) { return db.UserByLogin(t.Context(), core.DefaultTenant, name) }, known)
	}
	want := byLogin("alice", true)
	for name, known := range map[string]bool{"ALICE@corp.test ": true, "nobody": false, "nobody@corp.test": false} {
		if got := byLogin(name, known); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("for %s %d statements were asked, for a name that is somebody's %d", name, len(got), len(want))
		}
	}
	// The control: whoever reads the groups of whom was found asks more.
	by := func(name string, known bool) []string {
		return of(func() (*core.User, error) {
			got, err := db.UserByName(t.Context(), core.DefaultTenant, name)
			if err == nil {
				_, err = db.UserGroups(t.Context(), core.DefaultTenant, got.ID)
			}
			return got, err
		}, known)
	}
	if slices.Equal(by("alice", true), by("nobody", false)) {
		t.Error("control: statements are not heard")
	}
}
