package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/postern-sso/postern/storage/sqldb"
)

// A connection keeps its statements: each is prepared once, also while its own rows are
// open, and what was kept notices that a table changed.
func TestStatementsAreKept(t *testing.T) {
	db, err := sqldb.OpenConns("file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "x.db")))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	c, err := db.Conn(ctx)
	must(t, err)
	defer c.Close()
	exec := func(query string, args ...any) {
		t.Helper()
		_, err := c.ExecContext(ctx, query, args...)
		must(t, err)
	}
	count := func() (n int) {
		t.Helper()
		must(t, c.QueryRowContext(ctx, `SELECT count(*) FROM a`).Scan(&n))
		return n
	}
	exec(`CREATE TABLE a (x INTEGER); CREATE TABLE b (x INTEGER)`) // a script
	for i := range 3 {
		exec(`INSERT INTO a (x) VALUES ($1)`, i)
	}
	if n := count(); n != 3 {
		t.Fatalf("%d rows", n)
	}
	if n := sqldb.KeptStatements(t, c); n != 2 {
		t.Errorf("%d statements are kept, want 2: the INSERT and the SELECT, not the script", n)
	}
	// The same query within its own rows.
	const list = `SELECT x FROM a ORDER BY x`
	each := func(f func(x int)) {
		t.Helper()
		rows, err := c.QueryContext(ctx, list)
		must(t, err)
		defer rows.Close()
		for rows.Next() {
			var x int
			must(t, rows.Scan(&x))
			f(x)
		}
		must(t, rows.Err())
	}
	var pairs []string
	each(func(x int) { each(func(y int) { pairs = append(pairs, fmt.Sprint(x, y)) }) })
	if len(pairs) != 9 || pairs[8] != "2 2" {
		t.Errorf("rows within rows: %q", pairs)
	}
	// A failed statement leaves nothing behind.
	if _, err := c.ExecContext(ctx, `INSERT INTO nowhere VALUES (1)`); err == nil {
		t.Error("control: a wrong statement was taken")
	}
	// A table that changed under a kept statement.
	exec(`DROP TABLE a`)
	exec(`CREATE TABLE a (y TEXT, x INTEGER)`)
	if n := count(); n != 0 {
		t.Errorf("%d rows in the new table", n)
	}
	// There is an end to what is kept.
	for i := range 1000 {
		var n int
		must(t, c.QueryRowContext(ctx, fmt.Sprintf(`SELECT %d`, i)).Scan(&n))
		if n != i {
			t.Fatalf("query %d gave %d", i, n)
		}
	}
	if n := sqldb.KeptStatements(t, c); n > 128 {
		t.Errorf("%d statements are kept", n)
	}
	if err := c.QueryRowContext(ctx, `SELECT x FROM a`).Scan(new(int)); err != sql.ErrNoRows {
		t.Error(err)
	}
}
