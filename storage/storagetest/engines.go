package storagetest

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
)

// Postgres is a server on which tests make databases.
type Postgres struct {
	URL string // of a database that nothing is done to
	db  *sql.DB
}

// StartPostgres finds the server of POSTERN_TEST_POSTGRES. Without one the test is skipped.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	base := os.Getenv("POSTERN_TEST_POSTGRES")
	if base == "" {
		t.Skip("did not run: set POSTERN_TEST_POSTGRES to the postgres:// URL of a server where databases may be made")
	}
	db, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		// .ci/test asks at its end who took part.
		if dir := os.Getenv("POSTERN_TEST_RAN"); dir != "" && !t.Failed() {
			if err := os.WriteFile(filepath.Join(dir, "postgresql"), nil, 0o600); err != nil { //nolint:gosec // the directory is named by whoever runs the tests
				t.Error(err)
			}
		}
	})
	return &Postgres{URL: base, db: db}
}

// Create makes a database, which goes with the test, and gives its URL.
func (s *Postgres) Create(t testing.TB) string {
	t.Helper()
	name := "postern_test_" + strings.ToLower(core.RandomAlphanumeric(12))
	// Sorted as people do by default: what must be sorted by bytes has to say so.
	if _, err := s.db.Exec(`CREATE DATABASE ` + name + ` TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.db.ExecContext(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// OnEngines runs a benchmark on SQLite and, where there is a server, on PostgreSQL. Each
// call of empty says where an empty directory is.
func OnEngines(b *testing.B, f func(b *testing.B, empty func(testing.TB) sqldb.Options)) {
	b.Run("sqlite", func(b *testing.B) {
		f(b, func(t testing.TB) sqldb.Options { return sqldb.Options{Dir: t.TempDir()} })
	})
	b.Run("postgres", func(b *testing.B) {
		s := StartPostgres(b)
		f(b, func(t testing.TB) sqldb.Options { return sqldb.Options{URL: s.Create(t)} })
	})
}
