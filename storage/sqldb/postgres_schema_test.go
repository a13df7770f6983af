package sqldb_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// The default tenant may have a schema of another name than public: it is started with
// again, backed up and restored, and public stays empty.
func TestPostgresOwnSchema(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	opt := sqldb.Options{URL: address + searchPath(address, "own"), Dir: t.TempDir(), Master: master(t, 'k')}
	var file bytes.Buffer
	again(t, opt, func(db *sqldb.DB) {
		_, err := db.CreateTenant(t.Context(), "t_a", "A")
		must(t, err)
		must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: "alice"}))
		must(t, db.CreateUser(t.Context(), "t_a", &core.User{UserName: "bob"}))
	})
	again(t, opt, func(db *sqldb.DB) {
		must(t, db.Backup(t.Context(), &file, sqldb.BackupOptions{}))
		storagetest.Remove(t, db, "t_a")
		u, err := db.UserByName(t.Context(), "public", "alice")
		must(t, err)
		must(t, db.DeleteUser(t.Context(), "public", u.PK))
	})
	must(t, restore(t.Context(), opt, file.Bytes(), sqldb.RestoreOptions{Replace: true}))
	again(t, opt, func(db *sqldb.DB) {
		_, err := db.UserByName(t.Context(), "public", "alice")
		must(t, err)
		_, err = db.UserByName(t.Context(), "t_a", "bob")
		must(t, err)
	})
	var n int
	must(t, one(t, address, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`, &n))
	if n != 0 {
		t.Errorf("%d tables in public", n)
	}
}

// A server that was stopped a moment ago is still seen by PostgreSQL until its connections' backends have ended. One
// that stays is refused: TestRestoreRefuses.
func TestPostgresRestoreAfterAStop(t *testing.T) {
	opt := sqldb.Options{URL: storagetest.StartPostgres(t).Create(t), Dir: t.TempDir(), Master: master(t, 'k')}
	var file bytes.Buffer
	again(t, opt, func(db *sqldb.DB) { must(t, db.Backup(t.Context(), &file, sqldb.BackupOptions{})) })
	c, err := pgx.Connect(t.Context(), opt.URL)
	must(t, err)
	time.AfterFunc(300*time.Millisecond, func() { _ = c.Close(context.Background()) })
	must(t, restore(t.Context(), opt, file.Bytes(), sqldb.RestoreOptions{Replace: true}))
}

// many at once, on few connections, each see and write to their own tenant alone, also
// while calls are given up halfway. As a control, a connection that is used as it comes
// from the pool is one tenant's or another's.
func TestPostgresTenantsAtOnce(t *testing.T) {
	db := open(t, sqldb.Options{URL: storagetest.StartPostgres(t).Create(t)})
	db.Connections(3)
	tenants := []core.TenantID{"t_a", "t_b", "t_c", "t_d"}
	for _, id := range tenants {
		_, err := db.CreateTenant(t.Context(), id, string(id))
		must(t, err)
		must(t, db.CreateUser(t.Context(), id, &core.User{UserName: "of " + string(id)}))
	}
	tenants = append(tenants, core.DefaultTenant)
	must(t, db.CreateUser(t.Context(), core.DefaultTenant, &core.User{UserName: "of public"}))
	var mu sync.Mutex
	untold := map[string]bool{}
	var wg sync.WaitGroup
	for i, id := range tenants {
		for k := range 2 {
			random := rand.New(rand.NewPCG(uint64(i), uint64(k)))
			wg.Go(func() {
				for n := range 60 {
					other := tenants[random.IntN(len(tenants))]
					ctx, cancel := context.WithCancel(t.Context())
					if random.IntN(3) == 0 {
						time.AfterFunc(time.Duration(random.IntN(2000))*time.Microsecond, cancel)
					}
					_, err := db.UserByName(ctx, id, "of "+string(other))
					if ctx.Err() == nil && (err == nil) != (id == other) || err == nil && id != other {
						t.Errorf("of %s in %s: %v", other, id, err)
					}
					err = db.CreateGroup(ctx, id, &core.Group{Name: fmt.Sprintf("%s %d %d", id, k, n)}, nil)
					if err != nil && ctx.Err() == nil {
						t.Errorf("write in %s: %v", id, err)
					}
					cancel()
					if schema, err := db.Untold(t.Context()); err == nil {
						mu.Lock()
						untold[schema] = true
						mu.Unlock()
					}
				}
			})
		}
	}
	wg.Wait()
	for _, id := range tenants {
		list, n, err := db.ListGroups(t.Context(), id, api.Query{Limit: 1000})
		must(t, err)
		for i := range list {
			if g := list[i].Name; g != core.AdminGroup && g[:len(id)+1] != string(id)+" " {
				t.Errorf("%s has the group %s", id, g)
			}
		}
		if n < 2 {
			t.Error("nothing was written")
		}
	}
	if len(untold) < 2 {
		t.Errorf("control: connections change tenants, and were seen to be of %v only", untold)
	}
}
