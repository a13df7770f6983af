package sqldb_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// A role that may not see what other roles' connections are sees that they are there.
func TestUnservedBesideAnotherRole(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	owner, err := pgx.Connect(t.Context(), address)
	must(t, err)
	as := func(who string) string {
		t.Helper()
		name, key := "postern_test_"+who+"_"+strings.ToLower(core.RandomAlphanumeric(8)), core.RandomAlphanumeric(20)
		_, err := owner.Exec(t.Context(), "CREATE ROLE "+name+" LOGIN PASSWORD '"+key+"'")
		must(t, err)
		t.Cleanup(func() {
			ctx := context.Background() // the test's has ended
			conn, err := pgx.Connect(ctx, address)
			must(t, err)
			_, err = conn.Exec(ctx, "DROP ROLE "+name)
			must(t, errors.Join(err, conn.Close(ctx)))
		})
		u, err := url.Parse(address)
		must(t, err)
		u.User = url.UserPassword(name, key)
		return u.String()
	}
	looks, serves := as("looks"), as("serves")
	must(t, owner.Close(t.Context()))
	must(t, sqldb.Unserved(t.Context(), sqldb.Options{URL: looks})) // control: nobody is there
	other, err := pgx.Connect(t.Context(), serves)
	must(t, err)
	if err := sqldb.Unserved(t.Context(), sqldb.Options{URL: looks}); !errors.Is(err, sqldb.ErrLocked) {
		t.Errorf("error %v, want %v", err, sqldb.ErrLocked)
	}
	must(t, other.Close(t.Context()))
}
