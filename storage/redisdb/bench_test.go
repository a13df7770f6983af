package redisdb_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/session"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// Sessions with Redis before the database, beside the database alone: what a node pays that has one
// not in memory. A find beside one GET: in Redis it is a GET and an HMGET.
func BenchmarkSessions(b *testing.B) {
	r := storagetest.StartRedis(b)
	c := r.Client()
	if err := c.Set(b.Context(), "public:key:{bench}", "x", 0).Err(); err != nil {
		b.Fatal(err)
	}
	get := func() error { return c.Get(context.Background(), "public:key:{bench}").Err() }
	storagetest.OnEngines(b, func(b *testing.B, empty func(testing.TB) sqldb.Options) {
		d, _ := nodeOn(b, empty(b), "redis://"+r.Addr)
		answers(b, d)
		for name, s := range map[string]session.Store{"database": d.DB, "redis": d.sessions} {
			b.Run(name, func(b *testing.B) { benchmarkSessions(b, d, s, get) })
		}
	})
}

func benchmarkSessions(b *testing.B, d *directory, s session.Store, get func() error) {
	ctx := context.Background()
	u, err := d.UserByName(ctx, tenant, "akadmin")
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	save := func() (core.SessionID, [32]byte) {
		n++
		id := core.SessionID(fmt.Sprint(b.Name()[len("BenchmarkSessions/"):], "-", n))
		key := core.Hash(string(id))
		now := time.Now()
		err := s.SaveSession(ctx, tenant, key, &core.Session{ID: id, User: u.ID, AuthTime: now, Factors: []core.Factor{{Method: "pwd", At: now}},
			Address: "192.0.2.1", UserAgent: "browser", Created: now, LastSeen: now, Expires: now.Add(time.Hour), Idle: 30 * time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		return id, key
	}
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			save()
		}
	})
	id, key := save()
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.FindSession(ctx, tenant, key); err != nil {
				b.Fatal(err)
			}
		}
		each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		const n = 1000
		began := time.Now()
		for range n {
			if err := get(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(100*float64(time.Since(began).Nanoseconds())/n/each, "%of-redis-get")
	})
	b.Run("touch", func(b *testing.B) { // a second later each time: most of a step is Redis's alone
		at := time.Now()
		for b.Loop() {
			at = at.Add(time.Second)
			if err := s.TouchSessions(ctx, tenant, map[core.SessionID]time.Time{id: at}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("save and delete", func(b *testing.B) {
		for b.Loop() {
			id, _ := save()
			if _, err := s.DeleteSession(ctx, tenant, id); err != nil {
				b.Fatal(err)
			}
		}
	})
}
