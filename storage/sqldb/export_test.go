package sqldb

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/backup"
)

// ConsumeCodeNaively reads a code and marks it afterwards: what ConsumeCode must
// not do. It shows that the tests of contention can fail.
func (db *DB) ConsumeCodeNaively(ctx context.Context, t core.TenantID, hash [32]byte) error {
	if _, _, err := db.Code(ctx, t, hash); err != nil {
		return err
	}
	return db.write(ctx, t, directory, "consume code", func(x *tx) error {
		return x.exec(ctx, `UPDATE codes SET used = $2 WHERE hash = $1`, hash, micros(db.now()))
	})
}

// Abandon takes a lock as a process does that is killed then, which keeps it no longer.
func (db *DB) Abandon(ctx context.Context, name string, lease time.Duration) (bool, error) {
	return db.takeLease(ctx, name, "killed", lease)
}

// LockEnd is when a lock that nobody keeps is free, in microseconds.
func (db *DB) LockEnd(ctx context.Context, name string) (end int64, err error) {
	err = db.rawRead(ctx, core.DefaultTenant, sessions, "test", func(q *conn) error {
		return q.row(ctx, `SELECT expires FROM caddy_locks WHERE name = $1`, name).Scan(&end)
	})
	return end, err
}

// StealLock gives a lock to somebody else, as if its lease had run out.
func (db *DB) StealLock(ctx context.Context, name string) error {
	return db.rawWrite(ctx, core.DefaultTenant, sessions, "test", func(x *tx) error {
		return x.must(ctx, `UPDATE caddy_locks SET owner = 'thief' WHERE name = $1`, name)
	})
}

// RenewEvery sets how often locks are kept.
func (l *Locks) RenewEvery(d time.Duration) { l.renew = d }

// Exec runs SQL in a tenant's directory, past everything.
func (db *DB) Exec(ctx context.Context, t core.TenantID, query string, args ...any) error {
	return db.rawWrite(ctx, t, directory, "test", func(x *tx) error { return x.exec(ctx, query, args...) })
}

// FillAuthRequests makes n authorization requests wait, of as many addresses.
func (db *DB) FillAuthRequests(ctx context.Context, t core.TenantID, n int, expires time.Time) error {
	return db.rawWrite(ctx, t, sessions, "test", func(x *tx) error {
		return x.exec(ctx, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO auth_requests (id, data, expires, address) SELECT 'filled' || i, $2, $3, 'address' || i FROM n`, n, []byte{}, micros(expires))
	})
}

// Text reads one text from a tenant's directory.
func (db *DB) Text(ctx context.Context, t core.TenantID, query string, args ...any) (s string, err error) {
	err = db.rawRead(ctx, t, directory, "test", func(q *conn) error { return q.row(ctx, query, args...).Scan(&s) })
	return s, err
}

// OpenTenants counts the tenants whose files are open.
func (db *DB) OpenTenants() int {
	e, ok := db.engine.(*sqliteEngine)
	if !ok {
		return -1
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}

// FillDisk makes a tenant's file refuse to grow, as a full disk does.
func (db *DB) FillDisk(ctx context.Context, t core.TenantID, full bool) error {
	query := `PRAGMA max_page_count = 1` // SQLite takes the size that it has
	if !full {
		query = `PRAGMA max_page_count = 1073741823`
	}
	return db.rawWrite(ctx, t, directory, "test", func(x *tx) error {
		var n int64
		return x.row(ctx, query).Scan(&n)
	})
}

// GroupAndBigOne writes a group, and then one that takes a megabyte, in one transaction; apart ends that between them.
func (db *DB) GroupAndBigOne(ctx context.Context, t core.TenantID, name string, apart bool) error {
	const insert = `INSERT INTO groups (id, pk, name, name_fold, superuser, attributes, created, updated) VALUES ($1, $2, $1, $1, 1 = 0, $3, 0, 0)`
	return db.rawWrite(ctx, t, directory, "test", func(x *tx) error {
		if err := x.exec(ctx, insert, name, 1_000_000+len(name), "{}"); err != nil {
			return err
		}
		if apart {
			if err := errors.Join(x.exec(ctx, `COMMIT`), x.exec(ctx, `BEGIN`)); err != nil {
				return err
			}
		}
		return x.exec(ctx, insert, name+" big", 2_000_000+len(name), strings.Repeat("x", 1<<20))
	})
}

// AgeRegistry makes the registry of tenants as old as it may get.
func (db *DB) AgeRegistry() {
	r := *db.registry.Load()
	r.read = r.read.Add(-registryAge)
	db.registry.Store(&r)
}

// ForgetPeople is what happens once another server has taken over.
func (db *DB) ForgetPeople(t core.TenantID) { db.people(t).forget() }

// EchoesLeft are the lines that are noted still where the third was read before it was noted, and then the
// follower moved on to it; the fourth it has not read.
func EchoesLeft() (left []int64) {
	const t = core.DefaultTenant
	f := &follower{began: true, places: map[core.TenantID]place{t: {seq: 1}}, echoes: map[core.TenantID]echoes{}}
	write := func(seq int64) { f.wrote(t, []core.Change{{Seq: seq}}, 0) }
	write(2)
	f.heardAgain(t, []line{{Change: core.Change{Seq: 2}}, {Change: core.Change{Seq: 3}}})
	write(3)
	write(4)
	f.moved(t, place{seq: 3})
	for seq := range f.echoes[t] {
		left = append(left, seq)
	}
	return left
}

// Trace hears of every statement. It is set before the first use.
func (db *DB) Trace(f func(core.TenantID, string, []any)) { db.trace = f }

// FollowBy says, before Follow, how often the outbox is looked at, and switches off that
// notifications are listened to, or that anything is read.
func (db *DB) FollowBy(every time.Duration, deaf, blind bool) {
	db.follower.every, db.follower.deaf, db.follower.blind = every, deaf, blind
}

// HintedBy says, before Follow, how far apart the looks are that hints ask for.
func (db *DB) HintedBy(gap time.Duration) { db.follower.hints.gap = gap }

// Hinted counts the looks that hints asked for.
func (db *DB) Hinted() int {
	db.follower.mu.Lock()
	defer db.follower.mu.Unlock()
	return db.follower.hints.seen
}

// FollowedOn says, before Follow, on which timeline the server was that was followed before.
func (db *DB) FollowedOn(timeline string) { db.follower.on.now = timeline }

// Connections bounds the pool of a PostgreSQL directory.
func (db *DB) Connections(n int) { db.engine.(*postgresEngine).pool.SetMaxOpenConns(n) }

// WithoutPooler goes on as if no pooler stood before the database.
func (db *DB) WithoutPooler() {
	db.engine.(*postgresEngine).pooler = false
	db.engine.(*postgresEngine).forgetIdle()
}

// Pragmas reads settings on a connection of a tenant's files.
func (db *DB) Pragmas(ctx context.Context, t core.TenantID, sessionsFile, write bool, names ...string) (string, error) {
	p := directory
	if sessionsFile {
		p = sessions
	}
	c, release, err := db.engine.conn(ctx, t, p, write)
	if err != nil {
		return "", err
	}
	defer release()
	var out []string
	for _, name := range names {
		var v string
		if err := c.QueryRowContext(ctx, `PRAGMA `+name).Scan(&v); err != nil {
			return "", err
		}
		out = append(out, name+"="+v)
	}
	return strings.Join(out, " "), nil
}

// StrayUsers counts the sessions whose user a backup does not have.
func (db *DB) StrayUsers(ctx context.Context) (int, error) {
	users := map[string]bool{}
	err := db.rawRead(ctx, core.DefaultTenant, directory, "test", func(q *conn) error {
		return q.each(ctx, func(s scanner) error {
			var id string
			err := s.Scan(&id)
			users[id] = true
			return err
		}, `SELECT id FROM users`)
	})
	if err != nil {
		return 0, err
	}
	n := 0
	return n, db.rawRead(ctx, core.DefaultTenant, sessions, "test", func(q *conn) error {
		return q.each(ctx, func(s scanner) error {
			var id string
			err := s.Scan(&id)
			if !users[id] {
				n++
			}
			return err
		}, `SELECT user_id FROM sessions`)
	})
}

// Later brings migrations of a version to come, and At a function that is told how
// far an upgrade or a restore is.
func Later(opt Options, more fs.FS, at func(string)) Options {
	opt.more, opt.at = more, at
	return opt
}

// Schema is the version of a tenant's tables.
func (db *DB) Schema(ctx context.Context, t core.TenantID) (out backup.Schema, err error) {
	s, err := db.engine.snapshot(ctx)
	if err != nil {
		return out, err
	}
	defer s.close()
	from, err := s.tenant(ctx, t)
	if err != nil {
		return out, err
	}
	return schemaOf(ctx, from)
}

// Stray writes a reference to a user that is not there.
func (db *DB) Stray(ctx context.Context) error {
	c, release, err := db.engine.conn(ctx, core.DefaultTenant, directory, true)
	if err != nil {
		return err
	}
	defer release()
	for _, q := range []string{`PRAGMA foreign_keys = 0`, `INSERT INTO memberships (user_id, group_id) SELECT 'nobody', id FROM groups LIMIT 1`, `PRAGMA foreign_keys = 1`} {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// SealedColumns are the columns that are sealed anew when the master secret changes.
func SealedColumns() (out []string) {
	for _, c := range sealedColumns() {
		out = append(out, c.table+"."+c.column)
	}
	return out
}

// MigrationTexts are all migrations.
func MigrationTexts() (out []string, err error) {
	for _, dir := range []string{"migrations", "migrations/sessions"} {
		entries, err := migrations.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			text, err := migrations.ReadFile(dir + "/" + e.Name())
			if err != nil {
				return nil, err
			}
			out = append(out, string(text))
		}
	}
	return out, nil
}

// Remembered tells what is in memory of a tenant.
func (db *DB) Remembered(t core.TenantID) string {
	var out []string
	db.mu.Lock()
	if db.tenants[t] != nil {
		out = append(out, "state")
	}
	for _, left := range db.leaving[t] {
		select {
		case <-left: // long ago: the note goes with the next deletion
		default:
			out = append(out, "who is inside")
		}
	}
	db.mu.Unlock()
	if _, ok := db.rooms.Load(t); ok {
		out = append(out, "room")
	}
	db.follower.mu.Lock()
	if _, ok := db.follower.places[t]; ok {
		out = append(out, "place")
	}
	db.follower.mu.Unlock()
	r := db.registry.Load()
	if r.byID[t] != nil {
		out = append(out, "registry")
	}
	for host, owner := range r.byHost {
		if owner.ID == t {
			out = append(out, "host "+host)
		}
	}
	if e, ok := db.engine.(*sqliteEngine); ok {
		for p := range parts {
			if _, ok := e.writers.Load(file{t, p}); ok {
				out = append(out, "writer")
			}
		}
	}
	return strings.Join(out, ", ")
}

// Clone makes a schema in the way of CreateTenant, after the clone's text was changed.
func (db *DB) Clone(ctx context.Context, schema string, change func(text string) string) error {
	e := db.engine.(*postgresEngine)
	if err := e.makeTemplate(ctx); err != nil {
		return err
	}
	whole := cloneSQL
	defer func() { cloneSQL = whole }()
	cloneSQL = change(cloneSQL)
	return db.rawWrite(ctx, core.DefaultTenant, directory, "test", func(x *tx) error { return e.clone(ctx, x.q, schema) })
}

// Indexed makes every search ask the index, however few users there are, and none look through texts.
func (db *DB) Indexed() { db.fewPeople, db.textsRoom = -1, -1 }

// Texts makes every search look through texts in memory, once these were read.
func (db *DB) Texts() { db.fewPeople, db.textsRoom = -1, maxAllTexts }

// TextsOfOne leaves room for one tenant's.
func (db *DB) TextsOfOne() { db.fewPeople, db.textsRoom = -1, maxTexts }

// TextsIdle sets for how long they are kept.
func (db *DB) TextsIdle(d time.Duration) { db.textsIdle = d }

// TextsSize is what they take of memory.
func (db *DB) TextsSize() int { return db.textsSize() }

// Doubt tells that the lines of the outbox may be others than those that were read.
func (db *DB) Doubt(ctx context.Context, t core.TenantID) {
	db.heard(ctx, t, []core.Change{{Kind: core.ChangedAny, Op: "update"}})
}

// Caps sets how many domains and registered applications a tenant may have.
func (db *DB) Caps(domains, hosts int) { db.maxDomains, db.maxHosts = domains, hosts }

// Calm waits until nothing is made in the background.
func (db *DB) Calm() { db.background.Wait() }

// Untold is the schema that a connection sees as it comes from the pool.
func (db *DB) Untold(ctx context.Context) (schema string, err error) {
	err = db.engine.(*postgresEngine).pool.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&schema)
	return schema, err
}
