package sqldb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// schemaNumber is PostgreSQL's own of a schema, whatever its name: 0 for none.
func schemaNumber(t *testing.T, address, schema string) (n int64) {
	t.Helper()
	must(t, one(t, address, `SELECT coalesce(to_regnamespace('`+schema+`')::oid::bigint, 0)`, &n))
	return n
}

// spared waits for a spare schema that is none of these.
func spared(t *testing.T, address string, but ...int64) (n int64) {
	t.Helper()
	eventually(t, "a spare schema", func() error {
		n = schemaNumber(t, address, "template_spare")
		for _, other := range append(but, 0) {
			if n == other {
				return errors.New("not yet")
			}
		}
		return nil
	})
	return n
}

// The tables of the next tenant are made beforehand: they are what a clone is, each is one tenant's, and
// those that are of another version than the template are nobody's.
func TestPostgresSpare(t *testing.T) {
	ctx := t.Context()
	address := storagetest.StartPostgres(t).Create(t)
	db, other := open(t, sqldb.Options{URL: address}), open(t, sqldb.Options{URL: address})
	create := func(db *sqldb.DB, id core.TenantID) int64 {
		t.Helper()
		_, err := db.CreateTenant(ctx, id, "x")
		must(t, err)
		_, err = db.UserByName(ctx, id, "akadmin")
		must(t, err)
		return schemaNumber(t, address, string(id))
	}
	create(db, "t_first")
	spare := spared(t, address)
	if d := differences(catalog(t, address, "template"), catalog(t, address, "template_spare")); len(d) > 0 {
		t.Errorf("it differs from the template:\n%s", strings.Join(d, "\n"))
	}
	if n := create(other, "t_second"); n != spare { // of another node, which did not make it
		t.Error("what was made beforehand was not used")
	}
	if d := differences(catalog(t, address, "t_first"), catalog(t, address, "t_second")); len(d) > 0 {
		t.Errorf("a tenant whose tables were made beforehand differs:\n%s", strings.Join(d, "\n"))
	}
	spared(t, address, spare)

	// All at once, on both nodes.
	done := make(chan error)
	for i := range 6 {
		go func() {
			_, err := []*sqldb.DB{db, other}[i%2].CreateTenant(ctx, core.TenantID(fmt.Sprint("t_many", i)), "x")
			done <- err
		}()
	}
	for range 6 {
		must(t, <-done)
	}
	seen := map[int64]bool{}
	for i := range 6 {
		n := schemaNumber(t, address, fmt.Sprint("t_many", i))
		if n == 0 || seen[n] {
			t.Errorf("tenant %d has no schema of its own", i)
		}
		seen[n] = true
	}

	// After an upgrade of the template.
	db.Calm()
	other.Calm()
	old := schemaNumber(t, address, "template_spare")
	query(t, address, `DELETE FROM template_spare.postern_version WHERE version_id = (SELECT max(version_id) FROM template_spare.postern_version)`)
	if n := create(db, "t_upgraded"); n == old {
		t.Error("a tenant was given old tables")
	}
	next := spared(t, address, old)
	if n := create(db, "t_later"); n != next {
		t.Error("what replaced them was not used")
	}

	// A name that is taken, and a tenant that is not made, cost nothing.
	db.Calm()
	if next = schemaNumber(t, address, "template_spare"); next == 0 {
		t.Fatal("there is no spare schema")
	}
	query(t, address, `CREATE SCHEMA t_taken`)
	var refused *core.FieldError
	if _, err := db.CreateTenant(ctx, "t_taken", "x"); !errors.As(err, &refused) || refused.Field != "schema_name" {
		t.Errorf("made in another program's schema: %v", err)
	}
	if n := schemaNumber(t, address, "template_spare"); n != next {
		t.Error("what was made beforehand is lost")
	}
	if n := create(db, "t_last"); n != next {
		t.Error("what was made beforehand was not used")
	}
}

// A schema of that name that another program made is left alone.
func TestPostgresForeignSpare(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	query(t, address, `CREATE SCHEMA template_spare`)
	query(t, address, `CREATE TABLE template_spare.theirs (n int)`)
	before := schemaNumber(t, address, "template_spare")
	db := open(t, sqldb.Options{URL: address})
	for _, id := range []core.TenantID{"t_a", "t_b"} {
		_, err := db.CreateTenant(t.Context(), id, "x")
		must(t, err)
		db.Calm()
	}
	var n int
	must(t, one(t, address, `SELECT count(*) FROM template_spare.theirs`, &n))
	if schemaNumber(t, address, "template_spare") != before {
		t.Error("it was replaced")
	}
}
