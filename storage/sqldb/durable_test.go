package sqldb_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
)

func checkFiles(t *testing.T, db *sqldb.DB) {
	t.Helper()
	for _, q := range []string{`SELECT integrity_check FROM pragma_integrity_check`, `SELECT coalesce(min("table"), 'ok') FROM pragma_foreign_key_check`} {
		if got, err := db.Text(t.Context(), "public", q); got != "ok" || err != nil {
			t.Errorf("%s: %s, %v", q, got, err)
		}
	}
}

func saveCode(t *testing.T, db *sqldb.DB, plain string) [32]byte {
	t.Helper()
	ctx := t.Context()
	u, err := db.UserByName(ctx, "public", "akadmin")
	must(t, err)
	g := &oidc.Grant{User: u.ID, ClientID: "c", Created: time.Now(), Expires: time.Now().Add(time.Hour)}
	must(t, db.SaveGrant(ctx, "public", g))
	hash := core.Hash(plain)
	must(t, db.SaveCode(ctx, "public", &oidc.Code{Hash: hash, Grant: g.ID, Expires: time.Now().Add(time.Minute)}, nil, nil))
	return hash
}

// A crash while a tenant was being made leaves scraps: the next start clears them
// away, and never takes the log of a file that is gone for that of its successor.
func TestScrapsOfACrash(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {})
	scraps := []string{"tenants/public.db-123.tmp", "template.db-9.tmp"}
	for _, name := range scraps {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600))
	}
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {})
	for _, name := range scraps {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "tenants/t_x.db-wal"), []byte("a stale log"), 0o600))
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		_, err := db.CreateTenant(t.Context(), "t_x", "x")
		must(t, err)
	})
}
