package sqldb_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/cached"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// people writes n users and a group for each hundred of them, below one that all are in.
func people(b *testing.B, db *sqldb.DB, n int) {
	b.Helper()
	const count = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) `
	for _, s := range []struct {
		query string
		n     int
	}{
		{`INSERT INTO users (id, pk, username, username_fold, name, name_fold, email, email_fold, email_verified, active, type, path, path_fold,
			attributes, password_hash, password_changed, last_login, created, updated)
			SELECT 'user-' || i, 1000 + i, 'Person' || i, 'person' || i, 'The Person ' || i, 'the person ' || i, 'person' || i || '@example.com', 'person' || i || '@example.com',
			1 = 0, 1 = 1, 'internal', 'users', 'users', '{"department": "sales"}', '', 0, 0, i, i FROM n`, n},
		{`INSERT INTO groups (id, pk, name, name_fold, superuser, attributes, created, updated)
			SELECT 'group-' || i, 1000 + i, 'Team ' || i, 'team ' || i, 1 = 0, '{}', 0, 0 FROM n`, n/100 + 1},
		{`INSERT INTO group_parents (group_id, parent_id) SELECT 'group-' || i, 'group-' || $1 FROM n WHERE i < $1`, n/100 + 1},
		{`INSERT INTO memberships (user_id, group_id) SELECT 'user-' || i, 'group-' || (1 + i / 100) FROM n
			UNION SELECT 'user-' || i, 'group-' || (1 + i % ($1 / 100)) FROM n`, n},
		{`INSERT INTO groups (id, pk, name, name_fold, superuser, attributes, created, updated)
			SELECT 'group-all', 999, 'All', 'all', 1 = 0, '{}', 0, 0 FROM n WHERE i = $1`, n},
		{`INSERT INTO memberships (user_id, group_id) SELECT 'user-' || i, 'group-all' FROM n`, n},
	} {
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute) // more than a call has by itself
		defer cancel()
		must(b, db.Exec(ctx, "public", count+s.query, s.n))
	}
	must(b, db.Exec(b.Context(), "public", `UPDATE counters SET value = $1 WHERE name = 'user'`, 1000+n))
}

// BenchmarkUsers asks for one person, and for a page of them, of a thousand and of a hundred
// thousand: a figure beside its ceiling says how much of the smaller directory's speed is left.
// Whoever was asked for is kept in memory, 50,000 at most.
func BenchmarkUsers(b *testing.B) { storagetest.OnEngines(b, benchmarkUsers) }

func benchmarkUsers(b *testing.B, empty func(testing.TB) sqldb.Options) {
	ctx := b.Context()
	ceiling := map[string]float64{}
	for _, n := range []int{1000, 100_000} {
		opt := empty(b)
		db := open(b, opt)
		began := time.Now()
		people(b, db, n)
		if opt.URL != "" {
			must(b, db.Exec(ctx, "public", `ANALYZE`)) // as autovacuum does within a minute
		}
		b.Logf("%d people were written in %s", n, time.Since(began).Round(time.Millisecond))
		i := 0
		next := func() int { i = (i*31 + 17) % n; return i + 1 }
		list := func(q api.Query, rows, total int) func() error { // rows -1: some
			return func() error {
				all, count, err := db.ListUsers(ctx, "public", q)
				if err == nil && (len(all) != rows && (rows >= 0 || len(all) == 0) || count < max(total, len(all))) {
					err = fmt.Errorf("%d of %d", len(all), count)
				}
				return err
			}
		}
		for _, c := range []struct {
			name string
			f    func() error
		}{
			{"login-by-name", func() error { _, err := db.UserByLogin(ctx, "public", fmt.Sprint("person", next())); return err }},
			{"login-by-email", func() error {
				_, err := db.UserByLogin(ctx, "public", fmt.Sprint("person", next(), "@example.com"))
				return err
			}},
			{"groups", func() error {
				_, err := db.UserGroups(ctx, "public", core.UserID(fmt.Sprint("user-", next())))
				return err
			}},
			{"first-page", list(api.Query{}, 100, n)},
			{"middle-page", list(api.Query{Offset: n/2 - 50}, 100, n)},
			{"last-page", list(api.Query{Offset: n - 100}, 100, n)},
			{"page-by-name", list(api.Query{Order: []string{"username"}}, 100, n)},
			{"search-one", func() error { return list(api.Query{Search: fmt.Sprint("person", next(), "@")}, 1, 1)() }},
			{"search-few", func() error { return list(api.Query{Search: fmt.Sprint("son", 100+next()%899)}, -1, 1)() }}, // a hundred, of 100,000
			{"search-nobody", list(api.Query{Search: "z9"}, 0, 0)},
			{"search-letter", list(api.Query{Search: "e"}, 100, n)},
			{"search-all", list(api.Query{Search: "person"}, 100, n)},
			{"search-some", list(api.Query{Search: "77"}, -1, n/100)},
			{"search-all-by-name", list(api.Query{Search: "person", Order: []string{"username"}}, 100, n)},
			{"search-all-last-page", list(api.Query{Search: "person", Order: []string{"username"}, Offset: n - 100}, 100, n)},
			{"search-words", list(api.Query{Search: "the person example 1"}, 100, n/10)},
			{"search-other-each-time", func() error { // one that nobody has made before
				return list(api.Query{Search: fmt.Sprint("p ", next()%100)}, -1, n/100)()
			}},
			{"of-group", list(api.Query{Where: map[string][]string{"groups_by_name": {"Team 3"}}}, 100, 100)},
			{"members", func() error { _, err := db.GroupMembers(ctx, "public", "group-3", 100); return err }},
			{"login-noted", func() error {
				return db.SetLastLogin(ctx, "public", core.UserID(fmt.Sprint("user-", next())), db.Now(), nil)
			}},
			{"made", func() error {
				i := next()
				u := &core.User{UserName: fmt.Sprint("new ", i, " of ", n), DisplayName: fmt.Sprint("A new one ", i), Email: fmt.Sprint("new", i, "@example.com")}
				if err := db.CreateUser(ctx, "public", u); err != nil {
					return err
				}
				return db.DeleteUser(ctx, "public", u.PK)
			}},
		} {
			b.Run(fmt.Sprintf("%s-of-%d", c.name, n), func(b *testing.B) {
				for b.Loop() {
					must(b, c.f())
				}
				each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				if ceiling[c.name] == 0 {
					ceiling[c.name] = each
				} else {
					b.ReportMetric(100*ceiling[c.name]/each, "%of-1000")
				}
			})
		}
		of := func(name, value string) map[string][]string { return map[string][]string{name: {value}} }
		renamed := func(db *sqldb.DB) func() error {
			return func() error {
				i := next()
				_, err := db.UpdateUser(ctx, "public", int64(1000+i), func(u *core.User) error {
					u.UserName, u.DisplayName = fmt.Sprint("Person", i, " of ", db.Now().UnixNano()), fmt.Sprint("The Person ", i, ", once more")
					return nil
				})
				return err
			}
		}
		all := list(api.Query{Search: "person"}, 100, n)
		var made []int64
		create := func() error {
			u := &core.User{UserName: fmt.Sprint("new person ", n, " ", next(), db.Now().UnixNano()), Active: true}
			err := db.CreateUser(ctx, "public", u)
			made = append(made, u.PK)
			return err
		}
		type search struct {
			name   string
			before func() error // is not measured
			f      func() error
		}
		searches := []search{
			{"search-all-again", nil, all},
			{"search-after-a-rename", renamed(db), all},
			{"search-after-a-new-one", create, all},
			{"search-after-one-left", func() error {
				if err := create(); err != nil {
					return err
				}
				if err := all(); err != nil {
					return err
				}
				return db.DeleteUser(ctx, "public", made[len(made)-1])
			}, all},
			{"search-and-active", nil, list(api.Query{Search: "person", Where: of("is_active", "true")}, 100, n)},
			{"search-and-inactive", nil, list(api.Query{Search: "person", Where: of("is_active", "false")}, 0, 0)},
			{"search-and-superuser", nil, list(api.Query{Search: "person", Where: of("is_superuser", "true")}, 0, 0)},
			{"search-and-no-superuser", nil, list(api.Query{Search: "person", Where: of("is_superuser", "false")}, 100, n)},
			{"search-and-group", nil, list(api.Query{Search: "person", Where: of("groups_by_pk", "group-3")}, 100, 100)},
			{"search-and-group-of-all", nil, list(api.Query{Search: "person", Where: of("groups_by_pk", "group-all")}, 100, n)},
			{"search-by-last-login", nil, list(api.Query{Search: "person", Order: []string{"-last_login"}}, 100, n)},
			{"search-by-date-joined", nil, list(api.Query{Search: "person", Order: []string{"date_joined"}}, 100, n)},
			{"search-by-display-name", nil, list(api.Query{Search: "person", Order: []string{"name"}}, 100, n)},
			{"search-by-email", nil, list(api.Query{Search: "person", Order: []string{"-email"}}, 100, n)},
			// The first search since the start, or since a while; and the second, or one after a list.
			{"search-first", func() error {
				db.Calm()
				db.ForgetPeople("public")
				return nil
			}, all},
			{"search-second", func() error {
				db.Calm()
				db.ForgetPeople("public")
				err := list(api.Query{}, 100, n)()
				db.Calm()
				return err
			}, all},
		}
		if opt.URL != "" {
			other := open(b, sqldb.Options{URL: opt.URL, Dir: b.TempDir(), Master: opt.Master})
			searches = append(searches, search{"search-after-another-node-s-rename", renamed(other), all})
		}
		for _, c := range searches {
			b.Run(fmt.Sprintf("%s-of-%d", c.name, n), func(b *testing.B) {
				must(b, all()) // what is in memory is there
				db.Calm()
				var each time.Duration
				for b.Loop() {
					if c.before != nil {
						b.StopTimer()
						must(b, c.before())
						b.StartTimer()
					}
					must(b, c.f())
				}
				each = b.Elapsed() / time.Duration(b.N)
				if n == 1000 {
					ceiling[c.name] = float64(each)
				} else if ceiling[c.name] > 0 {
					b.ReportMetric(100*ceiling[c.name]/float64(each), "%of-1000")
				}
			})
		}
		if opt.URL == "" { // what is kept does not differ, and a file is quicker to ask
			b.Run(fmt.Sprintf("remembered-of-%d", n), func(b *testing.B) {
				for b.Loop() {
					remember(b, db, min(n, 20_000))
				}
			})
		}
	}
}

// remember has n people asked for, as after all have been there, and reports what each keeps in memory.
func remember(b *testing.B, db *sqldb.DB, n int) {
	b.Helper()
	before := heap()
	d := cached.New(db)
	for i := range n {
		id := core.UserID(fmt.Sprint("user-", i+1))
		_, err := d.User(b.Context(), "public", id)
		must(b, err)
		_, err = d.UserGroups(b.Context(), "public", id)
		must(b, err)
	}
	b.ReportMetric(float64(heap()-before)/float64(n), "B-in-memory/person")
	runtime.KeepAlive(d)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
