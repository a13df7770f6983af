package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// shape is a table and what its rows must keep to, as the schema says.
type shape struct {
	table
	part    part
	null    map[string]bool
	unique  [][]string // sets of columns, the primary key among them
	indexed map[string]bool
	foreign map[string][2]string // column to table and column
}

// shapes are those of all tables, each after those that it refers to.
func shapes(ctx context.Context) ([]shape, error) {
	var all []shape
	for p := range parts {
		of, err := shapesOf(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	var out []shape
	done := map[string]bool{}
	for len(all) > 0 {
		before := len(all)
		all = slices.DeleteFunc(all, func(s shape) bool {
			for _, to := range s.foreign {
				if !done[to[0]] && to[0] != s.name {
					return false
				}
			}
			out, done[s.name] = append(out, s), true
			return true
		})
		if len(all) == before {
			return nil, errors.New("tables refer to each other in a circle")
		}
	}
	return out, nil
}

func shapesOf(ctx context.Context, p part) ([]shape, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db, sqliteDialect, migrationSet{part: p}); err != nil {
		return nil, err
	}
	tables, err := sqliteTables(ctx, db)
	if err != nil {
		return nil, err
	}
	var out []shape
	for _, t := range tables {
		s := shape{table: t, part: p, null: map[string]bool{}, indexed: map[string]bool{}, foreign: map[string][2]string{}, unique: [][]string{t.key}}
		each := func(query string, f func(a, b, c string)) {
			rows, qerr := db.QueryContext(ctx, query, t.name)
			if qerr != nil {
				err = errors.Join(err, qerr)
				return
			}
			defer rows.Close()
			for rows.Next() {
				var a, b, c string
				err = errors.Join(err, rows.Scan(&a, &b, &c))
				f(a, b, c)
			}
			err = errors.Join(err, rows.Err())
		}
		each(`SELECT name, "notnull", 1 FROM pragma_table_info($1)`, func(a, b, _ string) { s.null[a] = b == "0" })
		each(`SELECT "from", "table", coalesce("to", '') FROM pragma_foreign_key_list($1)`, func(a, b, c string) { s.foreign[a] = [2]string{b, c} })
		sets := map[string][]string{}
		each(`SELECT l.name, i.name, l."unique" FROM pragma_index_list($1) l, pragma_index_info(l.name) i WHERE i.name IS NOT NULL`, func(a, b, c string) {
			s.indexed[b] = true
			if c == "1" {
				sets[a] = append(sets[a], b)
			}
		})
		for _, columns := range sets {
			s.unique = append(s.unique, columns)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Populate puts n random rows, or as many as references leave room for, into every
// table that the schema has. It knows nothing of what they mean.
func (db *DB) Populate(ctx context.Context, t core.TenantID, r *rand.Rand, n int) error {
	all, err := shapes(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.name == "tenants" || s.name == "domains" && t != core.DefaultTenant {
			continue // the registry: CreateTenant writes it, and only the default tenant has one
		}
		err := db.rawWrite(ctx, t, s.part, "populate "+s.name, func(x *tx) error { return x.populate(ctx, s, r, n) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *tx) populate(ctx context.Context, s shape, r *rand.Rand, n int) error {
	parents := map[string][]any{}
	for column, to := range s.foreign {
		err := x.each(ctx, func(row scanner) error {
			var v any
			err := row.Scan(&v)
			parents[column] = append(parents[column], v)
			return err
		}, `SELECT `+quote(to[1])+` FROM `+quote(to[0]))
		if err != nil {
			return err
		}
	}
	used := map[string]bool{}
	for i := range n {
		for range 20 {
			values := make([]any, len(s.columns))
			for j, c := range s.columns {
				switch {
				case s.null[c.Name] && i%3 == 1:
				case parents[c.Name] != nil:
					values[j] = parents[c.Name][r.IntN(len(parents[c.Name]))]
				default:
					values[j] = randomValue(r, c.Kind, s.indexed[c.Name], i)
				}
			}
			if s.taken(used, values) {
				continue
			}
			marks := make([]string, len(values))
			for j := range values {
				marks[j] = fmt.Sprint("$", j+1)
			}
			query := `INSERT INTO ` + quote(s.name) + ` (` + quoteAll(columnNames(s.columns)) + `) VALUES (` + strings.Join(marks, ", ") + `) ON CONFLICT DO NOTHING`
			if err := x.exec(ctx, query, values...); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// taken reports whether a unique set of values is there already, and notes it.
func (s *shape) taken(used map[string]bool, values []any) bool {
	var keys []string
	for _, set := range s.unique {
		key := fmt.Sprint(set)
		for i, c := range s.columns {
			if slices.Contains(set, c.Name) {
				key += fmt.Sprintf("\x00%v", values[i])
				if values[i] == nil {
					key = ""
					break
				}
			}
		}
		if key != "" && used[key] {
			return true
		}
		keys = append(keys, key)
	}
	for _, key := range keys {
		used[key] = key != ""
	}
	return false
}

func randomValue(r *rand.Rand, kind string, indexed bool, i int) any {
	switch kind {
	case "int":
		if extreme := []int64{math.MaxInt64, math.MinInt64, -1}; i < len(extreme) {
			return extreme[i]
		}
		return r.Int64() - r.Int64()
	case "bool":
		return i%2 == 0
	case "bytes":
		n := r.IntN(100)
		if !indexed && i == 3 && r.IntN(10) == 0 {
			n = 300_000
		}
		b := make([]byte, n, n+8)
		for j := range b {
			b[j] = byte(r.IntN(256))
		}
		if indexed {
			b = fmt.Appendf(b, "%08x", r.Uint32())
		}
		return b
	}
	n := r.IntN(30)
	if !indexed && i == 3 {
		n = 1000
		if r.IntN(40) == 0 {
			n = 100_000
		}
	}
	runes := []rune("aZ09 \t\n\r\"'\\%_{}[],:;$\u007f\u0080äßİı€あ😀\u202e\ufeff\U0010ffff\u0001")
	var b strings.Builder
	for range n {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	if indexed || i == 0 {
		fmt.Fprintf(&b, "%08x", r.Uint32())
	}
	return b.String()
}

// Unpopulated names the columns of which the backup of a tenant could lose something
// without a test's notice: no row has a value there, or none is empty where one may be.
func (db *DB) Unpopulated(ctx context.Context, t core.TenantID) ([]string, error) {
	all, err := shapes(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range all {
		err := db.rawRead(ctx, t, s.part, "look", func(q *conn) error {
			for _, c := range s.columns {
				var full, null int
				zero := map[string]string{"int": "0", "bool": "$1", "bytes": "$1", "text": "''"}[c.Kind]
				var args []any
				switch c.Kind {
				case "bool":
					args = []any{false}
				case "bytes":
					args = []any{[]byte{}}
				}
				name := quote(c.Name)
				err := q.row(ctx, `SELECT count(CASE WHEN `+name+` <> `+zero+` THEN 1 END), count(CASE WHEN `+name+` IS NULL THEN 1 END) FROM `+quote(s.name), args...).Scan(&full, &null)
				if err != nil {
					return err
				}
				if full == 0 {
					out = append(out, s.name+"."+c.Name)
				}
				if s.null[c.Name] && null == 0 {
					out = append(out, s.name+"."+c.Name+" is never NULL")
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Columns are all that the schema has.
func Columns(ctx context.Context) (out []string, err error) {
	all, err := shapes(ctx)
	for _, s := range all {
		for _, c := range s.columns {
			out = append(out, s.name+"."+c.Name)
		}
	}
	return out, err
}

// Spoil changes one column of one row of a tenant, whatever it is.
func (db *DB) Spoil(ctx context.Context, t core.TenantID, column string) error {
	name, col, _ := strings.Cut(column, ".")
	all, err := shapes(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.name != name {
			continue
		}
		for _, c := range s.columns {
			if c.Name != col {
				continue
			}
			value := map[string]string{"int": `%s - 7`, "bool": `NOT %s`, "text": `%s || 'x'`, "bytes": `x'00'`}[c.Kind]
			if c.Kind == "int" {
				value = `CASE WHEN %[1]s > 0 THEN %[1]s - 7 ELSE %[1]s + 7 END`
			}
			if strings.Contains(value, "%") {
				value = fmt.Sprintf(value, quote(col))
			}
			where := ` WHERE rowid = (SELECT rowid FROM ` + quote(name) + ` WHERE ` + quote(col) + ` IS NOT NULL LIMIT 1)`
			return db.rawWrite(ctx, t, s.part, "spoil", func(x *tx) error {
				if err := x.exec(ctx, `PRAGMA defer_foreign_keys = 1`); err != nil {
					return err
				}
				return x.must(ctx, `UPDATE `+quote(name)+` SET `+quote(col)+` = `+value+where)
			})
		}
	}
	return fmt.Errorf("no column %s", column)
}
