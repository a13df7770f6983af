package sqldb_test

import (
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
)

func benchmarks(b *testing.B, opt sqldb.Options) {
	db := open(b, opt)
	ctx := b.Context()
	g := &core.Group{Name: "g"}
	if err := db.CreateGroup(ctx, "public", g, nil); err != nil {
		b.Fatal(err)
	}
	u := &core.User{UserName: "alice", Active: true, Groups: []core.GroupID{g.ID}, Attributes: map[string]any{"k": "v"}}
	if err := db.CreateUser(ctx, "public", u); err != nil {
		b.Fatal(err)
	}
	key := core.Hash("key")
	if err := db.SaveSession(ctx, "public", key, &core.Session{ID: "s", User: u.ID, Expires: time.Now().Add(time.Hour)}); err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"user":       func() error { _, err := db.User(ctx, "public", u.ID); return err },
		"groups":     func() error { _, err := db.UserGroups(ctx, "public", u.ID); return err },
		"session":    func() error { _, err := db.FindSession(ctx, "public", key); return err },
		"list users": func() error { _, _, err := db.ListUsers(ctx, "public", api.Query{Search: "ali"}); return err },
		"save grant": func() error {
			return db.SaveGrant(ctx, "public", &oidc.Grant{User: u.ID, ClientID: "c", Expires: time.Now().Add(time.Hour)})
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSQLite(b *testing.B) { benchmarks(b, sqldb.Options{Dir: b.TempDir()}) }

func BenchmarkPostgres(b *testing.B) {
	benchmarks(b, sqldb.Options{URL: startPostgres(b).create(b)})
}

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
