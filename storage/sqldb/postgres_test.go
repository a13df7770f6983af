package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

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
	return postgresThrough(t, storagetest.StartPostgres(t), func(address string) string { return address })
}

// postgresThrough is postgres with what stands before the server.
func postgresThrough(t *testing.T, s *storagetest.Postgres, through func(address string) string) storagetest.Open {
	free := make(chan string, 100)
	return func(sub *testing.T, now func() time.Time) storagetest.Store {
		var address string
		select {
		case address = <-free:
		default:
			address = s.Create(t)
		}
		db, err := sqldb.Open(sub.Context(), sqldb.Options{URL: through(address), Master: master(sub, 'k'), Now: now})
		if err != nil {
			sub.Fatal(err)
		}
		db.Indexed()
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
func TestPostgresRegistry(t *testing.T)   { storagetest.TestRegistry(t, postgres(t)) }
func TestPostgresFiles(t *testing.T)      { storagetest.TestFiles(t, postgres(t)) }
func TestPostgresLocks(t *testing.T)      { storagetest.TestLocks(t, postgres(t), locksOf) }
func TestPostgresTenants(t *testing.T)    { storagetest.TestTenants(t, postgres(t)) }
