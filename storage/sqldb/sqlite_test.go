package sqldb_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

func master(t testing.TB, fill byte) *keys.Master {
	t.Helper()
	m, err := keys.NewMaster(bytes.Repeat([]byte{fill}, keys.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, opt sqldb.Options) *sqldb.DB {
	t.Helper()
	if opt.Master == nil {
		opt.Master = master(t, 'k')
	}
	db, err := sqldb.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func openSQLite(t *testing.T, now func() time.Time) storagetest.Store {
	db := open(t, sqldb.Options{Dir: t.TempDir(), Now: now})
	db.Indexed()
	return db
}

func TestSQLiteDirectory(t *testing.T)      { storagetest.TestDirectory(t, openSQLite) }
func TestSQLiteTokens(t *testing.T)         { storagetest.TestTokens(t, openSQLite) }
func TestSQLiteSessions(t *testing.T)       { storagetest.TestSessions(t, openSQLite) }
func TestSQLiteLogin(t *testing.T)          { storagetest.TestLogin(t, openSQLite) }
func TestSQLiteContention(t *testing.T)     { storagetest.TestContention(t, openSQLite) }
func TestSQLiteRegistry(t *testing.T)       { storagetest.TestRegistry(t, openSQLite) }
func TestSQLiteFiles(t *testing.T)          { storagetest.TestFiles(t, openSQLite) }
func TestSQLiteLocks(t *testing.T)          { storagetest.TestLocks(t, openSQLite, locksOf) }
func TestSQLiteTenants(t *testing.T)        { storagetest.TestTenants(t, openSQLite) }
func TestSQLiteTenantsControl(t *testing.T) { storagetest.TestTenantsControl(t, openSQLite) }
