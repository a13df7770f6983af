package sqldb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/postern-sso/postern/core"
)

// Invariants that hold whatever process ended when: each query finds what breaks one.
var directoryInvariants = []string{
	`SELECT 'name twice: ' || username_fold FROM users GROUP BY username_fold HAVING count(*) > 1`,
	// NOT IN, and no NOT EXISTS: it is looked for in thousands of lines, and SQLite makes an index for the first.
	`SELECT 'user without a line in the outbox: ' || username FROM users WHERE id NOT IN
		(SELECT object_id FROM outbox WHERE kind = 'user' AND op = 'create')`,
	`SELECT 'line without its user: ' || object_id FROM outbox WHERE kind = 'user' AND op = 'create'
		AND object_id NOT IN (SELECT id FROM users)
		AND object_id NOT IN (SELECT object_id FROM outbox WHERE kind = 'user' AND op = 'delete')`,
	`SELECT 'deleted and there: ' || username FROM users WHERE id IN
		(SELECT object_id FROM outbox WHERE kind = 'user' AND op = 'delete')`,
	`SELECT 'revoked and there: ' || id FROM grants WHERE id IN
		(SELECT object_id FROM outbox WHERE kind = 'grant' AND op = 'delete')`,
	`SELECT 'group without a line in the outbox: ' || name FROM groups WHERE id NOT IN
		(SELECT object_id FROM outbox WHERE kind = 'group' AND op = 'create')`,
	`SELECT 'user without its group: ' || username FROM users WHERE NOT EXISTS (SELECT 1 FROM memberships WHERE user_id = users.id)`,
	`SELECT 'user without its attribute: ' || username FROM users WHERE attributes <> '{}' AND NOT EXISTS
		(SELECT 1 FROM user_attributes WHERE user_id = users.id)`,
	`SELECT 'used refresh token without successor: ' || grant_id FROM refresh_tokens GROUP BY grant_id
		HAVING sum(CASE WHEN used <> 0 THEN 1 ELSE 0 END) >= count(*)`,
	`SELECT 'a hole in the outbox' FROM counters WHERE name = 'outbox' AND (value <> (SELECT count(*) FROM outbox) OR value <> (SELECT max(seq) FROM outbox))`,
	`SELECT 'the next PK is taken' FROM counters WHERE name = 'user' AND value < (SELECT max(pk) FROM users)`,
	`SELECT 'not seeded once: ' || username FROM users GROUP BY username HAVING username = 'akadmin' AND count(*) <> 1`,
	`SELECT 'a default mapping is missing' WHERE (SELECT count(*) FROM mappings) <> 2`,
	`SELECT 'the key pair is missing' WHERE (SELECT count(*) FROM key_pairs) <> 1`,
	`SELECT 'the administrator is missing' WHERE (SELECT count(*) FROM users WHERE username = 'akadmin') <> 1`,
}

var sessionInvariants = []string{
	`SELECT 'outlived its login: ' || c.id FROM sessions c JOIN sessions p ON p.id = c.parent_id WHERE c.ended = 0 AND p.ended <> 0`,
}

var fileInvariants = []string{
	`SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'`,
	`SELECT 'foreign key: ' || "table" FROM pragma_foreign_key_check`,
}

// Broken lists what is wrong with a tenant. With deep set, SQLite checks its files too.
func (db *DB) Broken(ctx context.Context, t core.TenantID, deep bool) (out []string) {
	for p, list := range [parts][]string{directory: directoryInvariants, sessions: sessionInvariants} {
		if deep && !db.engine.shared() {
			list = append(list[:len(list):len(list)], fileInvariants...)
		}
		for _, query := range list {
			err := db.read(ctx, t, part(p), "check", func(q *conn) error {
				return q.each(ctx, func(r scanner) error {
					var s string
					err := r.Scan(&s)
					out = append(out, s)
					return err
				}, query)
			})
			if err != nil {
				out = append(out, fmt.Sprint(query, ": ", err))
			}
		}
	}
	return out
}

// Unsynced turns a tenant's fsync off: a control for tests of a power cut.
func (db *DB) Unsynced(ctx context.Context, t core.TenantID) error {
	for p := range parts {
		c, release, err := db.engine.conn(ctx, t, p, true)
		if err != nil {
			return err
		}
		_, err = c.ExecContext(ctx, `PRAGMA synchronous = OFF`)
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Downgrade takes an open directory's default tenant back to the version before, as the last
// migrations' own Down says.
func Downgrade(ctx context.Context, path string) (err error) {
	files, newest, err := migrationFiles(sqliteDialect, migrationSet{part: directory})
	if err != nil {
		return err
	}
	if newest < 2 {
		return errors.New("there is no version before")
	}
	db, err := openFile(path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := goose.NewProvider(sqliteDialect, db, files, goose.WithTableName(directory.versionTable()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.DownTo(ctx, 1)
	return err
}

// Copy notes what a tenant's directory holds; what it returns puts it back.
func (db *DB) Copy(t testing.TB, id core.TenantID) (back func()) {
	t.Helper()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "copy.db")
	c, release, err := db.engine.conn(ctx, id, directory, true)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := c.ExecContext(ctx, `VACUUM INTO '`+path+`'`); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		c, release, err := db.engine.conn(ctx, id, directory, true)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		for _, query := range []string{`PRAGMA foreign_keys = 0`, `ATTACH '` + path + `' AS kept`} {
			if _, err := c.ExecContext(ctx, query); err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range []string{"counters", "users", "user_attributes", "groups", "memberships", "key_pairs", "mappings",
			"grants", "codes", "refresh_tokens", "links", "events", "outbox"} {
			for _, query := range []string{`DELETE FROM ` + table, `INSERT INTO ` + table + ` SELECT * FROM kept.` + table} {
				if _, err := c.ExecContext(ctx, query); err != nil {
					t.Fatal(query, err)
				}
			}
		}
		for _, query := range []string{`DETACH kept`, `PRAGMA foreign_keys = 1`} {
			if _, err := c.ExecContext(ctx, query); err != nil {
				t.Fatal(err)
			}
		}
	}
}
