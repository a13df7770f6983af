package sqldb_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// reach reports how much of a goal each turn of a benchmark reaches: 100 and more is met.
func reach(b *testing.B, goal time.Duration) {
	each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(100*float64(goal.Nanoseconds())/each, "%of-"+goal.String())
}

// opened uses a directory and closes it.
func opened(b *testing.B, opt sqldb.Options, use func(*sqldb.DB)) {
	b.Helper()
	db, err := sqldb.Open(b.Context(), withMaster(b, opt))
	must(b, err)
	use(db)
	must(b, db.Close())
}

func withMaster(b *testing.B, opt sqldb.Options) sqldb.Options {
	b.Helper()
	opt.Master = master(b, 'k')
	return opt
}

// lines writes tenants and their domains into the registry, without tables: what a start
// and a host's lookup look at.
func lines(b *testing.B, db *sqldb.DB, tenants, domains int) {
	b.Helper()
	must(b, db.Exec(b.Context(), "public", `INSERT INTO tenants (id, uuid, name, name_fold, ready, brand, created, updated)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT 't_line' || i, 'uuid of ' || i, 'Tenant ' || i, 'tenant ' || i, $2, '{}', 0, 0 FROM n`, tenants, true))
	must(b, db.Exec(b.Context(), "public", `INSERT INTO domains (id, domain, is_primary, tenant_id)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT i, 'host-' || i || '.example', i <= $2, 't_line' || (1 + (i - 1) % $2) FROM n`, domains, tenants))
}

func benchmarkTenants(b *testing.B, empty func(testing.TB) sqldb.Options) {
	ctx := b.Context()
	opt := empty(b)
	goal := 50 * time.Millisecond
	if opt.URL != "" {
		goal = 300 * time.Millisecond
	}
	n := 0
	next := func() core.TenantID {
		n++
		return core.TenantID(fmt.Sprint("t_new", n))
	}
	// PostgreSQL before 17 syncs each index that it builds, those of TOAST tables among them:
	// there a tenant's tables, which are made beforehand, cost more than 160 syncs of the disk.
	b.Run("made", func(b *testing.B) {
		db := open(b, opt)
		_, err := db.CreateTenant(ctx, next(), "the first makes the template")
		must(b, err)
		for b.Loop() {
			b.StopTimer()
			<-db.KeepSpare(ctx) // as who makes one now and then finds it
			b.StartTimer()
			_, err := db.CreateTenant(ctx, next(), "x")
			must(b, err)
		}
		reach(b, goal)
	})
	b.Run("made-in-a-row", func(b *testing.B) { // each with an RSA key that is made then
		withKey := opt
		withKey.NewKeyPair = func() (*core.KeyPair, error) {
			return keys.Generate("rsa", core.SelfSignedKeyPair, nil, time.Hour, time.Now())
		}
		db := open(b, withKey)
		for b.Loop() {
			_, err := db.CreateTenant(ctx, next(), "x")
			must(b, err)
		}
	})
	b.Run("deleted", func(b *testing.B) {
		db := open(b, opt)
		for b.Loop() {
			b.StopTimer()
			id := next()
			tenant, err := db.CreateTenant(ctx, id, "x")
			must(b, err)
			b.StartTimer()
			must(b, db.DeleteTenant(ctx, id, tenant.UUID))
		}
	})
	b.Run("first-request", func(b *testing.B) { // of a tenant since the start
		cold := next()
		opened(b, opt, func(db *sqldb.DB) {
			_, err := db.CreateTenant(ctx, cold, "x")
			must(b, err)
		})
		for b.Loop() {
			b.StopTimer()
			db, err := sqldb.Open(ctx, withMaster(b, opt))
			must(b, err)
			b.StartTimer()
			_, err = db.UserByName(ctx, cold, "akadmin")
			must(b, err)
			b.StopTimer()
			must(b, db.Close())
			b.StartTimer()
		}
		reach(b, 50*time.Millisecond)
	})

	b.Run("first-request-among-busy", func(b *testing.B) { coldAmongBusy(b, empty(b)) })

	many := empty(b)
	opened(b, many, func(db *sqldb.DB) { lines(b, db, 1000, 10_000) })
	b.Run("start-with-1000", func(b *testing.B) {
		for b.Loop() {
			db, err := sqldb.Open(ctx, withMaster(b, many))
			must(b, err)
			b.StopTimer()
			if t, err := db.TenantByHost(ctx, "host-9999.example"); err != nil || t.ID != "t_line999" {
				b.Fatal(t, err)
			}
			must(b, db.Close())
			b.StartTimer()
		}
		reach(b, 2*time.Second)
	})
	db := open(b, many)
	hosts := make([]string, 10_000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("host-%d.example", i+1)
	}
	b.Run("lookup-of-10000", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			_, err := db.TenantByHost(ctx, hosts[i%len(hosts)])
			must(b, err)
		}
	})
	b.Run("page-of-1000", func(b *testing.B) {
		for b.Loop() {
			list, total, err := db.ListTenants(ctx, api.Query{Search: "tenant", Order: []string{"name"}, Limit: 100, Offset: 500})
			must(b, err)
			if len(list) != 100 || total != 1000 {
				b.Fatal(len(list), total)
			}
		}
	})
}

// coldAmongBusy is the first request of a tenant while eight others are asked, and written to, as
// fast as they answer: its median, and what one in a hundred takes longer than. Each tenant is
// asked for once and not again before the next start.
func coldAmongBusy(b *testing.B, opt sqldb.Options) {
	ctx := b.Context()
	const busy = 8
	cold := 200
	if opt.URL != "" {
		cold = 40 // they take long to make
	}
	id := func(i int) core.TenantID { return core.TenantID(fmt.Sprint("t_cold", i)) }
	opened(b, opt, func(db *sqldb.DB) {
		began := time.Now()
		for i := range busy + cold {
			_, err := db.CreateTenant(ctx, id(i), "x")
			must(b, err)
		}
		b.Logf("%d tenants were made in %s", busy+cold, time.Since(began).Round(time.Millisecond))
	})
	var db *sqldb.DB
	var others sync.WaitGroup
	stop := func() {}
	start := func() {
		var err error
		db, err = sqldb.Open(ctx, withMaster(b, opt))
		must(b, err)
		under, cancel := context.WithCancel(ctx)
		ready := make(chan struct{}, busy)
		for i := range busy {
			others.Go(func() {
				u, err := db.UserByName(ctx, id(i), "akadmin")
				ready <- struct{}{}
				for under.Err() == nil && err == nil {
					if _, err = db.UserByName(ctx, id(i), "akadmin"); err == nil {
						err = db.SetLastLogin(ctx, id(i), u.ID, db.Now(), nil)
					}
				}
				if err != nil {
					b.Error(err)
				}
			})
		}
		for range busy {
			<-ready
		}
		stop = func() {
			cancel()
			others.Wait()
			must(b, db.Close())
		}
	}
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		i := len(took) % cold
		if i == 0 {
			stop()
			start()
		}
		b.StartTimer()
		began := time.Now()
		_, err := db.UserByName(ctx, id(busy+i), "akadmin")
		took = append(took, time.Since(began))
		must(b, err)
	}
	b.StopTimer()
	stop()
	slices.Sort(took)
	ms := func(part float64) float64 {
		return float64(took[min(int(part*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(100*50/ms(0.99), "%of-50ms")
}

// BenchmarkTenants: a tenant made, found and deleted, and a start with a thousand.
func BenchmarkTenants(b *testing.B) { storagetest.OnEngines(b, benchmarkTenants) }
