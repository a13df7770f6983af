package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/storage/backup"
)

// table is a table as the database itself describes it: what walks over tables
// needs no list of them, which somebody would forget to extend.
type table struct {
	name    string
	columns []backup.Column
	key     []string // columns of the primary key
}

// goose keeps its versions in tables of its own.
func isVersionTable(name string) bool {
	return name == directory.versionTable() || name == sessions.versionTable()
}

// columnKind is how a column of a declared type is carried from one database to
// another.
func columnKind(declared string) (string, bool) {
	switch strings.ToUpper(declared) {
	case "TEXT":
		return "text", true
	case "BIGINT", "INTEGER":
		return "int", true
	case "BOOLEAN":
		return "bool", true
	case "BYTEA", "BLOB":
		return "bytes", true
	}
	return "", false
}

// collectTables reads rows of table, column, declared type and the column's place in the
// primary key (less than 1: it has none), in the order of tables and columns.
func collectTables(rows *sql.Rows) (out []table, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	places := map[string]int64{} // of the last table's key
	for rows.Next() {
		var name, column, declared string
		var place int64
		if err := rows.Scan(&name, &column, &declared, &place); err != nil {
			return nil, err
		}
		if isVersionTable(name) {
			continue
		}
		kind, ok := columnKind(declared)
		if !ok {
			return nil, fmt.Errorf("the column %s.%s is of type %s: that is no table of Postern's", name, column, declared)
		}
		if len(out) == 0 || out[len(out)-1].name != name {
			out = append(out, table{name: name})
			clear(places)
		}
		t := &out[len(out)-1]
		t.columns = append(t.columns, backup.Column{Name: column, Kind: kind})
		if place > 0 {
			places[column] = place
			t.key = append(t.key, column)
			slices.SortFunc(t.key, func(a, b string) int { return int(places[a] - places[b]) })
		}
	}
	return out, rows.Err()
}

// sqliteTables walks one file, past tables that are an index and those that it is kept in.
func sqliteTables(ctx context.Context, q queryer) ([]table, error) {
	rows, err := q.QueryContext(ctx, `SELECT t.name, c.name, c.type, c.pk FROM pragma_table_list t, pragma_table_info(t.name) c
		WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY t.name, c.cid`)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return collectTables(rows)
}

// postgresTables walks one schema, past what belongs to extensions.
func postgresTables(ctx context.Context, q queryer, schema string) ([]table, error) {
	rows, err := q.QueryContext(ctx, `SELECT c.relname, a.attname, format_type(a.atttypid, NULL),
			coalesce((SELECT array_position(i.indkey::int2[], a.attnum) + 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), 0)::bigint
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
		ORDER BY c.relname COLLATE "C", a.attnum`, schema)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return collectTables(rows)
}

// sessionTables are the names of the tables of the part sessions. PostgreSQL, where
// both parts are beside each other, cannot tell.
func sessionTables(ctx context.Context) (names map[string]bool, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // each connection has a memory of its own
	if err := migrate(ctx, db, sqliteDialect, migrationSet{part: sessions}); err != nil {
		return nil, err
	}
	tables, err := sqliteTables(ctx, db)
	names = map[string]bool{}
	for _, t := range tables {
		names[t.name] = true
	}
	return names, err
}

// quote makes a name an identifier, in both dialects.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteAll(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quote(n)
	}
	return strings.Join(out, ", ")
}

func columnNames(columns []backup.Column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}
