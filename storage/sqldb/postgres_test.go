package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// postgresServer is a server on which tests make databases.
type postgresServer struct {
	base string
	db   *sql.DB
}

func startPostgres(t testing.TB) *postgresServer {
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
			if err := os.WriteFile(filepath.Join(dir, "postgresql"), nil, 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	return &postgresServer{base: base, db: db}
}

// create makes a database and gives its URL.
func (s *postgresServer) create(t testing.TB) string {
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
	u, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// wipe leaves a database as its first migration did.
const wipe = `DO $$ DECLARE r record; BEGIN
	SET LOCAL session_replication_role = replica;
	FOR r IN SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 't!_%' ESCAPE '!' LOOP
		EXECUTE 'DROP SCHEMA ' || quote_ident(r.name) || ' CASCADE';
	END LOOP;
	FOR r IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'postern%' AND tablename <> 'counters' LOOP
		EXECUTE 'DELETE FROM public.' || quote_ident(r.name);
	END LOOP;
	UPDATE public.counters SET value = 0;
END $$`

// postgres opens empty stores. A new database for each would take most of the
// time, so those that a test is done with are wiped and used again.
func postgres(t *testing.T) storagetest.Open {
	return postgresThrough(t, startPostgres(t), func(address string) string { return address })
}

// postgresThrough is postgres with what stands before the server.
func postgresThrough(t *testing.T, s *postgresServer, through func(address string) string) storagetest.Open {
	free := make(chan string, 100)
	return func(sub *testing.T, now func() time.Time) storagetest.Store {
		var address string
		select {
		case address = <-free:
		default:
			address = s.create(t)
		}
		db, err := sqldb.Open(sub.Context(), sqldb.Options{URL: through(address), Master: master(sub, 'k'), Now: now})
		if err != nil {
			sub.Fatal(err)
		}
		sub.Cleanup(func() {
			if err := db.Close(); err != nil {
				sub.Errorf("close: %v", err)
			}
			c, err := sql.Open("pgx", address)
			if err == nil {
				_, err = c.ExecContext(context.Background(), wipe)
				err = errors.Join(err, c.Close())
			}
			if err != nil {
				sub.Error(err)
				return
			}
			free <- address
		})
		return db
	}
}

func TestPostgresDirectory(t *testing.T)  { storagetest.TestDirectory(t, postgres(t)) }
func TestPostgresTokens(t *testing.T)     { storagetest.TestTokens(t, postgres(t)) }
func TestPostgresSessions(t *testing.T)   { storagetest.TestSessions(t, postgres(t)) }
func TestPostgresLogin(t *testing.T)      { storagetest.TestLogin(t, postgres(t)) }
func TestPostgresContention(t *testing.T) { storagetest.TestContention(t, postgres(t)) }
func TestPostgresTenants(t *testing.T)    { storagetest.TestTenants(t, postgres(t)) }
