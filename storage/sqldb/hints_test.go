package sqldb_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/redisdb"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

const hintChannel = "public:outbox:{0}"

// hinted is a node that neither hears notifications nor looks by itself within the test, with a Redis.
func hinted(t *testing.T, address, redis string, prepare ...func(*sqldb.DB)) (*sqldb.DB, *redisdb.Sessions, *heard) {
	t.Helper()
	db := open(t, sqldb.Options{URL: address})
	s := &redisdb.Sessions{Durable: db, Master: master(t, 'k'), Now: time.Now, Log: slog.New(slog.DiscardHandler), Hint: db.Hint}
	h := new(heard)
	db.OnChange, db.Publish = h.add, s.Publish
	db.FollowBy(time.Hour, true, false)
	for _, f := range prepare {
		f(db)
	}
	must(t, s.Connect(redis))
	t.Cleanup(s.Close)
	t.Cleanup(db.Follow(t.Context()))
	must(t, db.Ping(t.Context()))
	storagetest.EventuallyRedis(t, "redis is used", func() bool { _, ok := s.Connected(); return ok })
	return db, s, h
}

// listening waits until so many nodes hear hints.
func listening(t *testing.T, n int, servers ...*storagetest.Redis) {
	t.Helper()
	storagetest.EventuallyRedis(t, fmt.Sprint(n, " listen"), func() bool {
		have := 0
		for _, r := range servers {
			have += int(r.Client().PubSubNumSub(t.Context(), hintChannel).Val()[hintChannel])
		}
		return have == n
	})
}

// revoke ends a login on one node.
func revoke(t *testing.T, db *sqldb.DB, id core.SessionID) {
	t.Helper()
	u, err := db.UserByName(t.Context(), core.DefaultTenant, "akadmin")
	must(t, err)
	must(t, db.SaveSession(t.Context(), core.DefaultTenant, core.Hash(string(id)), &core.Session{ID: id, User: u.ID, Expires: time.Now().Add(time.Hour)}))
	_, err = db.DeleteSession(t.Context(), core.DefaultTenant, id)
	must(t, err)
}

// L-17: where no notification of PostgreSQL reaches a node, as behind a PgBouncer, and the next look is an hour away,
// what Redis carries lets it read the outbox at once. Without the publication nothing is heard.
func TestFollowHints(t *testing.T) {
	postgres := storagetest.StartPostgres(t)
	// Each gives its servers, and who takes over from the first.
	kinds := map[string]func(t *testing.T) (servers []*storagetest.Redis, next *storagetest.Redis, url string){
		"one server": func(t *testing.T) ([]*storagetest.Redis, *storagetest.Redis, string) {
			r := storagetest.StartRedis(t)
			return []*storagetest.Redis{r}, nil, "redis://" + r.Addr
		},
		"sentinel": func(t *testing.T) ([]*storagetest.Redis, *storagetest.Redis, string) {
			s := storagetest.StartSentinels(t)
			return []*storagetest.Redis{s.Primary}, s.Replica, s.URL()
		},
		"cluster": func(t *testing.T) ([]*storagetest.Redis, *storagetest.Redis, string) {
			all, url := storagetest.StartRedisCluster(t)
			return all, nil, url
		},
	}
	for name, start := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storagetest.Ran(t, "redis")
			servers, next, redis := start(t)
			address := postgres.Create(t)
			one, publisher, _ := hinted(t, address, redis)
			_, _, two := hinted(t, address, redis)
			listening(t, 2, servers...)
			began := time.Now()
			revoke(t, one, "first")
			if !two.within(time.Minute, "session", "first") {
				t.Fatal("the other node did not hear")
			}
			t.Logf("heard after %s", time.Since(began).Round(time.Millisecond))

			if next != nil {
				servers[0].Kill()
				listening(t, 2, next)
				storagetest.EventuallyRedis(t, "the next one is used", func() bool { _, ok := publisher.Connected(); return ok })
				revoke(t, one, "after the failover")
				if !two.within(time.Minute, "session", "after the failover") {
					t.Error("after a failover the other node did not hear")
				}
			}

			one.Publish = nil
			revoke(t, one, "unpublished")
			if two.within(2*time.Second, "session", "unpublished") {
				t.Error("control: without the publication it is heard: the test shows nothing")
			}
		})
	}
}

// A Redis that was away is heard again, and who lets go of one leaves nothing behind.
func TestFollowHintsReturn(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	r := storagetest.StartRedis(t)
	redis := "redis://" + r.Addr
	one, s, _ := hinted(t, address, redis)
	_, _, two := hinted(t, address, redis)
	listening(t, 2, r)
	r.Kill()
	revoke(t, one, "meanwhile")
	r.Start()
	listening(t, 2, r)
	storagetest.EventuallyRedis(t, "redis is used", func() bool { _, ok := s.Connected(); return ok })
	revoke(t, one, "afterwards")
	for _, id := range []string{"meanwhile", "afterwards"} { // one hint has the whole outbox read
		if !two.within(time.Minute, "session", id) {
			t.Errorf("what ended %s was not heard", id)
		}
	}

	must(t, s.Connect(""))
	before := runtime.NumGoroutine()
	for range 20 {
		must(t, s.Connect(redis))
		listening(t, 2, r)
		must(t, s.Connect(""))
	}
	listening(t, 1, r)
	storagetest.EventuallyRedis(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// What anybody sends who may write to Redis: a line that was read costs nothing, nor does what is no hint, and of
// lines that are to come a flood costs a look each tenth of a second.
func TestFollowForgedHints(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	r := storagetest.StartRedis(t)
	flood := func(t *testing.T, gap time.Duration, message func(i int) string) (looks, most int) {
		t.Helper()
		one, s, h := hinted(t, address, "redis://"+r.Addr, func(db *sqldb.DB) { db.HintedBy(gap) })
		defer s.Close()
		listening(t, 1, r)
		began := time.Now()
		c := r.Client()
		for i := range 3000 {
			must(t, c.Publish(t.Context(), hintChannel, message(i)).Err())
		}
		looks, most = one.Hinted(), 2+int(time.Since(began)/(100*time.Millisecond))
		// It is not deaf afterwards.
		other := open(t, sqldb.Options{URL: address})
		id := core.SessionID("after " + strings.ToLower(core.RandomAlphanumeric(8)))
		revoke(t, other, id)
		last, err := other.LastChange(t.Context(), core.DefaultTenant)
		must(t, err)
		must(t, c.Publish(t.Context(), hintChannel, fmt.Sprint("public ", last)).Err())
		if !h.within(time.Minute, "session", string(id)) {
			t.Error("afterwards a true one is not heard")
		}
		return looks, most
	}
	for name, message := range map[string]func(i int) string{
		"read long ago": func(int) string { return "public 1" },
		"nobody's":      func(i int) string { return fmt.Sprintf("t_nobody%d 99999", i) },
		"no hint": func(i int) string {
			return []string{"", "public", "public x", "public -1", "public 9223372036854775808", strings.Repeat("x", 10000)}[i%6]
		},
	} {
		if looks, _ := flood(t, 0, message); looks != 0 {
			t.Errorf("%s: %d looks", name, looks)
		}
	}
	lines := func(i int) string { return fmt.Sprint("public ", 1000000+i) }
	if looks, most := flood(t, 0, lines); looks == 0 || looks > most {
		t.Errorf("3000 forged lines cost %d looks, and %d are due", looks, most)
	}
	if looks, most := flood(t, time.Nanosecond, lines); looks <= most {
		t.Errorf("control: without the gap %d looks, no more than %d: the test shows nothing", looks, most)
	}
}
