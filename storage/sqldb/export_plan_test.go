package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// few are tables that stay small whatever a directory holds.
func few() []string {
	return []string{"meta", "counters", "tenants", "domains", "brands", "brand_certificates", "settings"}
}

// seedStart is the first number of a seeded row, past those that every directory has.
const seedStart = 1000

// seedValues are the columns whose values are not all different, by name or by table
// and name, with the row's number as i. Times are about the one of storagetest's clock.
func seedValues() map[string]string {
	const now = "1772366400000000"
	ahead, ago := now+" + i * 60000000", now+" - i * 60000000"
	return map[string]string{
		"expires": ahead, "verifies_until": ahead, "signs_until": ago, "at": ago, "created": ago, "updated": ago, "last_seen": ago, "last_login": ago,
		"password_changed": ago, "auth_time": ago, "newest": ago, "signs_from": ago,
		"used": "0", "ended": "0", "idle": "3600000000000", "warned": "0", "failures": "1", "position": "i % 5", "timeout": "30",
		"kind": "CASE i % 3 WHEN 0 THEN 'scope' ELSE 'k' END", "type": "CASE i % 9 WHEN 0 THEN 'external' ELSE 'internal' END", "intent": "CASE i % 9 WHEN 0 THEN 'api' ELSE 'app_password' END",
		"purpose": "'recovery'", "path": "'users/' || CAST(i / 50 AS TEXT)", "path_fold": "'users/' || CAST(i / 50 AS TEXT)", "parent_id": "CASE i % 2 WHEN 0 THEN '' ELSE 'sessions.id-' || CAST(i - 1 AS TEXT) END",
		"group_parents.parent_id": "'groups.id-' || CAST(i / 10 * 10 + 1 AS TEXT)",
		"action":                  "'action-' || CAST(i % 8 AS TEXT)", "sub_mode": "'hashed_user_id'", "issuer_mode": "'per_provider'", "client_type": "'confidential'",
		"mode": "'forward_single'", "groups.superuser": "(i % 500 = 0)", "model_app": "'app'", "model_name": "'model'", "permission": "'permission-' || CAST(i % 90 AS TEXT)",
		"caddy_files.path": "'c/ca/' || CAST(i AS TEXT)", "refresh_tokens.used": "CASE i % 2 WHEN 0 THEN 0 ELSE " + ago + " END", "refresh_tokens.answer": "NULL",
	}
}

// Seed puts n rows into every table that may grow, each a statement, and counts them.
// With analyze, the planner is told how they are distributed.
func (db *DB) Seed(ctx context.Context, t core.TenantID, n int, analyze bool) error {
	all, err := shapes(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if slices.Contains(few(), s.name) {
			continue
		}
		values := make([]string, len(s.columns))
		for i, c := range s.columns {
			values[i] = db.seedValue(&s, c.Name, c.Kind)
		}
		query := fmt.Sprintf(`INSERT INTO %s (%s) WITH RECURSIVE n (i) AS (SELECT CAST(%d AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			SELECT %s FROM n WHERE 1 = 1 ON CONFLICT DO NOTHING`,
			quote(s.name), quoteAll(columnNames(s.columns)), seedStart, seedStart+n-1, strings.Join(values, ", "))
		err := db.rawWrite(ctx, t, s.part, "seed "+s.name, func(x *tx) error {
			if db.engine.joined() { // else a vacuum in between changes what is quickest
				if err := x.exec(ctx, `ALTER TABLE `+quote(s.name)+` SET (autovacuum_enabled = false)`); err != nil {
					return err
				}
			}
			rows, err := x.count(ctx, query)
			if err == nil && rows != int64(n) {
				err = fmt.Errorf("%d rows of %d", rows, n)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for p := range parts {
		if !analyze || p != directory && db.engine.joined() {
			break
		}
		if err := db.rawWrite(ctx, t, p, "analyze", func(x *tx) error { return x.exec(ctx, `ANALYZE`) }); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) seedValue(s *shape, column, kind string) string {
	row := "CAST(i AS TEXT)"
	values := seedValues()
	if v, ok := values[s.name+"."+column]; ok {
		return v
	}
	if to, ok := s.foreign[column]; ok {
		number := "i"
		if !slices.ContainsFunc(s.unique, func(set []string) bool { return set[0] == column }) {
			number = "i / 10 * 10" // ten rows share it
		}
		if row = "CAST(" + number + " AS TEXT)"; kind == "int" {
			return number
		}
		return "'" + to[0] + "." + to[1] + "-' || " + row
	}
	if v, ok := values[column]; ok {
		return v
	}
	switch kind {
	case "int":
		return "i"
	case "bool":
		return "(i % 2 = 0)"
	case "bytes":
		if db.engine.joined() {
			return "decode(md5(CAST(i AS TEXT)), 'hex')"
		}
		return "CAST('bytes-' || CAST(i AS TEXT) AS BLOB)"
	}
	return "'" + s.name + "." + column + "-' || " + row
}

// Explain is how the database would run a statement: the lines of SQLite's EXPLAIN QUERY
// PLAN, or PostgreSQL's JSON.
func (db *DB) Explain(ctx context.Context, t core.TenantID, query string, args []any) (out []string, err error) {
	if db.engine.joined() {
		var plan string
		err := db.rawWrite(ctx, t, directory, "explain", func(x *tx) error {
			// Of a disk that seeks for nothing, as there are: whether an index serves is asked.
			if err := x.exec(ctx, `SET LOCAL random_page_cost = 1.1`); err != nil {
				return err
			}
			return x.row(ctx, `EXPLAIN (FORMAT JSON) `+query, args...).Scan(&plan)
		})
		return []string{plan}, err
	}
	for p := range parts {
		err = db.rawWrite(ctx, t, p, "explain", func(x *tx) error {
			out = nil
			return x.each(ctx, func(s scanner) error {
				var id, parent, unused int
				var detail string
				err := s.Scan(&id, &parent, &unused, &detail)
				out = append(out, detail)
				return err
			}, `EXPLAIN QUERY PLAN `+query, args...)
		})
		if err == nil || !strings.Contains(err.Error(), "no such table") {
			return out, err
		}
	}
	return out, err
}

// Few are the tables that stay small.
func Few() []string { return few() }
