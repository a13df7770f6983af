package sqldb_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
)

// L-15: ten thousand users with their groups, logins, grants and a year of events come
// back in less than a minute. The test says how long it took; how fast a machine is,
// is no fault of the code.
func TestTenThousandUsers(t *testing.T) {
	const counted = `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10000) `
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			var file bytes.Buffer
			again(t, opt, func(db *sqldb.DB) {
				must(t, db.CreateGroup(t.Context(), "public", &core.Group{Name: "all"}, nil))
				for _, query := range []string{
					`INSERT INTO users (id, pk, username, username_fold, name, name_fold, email, email_fold, email_verified, active, type, path, path_fold, attributes, password_hash, password_changed, last_login, created, updated)
					` + counted + `SELECT 'u' || n, 1000 + n, 'user' || n, 'user' || n, 'User ' || n, 'user ' || n, 'user' || n || '@example.com', 'user' || n || '@example.com', 1 = 1, 1 = 1,
					'internal', 'users', 'users', '{"department": "d' || n || '"}', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$' || n, 1, 1, 1, 1 FROM c`,
					`INSERT INTO user_attributes (user_id, pair) ` + counted + `SELECT 'u' || n, 'pair' || n FROM c`,
					`INSERT INTO memberships (user_id, group_id) ` + counted + `SELECT 'u' || n, (SELECT id FROM groups WHERE name = 'all') FROM c`,
					`INSERT INTO grants (id, client_id, user_id, session_id, scopes, nonce, auth_time, amr, acr, created, expires) ` + counted + `SELECT 'g' || n, 'c', 'u' || n, 's' || n, '[]', '', 1, '[]', '', 1, 1 FROM c`,
					`INSERT INTO outbox (seq, kind, object_id, op, at) ` + counted + `SELECT 1000 + n, 'user', 'u' || n, 'create', 1 FROM c`,
					`INSERT INTO events (id, at, action, user_id, username, application_id, address, message, context) ` +
						`WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT 'e' || n, n, 'login', 'u' || n, 'user', '', '192.0.2.1', '', '{"a": ' || n || '}' FROM c`,
				} {
					must(t, db.Exec(t.Context(), "public", query))
				}
				start := time.Now()
				must(t, db.Backup(t.Context(), &file, sqldb.BackupOptions{}))
				t.Logf("backup: %v, %d bytes", time.Since(start).Round(time.Millisecond), file.Len())
			})
			for to, into := range places() {
				target := into(t)
				start := time.Now()
				must(t, restore(t.Context(), target, file.Bytes(), sqldb.RestoreOptions{}))
				t.Logf("restore into %s: %v", to, time.Since(start).Round(time.Millisecond))
				again(t, target, func(db *sqldb.DB) {
					if _, n, err := db.ListUsers(t.Context(), "public", api.Query{Limit: 1}); err != nil || n != 10_001 {
						t.Errorf("%d users, %v", n, err)
					}
				})
			}
		})
	}
}
