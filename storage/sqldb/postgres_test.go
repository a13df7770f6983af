package sqldb_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// postgresURL makes an empty database on the server that POSTERN_TEST_POSTGRES
// names, and gives its URL.
func postgresURL(t testing.TB) string {
	t.Helper()
	base := os.Getenv("POSTERN_TEST_POSTGRES")
	if base == "" {
		t.Skip("did not run: set POSTERN_TEST_POSTGRES to the postgres:// URL of a server where databases may be made")
	}
	server, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	name := "postern_test_" + strings.ToLower(core.RandomAlphanumeric(12))
	if _, err := server.Exec(`CREATE DATABASE ` + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := server.ExecContext(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func openPostgres(t *testing.T, now func() time.Time) storagetest.Store {
	return open(t, sqldb.Options{URL: postgresURL(t), Now: now})
}

func TestPostgresDirectory(t *testing.T) { storagetest.TestDirectory(t, openPostgres) }
func TestPostgresTokens(t *testing.T)    { storagetest.TestTokens(t, openPostgres) }
func TestPostgresSessions(t *testing.T)  { storagetest.TestSessions(t, openPostgres) }
func TestPostgresLogin(t *testing.T)     { storagetest.TestLogin(t, openPostgres) }
