package sqldb_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// query runs SQL on a database, past Postern.
func query(t *testing.T, address, text string) {
	t.Helper()
	c, err := sql.Open("pgx", address)
	must(t, err)
	_, err = c.Exec(text)
	must(t, errors.Join(err, c.Close()))
}

func TestPostgresForeignIsRefused(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	query(t, address, `CREATE SCHEMA other; CREATE TABLE other.authentik_flows_flow (id int); CREATE TABLE authentik_core_user (id int)`)
	_, err := sqldb.Open(t.Context(), sqldb.Options{URL: address, Master: master(t, 'k')})
	if !errors.Is(err, sqldb.ErrForeign) || !strings.Contains(err.Error(), "authentik_core_user") {
		t.Fatalf("error %v", err)
	}
	c, err := sql.Open("pgx", address)
	must(t, err)
	var n int
	must(t, c.QueryRow(`SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`).Scan(&n))
	must(t, c.Close())
	if n != 2 {
		t.Errorf("%d tables, want the two that were there", n)
	}
}

// Nodes that start at once on an empty database make one directory.
func TestPostgresNodesStartTogether(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	const nodes = 4
	dbs, errs := make([]*sqldb.DB, nodes), make([]error, nodes)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			dbs[i], errs[i] = sqldb.Open(t.Context(), sqldb.Options{URL: address, Master: master(t, 'k'),
				NewKeyPair: func() (*core.KeyPair, error) { return &core.KeyPair{Certificate: fmt.Sprint(i)}, nil },
				Mappings:   []core.PropertyMapping{{Kind: core.MappingScope, Managed: "m", Name: "m"}}})
		})
	}
	wg.Wait()
	for i := range nodes {
		must(t, errs[i])
	}
	u, err := dbs[0].UserByName(t.Context(), "public", "akadmin")
	must(t, err)
	for _, db := range dbs {
		got, err := db.UserByName(t.Context(), "public", "akadmin")
		must(t, err)
		if got.ID != u.ID {
			t.Error("two administrators")
		}
	}
	for _, q := range []string{`SELECT CAST(count(*) AS TEXT) FROM users`, `SELECT CAST(count(*) AS TEXT) FROM mappings`, `SELECT CAST(count(*) AS TEXT) FROM key_pairs`} {
		if n, err := dbs[0].Text(t.Context(), "public", q); n != "1" || err != nil {
			t.Errorf("%s: %s, %v", q, n, err)
		}
	}
	// A tenant that one node makes is known to the others.
	_, err = dbs[0].CreateTenant(t.Context(), "t_b", "B")
	must(t, err)
	must(t, dbs[0].CreateDomain(t.Context(), &core.Domain{Tenant: "t_b", Name: "b.test", Primary: true}))
	dbs[1].AgeRegistry()
	_, err = dbs[1].UserByName(t.Context(), "t_b", "akadmin")
	must(t, err)
	dbs[2].AgeRegistry()
	deadline := time.Now().Add(time.Minute)
	for {
		tn, err := dbs[2].TenantByHost(t.Context(), "b.test")
		if err == nil && tn.ID == "t_b" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("host of the new tenant: %v, %v", tn, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, db := range dbs {
		must(t, db.Close())
	}
}

// one connection serves tenants in turn, and none sees the tables of the
// tenant before, nor of the default one where its own are gone.
func TestPostgresOneConnection(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	db := open(t, sqldb.Options{URL: address})
	db.Connections(1)
	ctx := t.Context()
	for _, id := range []core.TenantID{"t_a", "t_b"} {
		_, err := db.CreateTenant(ctx, id, string(id))
		must(t, err)
		must(t, db.CreateUser(ctx, id, &core.User{UserName: "user of " + string(id)}))
	}
	for range 3 {
		for _, id := range []core.TenantID{"t_a", "public", "t_b"} {
			for _, of := range []string{"t_a", "t_b"} {
				_, err := db.UserByName(ctx, id, "user of "+of)
				if string(id) == of && err != nil || string(id) != of && !errors.Is(err, core.ErrNotFound) {
					t.Errorf("user of %s in %s: %v", of, id, err)
				}
			}
		}
	}
	query(t, address, `DROP SCHEMA t_b CASCADE`)
	must(t, db.Ping(ctx)) // the connection turns away from it
	if u, err := db.UserByName(ctx, "t_b", "akadmin"); err == nil {
		t.Errorf("a tenant without tables has the user %v", u)
	}
	if err := db.CreateUser(ctx, "t_b", &core.User{UserName: "stray"}); err == nil {
		t.Error("written to a tenant without tables")
	}
	if _, err := db.UserByName(ctx, "public", "stray"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a stray user: %v", err)
	}
}

// L-07: connections that the server closed are replaced.
func TestPostgresConnectionsLost(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	db := open(t, sqldb.Options{URL: address})
	const kill = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	for i := range 3 {
		must(t, db.Ping(t.Context()))
		query(t, address, kill)
		_, err := db.UserByName(t.Context(), "public", "akadmin")
		must(t, err)
		query(t, address, kill)
		must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: fmt.Sprint("user", i)}))
	}
}

func TestPostgresNewerSchema(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	again(t, sqldb.Options{URL: address}, func(*sqldb.DB) {})
	query(t, address, `ALTER TABLE users ADD COLUMN nickname TEXT NOT NULL DEFAULT ''; CREATE TABLE later (id TEXT PRIMARY KEY);
		INSERT INTO postern_version (version_id, is_applied) VALUES (2, TRUE)`)
	again(t, sqldb.Options{URL: address}, func(db *sqldb.DB) {
		must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: "alice"}))
	})
}

func TestPostgresOtherSecretIsRefused(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	again(t, sqldb.Options{URL: address}, func(*sqldb.DB) {})
	if _, err := sqldb.Open(t.Context(), sqldb.Options{URL: address, Master: master(t, 'x')}); !errors.Is(err, sqldb.ErrOtherSecret) {
		t.Errorf("error %v", err)
	}
}

// A text that no index takes is refused, not an internal error: after folding it
// may be much longer than what a form allows.
func TestPostgresLongName(t *testing.T) {
	db := open(t, sqldb.Options{URL: storagetest.StartPostgres(t).Create(t)})
	name := strings.Repeat("\uFDFA", 150) // one character that folds to eighteen
	for i := range 150 {
		name += string(rune(0x4e00 + i*37)) // and some that do not compress
	}
	name += core.RandomAlphanumeric(6000)
	err := db.CreateGroup(t.Context(), "public", &core.Group{Name: name}, nil)
	var fe *core.FieldError
	if !errors.As(err, &fe) {
		t.Errorf("error %v, want a refusal", err)
	}
}
