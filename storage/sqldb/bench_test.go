package sqldb_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// bare are the ceilings: one row read by its key, and one inserted, by the driver alone.
func bare(b *testing.B, opt sqldb.Options) (read, insert func() error) {
	b.Helper()
	db, err := sql.Open("pgx", opt.URL) // keeps its statements prepared
	if opt.Dir != "" {
		file := filepath.ToSlash(filepath.Join(opt.Dir, "bare.db"))
		db, err = sqldb.OpenConns("file:" + file + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	}
	must(b, err)
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { must(b, db.Close()) })
	_, err = db.Exec(`CREATE TABLE bare (id BIGINT NOT NULL PRIMARY KEY, v TEXT NOT NULL)`)
	must(b, err)
	n := 0
	insert = func() error {
		n++
		_, err := db.Exec(`INSERT INTO bare (id, v) VALUES ($1, $2)`, n, "a row of some length")
		return err
	}
	must(b, insert())
	return func() error { return db.QueryRow(`SELECT v FROM bare WHERE id = $1`, 1).Scan(new(string)) }, insert
}

func benchmarkStore(b *testing.B, empty func(testing.TB) sqldb.Options) {
	read, insert := bare(b, empty(b))
	db := open(b, empty(b))
	ctx := b.Context()
	g := &core.Group{Name: "g"}
	must(b, db.CreateGroup(ctx, "public", g, nil))
	u := &core.User{UserName: "alice", Active: true, Groups: []core.GroupID{g.ID}, Attributes: map[string]any{"k": "v"}}
	must(b, db.CreateUser(ctx, "public", u))
	key := core.Hash("key")
	must(b, db.SaveSession(ctx, "public", key, &core.Session{ID: "s", User: u.ID, Expires: time.Now().Add(time.Hour)}))
	var ceiling float64
	for _, c := range []struct {
		name, of string
		f        func() error
	}{
		{"row", "", read},
		{"user", "row", func() error { _, err := db.User(ctx, "public", u.ID); return err }},
		{"groups", "row", func() error { _, err := db.UserGroups(ctx, "public", u.ID); return err }},
		{"session", "row", func() error { _, err := db.FindSession(ctx, "public", key); return err }},
		{"list-users", "row", func() error { _, _, err := db.ListUsers(ctx, "public", api.Query{Search: "ali"}); return err }},
		{"insert", "", insert},
		{"save-grant", "insert", func() error {
			return db.SaveGrant(ctx, "public", &oidc.Grant{User: u.ID, ClientID: "c", Expires: time.Now().Add(time.Hour)})
		}},
		{"record-event", "insert", func() error {
			return db.Record(ctx, "public", core.Event{Action: core.EventLogin, User: u.ID, UserName: "alice", Address: "192.0.2.7", Message: "logged in"})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(b, c.f())
			}
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			if c.of == "" {
				ceiling = each
			} else {
				b.ReportMetric(100*ceiling/each, "%of-"+c.of)
			}
		})
	}
}

// BenchmarkStore is the store beside the bare driver.
func BenchmarkStore(b *testing.B) { storagetest.OnEngines(b, benchmarkStore) }

// A second start of a directory that is there.
func BenchmarkSQLiteStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		db, err := sqldb.Open(b.Context(), sqldb.Options{Dir: dir, Master: master(b, 'k')})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
