package sqldb_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// catalog describes a schema as PostgreSQL knows it, a line for each thing, without the
// schema's own name.
func catalog(t *testing.T, address, schema string) []string {
	t.Helper()
	db, err := sql.Open("pgx", address)
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`SET search_path = pg_catalog`) // so that all is printed in full
	must(t, err)
	var out []string
	for what, query := range map[string]string{
		"relation": `SELECT concat_ws(' ', relname, relkind, relpersistence, relhasindex, relhasrules, relhastriggers, relrowsecurity, reloptions)
			FROM pg_class WHERE relnamespace = to_regnamespace($1)`,
		"column": `SELECT concat_ws(' ', c.relname, a.attname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod), 'not null:', a.attnotnull,
				'collation:', l.collname, 'identity:', a.attidentity, 'generated:', a.attgenerated, 'storage:', a.attstorage, 'default:', pg_get_expr(d.adbin, d.adrelid))
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
				LEFT JOIN pg_collation l ON l.oid = a.attcollation
			WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped`,
		"constraint": `SELECT concat_ws(' ', t.relname, k.conname, k.contype, k.condeferrable, k.convalidated, pg_get_constraintdef(k.oid))
			FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid WHERE k.connamespace = to_regnamespace($1)`,
		"index":    `SELECT concat_ws(' ', tablename, indexname, indexdef) FROM pg_indexes WHERE schemaname = $1`,
		"sequence": `SELECT concat_ws(' ', sequencename, data_type, start_value, min_value, max_value, increment_by, cycle, last_value) FROM pg_sequences WHERE schemaname = $1`,
		"trigger": `SELECT concat_ws(' ', c.relname, t.tgname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
			WHERE c.relnamespace = to_regnamespace($1) AND NOT t.tgisinternal`,
		"owner": `SELECT concat_ws(' ', c.relname, pg_get_userbyid(c.relowner), c.relacl) FROM pg_class c WHERE c.relnamespace = to_regnamespace($1)`,
	} {
		lines := texts(t, db, query, schema)
		for _, line := range lines {
			out = append(out, what+" "+strings.ReplaceAll(line, schema+".", "X."))
		}
		if len(lines) == 0 && what != "trigger" {
			t.Errorf("the schema %s has no %s", schema, what)
		}
	}
	for _, table := range []string{"counters", "meta", "postern_version", "postern_sessions_version"} {
		columns := "name, value"
		if strings.HasSuffix(table, "version") {
			columns = "version_id, is_applied"
		}
		for _, line := range texts(t, db, `SELECT concat_ws(' ', `+columns+`) FROM `+schema+`.`+table) {
			out = append(out, "row of "+table+" "+line)
		}
	}
	slices.Sort(out)
	return out
}

// texts are the rows of one column.
func texts(t *testing.T, db *sql.DB, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		must(t, rows.Scan(&text))
		out = append(out, text)
	}
	must(t, rows.Err())
	return out
}

// differences are the lines that only one of two has.
func differences(a, b []string) (out []string) {
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out = append(out, "+ "+line)
		}
	}
	return out
}

// A clone is, in all that the catalog knows, what the migrations make. As a control, a
// clone that lacks something is not.
func TestPostgresClone(t *testing.T) {
	server := storagetest.StartPostgres(t)
	address := server.Create(t)
	db := open(t, sqldb.Options{URL: address})
	// The same migrations, run in a schema of its own.
	migrated := server.Create(t)
	again(t, sqldb.Options{URL: migrated + searchPath(migrated, "migrated")}, func(*sqldb.DB) {})
	for _, statement := range []string{`DELETE FROM meta`, `UPDATE counters SET value = 0`} {
		query(t, migrated, strings.NewReplacer("FROM ", "FROM migrated.", "UPDATE ", "UPDATE migrated.").Replace(statement))
	}
	want := catalog(t, migrated, "migrated")
	if len(want) < 400 {
		t.Fatalf("the catalog has %d lines only", len(want))
	}
	must(t, db.Clone(t.Context(), "t_clone", func(text string) string { return text }))
	if d := differences(want, catalog(t, address, "t_clone")); len(d) > 0 {
		t.Errorf("a clone differs from what migrations make:\n%s", strings.Join(d, "\n"))
	}
	for name, change := range map[string][2]string{
		"no foreign keys":              {`'u', 'x', 'f')`, `'u', 'x')`},
		"no indexes":                   {`WHERE c.relnamespace = source::regnamespace` + "\n\t\t\tAND NOT", "WHERE false\n\t\t\tAND NOT"},
		"no defaults":                  {`INCLUDING DEFAULTS `, ``},
		"no sequences":                 {`PERFORM setval(`, `PERFORM concat(`},
		"no rows":                      {` SELECT * FROM %I.%I'`, ` SELECT * FROM %I.%I LIMIT 0'`},
		"foreign keys to the template": {` REFERENCES %I.', target`, ` REFERENCES %I.', source`},
	} {
		schema := "t_" + strings.ReplaceAll(name, " ", "")
		changed := false
		must(t, db.Clone(t.Context(), schema, func(text string) string {
			out := strings.Replace(text, change[0], change[1], 1)
			changed = out != text
			return out
		}))
		if !changed {
			t.Errorf("%s: the text is no longer there", name)
		}
		if d := differences(want, catalog(t, address, schema)); len(d) == 0 {
			t.Errorf("control: a clone with %s looks like a migrated schema", name)
		}
	}
}

// searchPath names the schema of the default tenant in a URL.
func searchPath(address, schema string) string {
	if strings.Contains(address, "?") {
		return "&search_path=" + schema
	}
	return "?search_path=" + schema
}

// A tenant that is made has what a migrated one has, under IDs of its own, and the
// template stays empty.
func TestPostgresClonedTenant(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	opt := sqldb.Options{URL: address, Mappings: []core.PropertyMapping{{Kind: core.MappingScope, Managed: "m/email", Name: "email", Expression: "return {}"}},
		NewKeyPair: func() (*core.KeyPair, error) {
			return &core.KeyPair{Certificate: core.RandomAlphanumeric(8), PrivateKey: "p"}, nil
		}}
	again(t, opt, func(db *sqldb.DB) {
		for _, id := range []core.TenantID{"t_a", "t_b"} {
			_, err := db.CreateTenant(t.Context(), id, string(id))
			must(t, err)
		}
		for _, q := range []string{`SELECT id FROM users`, `SELECT id FROM groups`, `SELECT id FROM mappings`, `SELECT id FROM key_pairs`, `SELECT certificate FROM key_pairs`} {
			var all []string
			for _, id := range []core.TenantID{"public", "t_a", "t_b"} {
				s, err := db.Text(t.Context(), id, q)
				must(t, err)
				all = append(all, s)
			}
			slices.Sort(all)
			if len(slices.Compact(all)) != 3 {
				t.Errorf("%s: %q are not three", q, all)
			}
		}
		for _, table := range []string{"users", "groups", "mappings", "key_pairs", "tenants", "outbox"} {
			if n, err := db.Text(t.Context(), "public", `SELECT CAST(count(*) AS TEXT) FROM template.`+table); n != "0" || err != nil {
				t.Errorf("the template has %s rows of %s, %v", n, table, err)
			}
		}
	})
	// Nothing is left to migrate, or to seed, in a clone.
	again(t, opt, func(db *sqldb.DB) {
		before, err := db.LastChange(t.Context(), "t_a")
		must(t, err)
		_, err = db.UserByName(t.Context(), "t_a", "akadmin")
		must(t, err)
		if after, err := db.LastChange(t.Context(), "t_a"); after != before || err != nil {
			t.Errorf("the outbox went from %d to %d, %v", before, after, err)
		}
	})
}

// Schemas that somebody else made are neither used nor dropped.
func TestPostgresStrangersSchemas(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	db := open(t, sqldb.Options{URL: address})
	query(t, address, `CREATE SCHEMA template; CREATE TABLE template.theirs (id INT)`)
	if _, err := db.CreateTenant(t.Context(), "t_b", "B"); err == nil || !strings.Contains(err.Error(), "template.theirs") {
		t.Errorf("error %v", err)
	}
	query(t, address, `DROP SCHEMA template CASCADE; CREATE SCHEMA t_b; CREATE TABLE t_b.theirs (id INT)`)
	for range 2 {
		_, err := db.CreateTenant(t.Context(), "t_b", "B")
		var field *core.FieldError
		if !errors.As(err, &field) || field.Field != "schema_name" || errors.Is(err, core.ErrExists) {
			t.Errorf("error %v", err)
		}
	}
	if err := db.DeleteTenant(t.Context(), "t_b", "none"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	query(t, address, `SELECT * FROM t_b.theirs`)
	_, err := db.CreateTenant(t.Context(), "t_c", "C") // the refusals left nothing behind
	must(t, err)
}

// What one node deletes is gone on the others, with all that they remember of it; none
// makes its schema again, and none takes the database for one that is away.
func TestPostgresDeletedElsewhere(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	a, b := open(t, sqldb.Options{URL: address}), open(t, sqldb.Options{URL: address})
	ctx := t.Context()
	dropped := make(chan struct{}, 100)
	b.OnChange = func(id core.TenantID, changes []core.Change) {
		if id == "t_b" && slices.ContainsFunc(changes, func(c core.Change) bool { return c.Kind == core.ChangedAny }) {
			dropped <- struct{}{}
		}
	}
	t.Cleanup(a.Follow(ctx))
	t.Cleanup(b.Follow(ctx))
	var last string
	for round := range 3 {
		_, err := a.CreateTenant(ctx, "t_b", "B")
		must(t, err)
		var tenant *core.Tenant
		eventually(t, "the other node knows the tenant", func() error { tenant, err = b.Tenant(ctx, "t_b"); return err })
		if tenant.UUID == last {
			t.Error("the UUID was used before")
		}
		last = tenant.UUID
		must(t, b.CreateUser(ctx, "t_b", &core.User{UserName: fmt.Sprint("user of round ", round)}))
		must(t, a.DeleteTenant(ctx, "t_b", tenant.UUID))
		eventually(t, "the other node forgets it", func() error {
			if _, err := b.UserByName(ctx, "t_b", "akadmin"); !errors.Is(err, core.ErrNotFound) {
				return fmt.Errorf("error %w", err)
			}
			if left := b.Remembered("t_b"); left != "" {
				return errors.New("it remembers " + left)
			}
			return nil
		})
		select {
		case <-dropped:
		case <-time.After(time.Minute):
			t.Fatal("the other node's caches were not told")
		}
		var n int
		must(t, one(t, address, `SELECT count(*) FROM pg_namespace WHERE nspname = 't_b'`, &n))
		if n != 0 {
			t.Error("the schema is back")
		}
		if _, late := b.Behind(); late {
			t.Error("the database counts as away")
		}
		must(t, b.Ping(ctx))
	}
}

// eventually waits until f has no objection.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// one reads one value past everything.
func one(t *testing.T, address, query string, into any) error {
	t.Helper()
	db, err := sql.Open("pgx", address)
	must(t, err)
	defer db.Close()
	return db.QueryRow(query).Scan(into)
}
