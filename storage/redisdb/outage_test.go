package redisdb_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/redisdb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// L-04: whatever befalls Redis, who is logged in stays so, logins and logouts work, nobody else gets in,
// nobody waits long, nothing piles up, and Redis is used again by itself when it is back. That Redis was used
// before, and is used afterwards, is the control.
func TestOutages(t *testing.T) {
	type outage struct {
		away, back func(t *testing.T, r *storagetest.Redis, p *proxy)
	}
	say := func(text string) outage {
		return outage{
			func(_ *testing.T, _ *storagetest.Redis, p *proxy) { p.answer.Store(&text) },
			func(_ *testing.T, _ *storagetest.Redis, p *proxy) { p.answer.Store(nil); p.cut(); p.listen(p.addr) },
		}
	}
	var end func()
	for name, o := range map[string]outage{
		"the network drops everything": {
			func(_ *testing.T, _ *storagetest.Redis, p *proxy) { end = p.drop() },
			func(*testing.T, *storagetest.Redis, *proxy) { end() },
		},
		"SIGSTOP": {
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Signal(syscall.SIGSTOP) },
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Signal(syscall.SIGCONT) },
		},
		"kill -9": {
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Kill() },
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Start() },
		},
		"refuses connections": {
			func(_ *testing.T, _ *storagetest.Redis, p *proxy) { p.cut() },
			func(_ *testing.T, _ *storagetest.Redis, p *proxy) { p.listen(p.addr) },
		},
		"CLIENT PAUSE": {
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Do("CLIENT", "PAUSE", 5000) },
			func(*testing.T, *storagetest.Redis, *proxy) {}, // nothing else ends it
		},
		"slow": {
			func(_ *testing.T, _ *storagetest.Redis, p *proxy) { p.delay.Store(int64(300 * time.Millisecond)) },
			func(_ *testing.T, _ *storagetest.Redis, p *proxy) { p.delay.Store(0) },
		},
		"OOM": {
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Do("CONFIG", "SET", "maxmemory", "1") },
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Do("CONFIG", "SET", "maxmemory", "0") },
		},
		"READONLY": {
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Do("REPLICAOF", "127.0.0.1", "1") },
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Do("REPLICAOF", "NO", "ONE") },
		},
		"loses its rights": {
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) {
				r.Do("ACL", "SETUSER", "postern", "-set", "-eval", "-get")
			},
			func(_ *testing.T, r *storagetest.Redis, _ *proxy) { r.Do("ACL", "SETUSER", "postern", "+@all") },
		},
		"LOADING": say("-LOADING Redis is loading the dataset in memory\r\n"),
		"rubbish": say("HTTP/1.1 400 Bad Request\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Ran(t, "redis-outage")
			w := newWorld(t, "--user", "postern", "on", ">secret-of-redis", "~*", "+@all")
			p := newProxy(t, w.r.Addr)
			said := &log{}
			d := &durable{Durable: w.db}
			s := &redisdb.Sessions{Durable: d, Master: master(t, "k"), Now: time.Now, Log: said.logger()}
			if err := s.Connect("redis://postern:secret-of-redis@" + p.addr); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			w.nodes = append(w.nodes, s)
			used := func(when string, key [32]byte) {
				t.Helper()
				storagetest.EventuallyRedis(t, when+" redis is used", func() bool {
					found, asked := w.found(s, d, key)
					if !found {
						t.Fatalf("%s the session is not found", when)
					}
					return !asked
				})
			}
			key := w.save(s, "s1")
			used("before,", key)
			w.save(s, "s2")
			before := runtime.NumGoroutine() - p.own()

			o.away(t, w.r, p)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a call that hangs ends the test
			defer cancel()
			var crowd sync.WaitGroup
			for i := range 100 {
				crowd.Go(func() {
					id := core.SessionID(fmt.Sprint("new", i))
					mine := core.Hash(string(id))
					if _, err := s.FindSession(ctx, tenant, key); err != nil {
						t.Errorf("who is logged in: %v", err)
					}
					if _, err := s.FindSession(ctx, tenant, mine); !errors.Is(err, core.ErrNotFound) {
						t.Errorf("who is not: %v", err)
					}
					if err := s.SaveSession(ctx, tenant, mine, w.session(id)); err != nil {
						t.Errorf("a login: %v", err)
					}
					if _, err := s.FindSession(ctx, tenant, mine); err != nil {
						t.Errorf("after it: %v", err)
					}
					if err := s.TouchSessions(ctx, tenant, map[core.SessionID]time.Time{id: time.Now()}); err != nil {
						t.Errorf("seen: %v", err)
					}
					if i%2 == 0 {
						if _, err := s.DeleteSession(ctx, tenant, id); err != nil {
							t.Errorf("a logout: %v", err)
						}
					}
				})
			}
			crowd.Wait()
			if _, err := s.DeleteSession(ctx, tenant, "s2"); err != nil {
				t.Errorf("a logout of a login from before: %v", err)
			}
			storagetest.EventuallyRedis(t, "redis is out", func() bool { _, ok := s.Connected(); return !ok })
			storagetest.EventuallyRedis(t, "nothing piles up", func() bool { return runtime.NumGoroutine()-p.own() < 2*before })
			w.expect("while it is away", s, d, key, fromSQL)

			began := time.Now()
			o.back(t, w.r, p)
			storagetest.EventuallyRedis(t, "redis is in again", func() bool { _, ok := s.Connected(); return ok })
			took := time.Since(began).Round(time.Millisecond)
			t.Logf("used again after %s; goroutines before %d", took, before)
			used("afterwards,", key)
			for i := range 100 {
				found, _ := w.found(s, d, core.Hash(fmt.Sprint("new", i)))
				if found != (i%2 == 1) {
					t.Errorf("login %d is found: %t", i, found)
				}
			}
			// Redis heard nothing of this logout, where it kept what it had.
			w.expect("who logged out meanwhile", s, d, core.Hash("key of s2"), refused)
			if said.has("secret-of-redis") {
				t.Errorf("the log shows the password: %s", &said.text)
			}
			if !said.has("redis is away") || !said.has("redis is back") {
				t.Errorf("the log does not tell of it: %s", &said.text)
			}
		})
	}
}

// L-04: while Redis is away, one goroutine asks whether it is back, and nobody else: however many come, none of them waits for
// it. The control asks whatever was answered lately, and everybody waits.
func TestOutageIsAskedOnce(t *testing.T) {
	for name, insists := range map[string]bool{"away": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			storagetest.Ran(t, "redis-outage")
			w := newWorld(t)
			p := newProxy(t, w.r.Addr)
			d := &durable{Durable: w.db}
			s := &redisdb.Sessions{Durable: d, Master: master(t, "k"), Now: time.Now, Log: quiet()}
			if insists {
				s.Insist()
			}
			if err := s.Connect("redis://" + p.addr); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			w.nodes = append(w.nodes, s)
			key := w.save(s, "s1")
			storagetest.EventuallyRedis(t, "redis is in", func() bool { _, ok := s.Connected(); return ok })
			w.r.Signal(syscall.SIGSTOP)
			defer w.r.Signal(syscall.SIGCONT)
			storagetest.EventuallyRedis(t, "redis is out", func() bool {
				if _, err := s.FindSession(t.Context(), tenant, key); err != nil {
					t.Error(err)
				}
				_, ok := s.Connected()
				return !ok
			})
			before := p.asked.Load()
			var crowd sync.WaitGroup
			for range 64 {
				crowd.Go(func() {
					for range 5 {
						if _, err := s.FindSession(t.Context(), tenant, key); err != nil {
							t.Error(err)
						}
					}
				})
			}
			crowd.Wait()
			if asked := p.asked.Load() - before; asked > 50 != insists {
				t.Errorf("of 320 people %d asked a Redis that is away", asked)
			}
		})
	}
}

// Redis that is not there at the start delays nothing, and is used when it comes.
func TestNotThereAtTheStart(t *testing.T) {
	w := newWorld(t)
	w.r.Kill()
	said := &log{}
	d := &durable{Durable: w.db}
	s := &redisdb.Sessions{Durable: d, Master: master(t, "k"), Now: time.Now, Log: said.logger()}
	if err := s.Connect("redis://:hunter2@" + w.r.Addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w.nodes = append(w.nodes, s)
	key := w.save(s, "s1")
	w.expect("without redis", s, d, key, fromSQL)
	storagetest.EventuallyRedis(t, "it is told", func() bool { return said.has("redis is away") })
	w.r.Start()
	w.r.Do("ACL", "SETUSER", "default", "resetpass", ">hunter2")
	storagetest.EventuallyRedis(t, "redis is used", func() bool {
		found, asked := w.found(s, d, key)
		return found && !asked
	})
	if said.has("hunter2") {
		t.Errorf("the log shows the password: %s", &said.text)
	}

	t.Run("a URL that cannot be used changes nothing", func(t *testing.T) {
		if err := s.Connect("rediss://" + w.r.Addr + "?tls_ca_cert=/does/not/exist"); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
			t.Errorf("%v", err)
		}
		w.expect("still", s, d, key, fromRedis)
	})
	t.Run("none", func(t *testing.T) {
		if err := s.Connect(""); err != nil {
			t.Fatal(err)
		}
		w.expect("without", s, d, key, fromSQL)
	})
}

// L-06: the primary is killed while its replica has not heard of the logouts. After the failover Redis has those
// sessions again, and nobody is let in by them. The control is a node that believes what Redis has.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	storagetest.Ran(t, "redis-sentinel")
	s := storagetest.StartSentinels(t)
	failover(t, s.URL(), []*storagetest.Redis{s.Primary}, s.Replica)
}

// L-06: the same where one of a Cluster's primaries is killed, which has a third of the sessions.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	storagetest.Ran(t, "redis-cluster")
	primaries, url := storagetest.StartRedisCluster(t)
	failover(t, url, primaries, storagetest.StartClusterReplica(t, primaries))
}

// failover kills the first of the primaries, which the replica follows.
func failover(t *testing.T, url string, primaries []*storagetest.Redis, replica *storagetest.Redis) {
	t.Helper()
	w := newWorld(t)
	w.r.Kill() // this world's Redis is the one that the URL names
	join := func(prepare func(*redisdb.Sessions)) (*redisdb.Sessions, *durable) {
		d := &durable{Durable: w.db}
		s := &redisdb.Sessions{Durable: d, Master: master(t, "k"), Now: time.Now, Log: quiet()}
		if prepare != nil {
			prepare(s)
		}
		if err := s.Connect(url); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		storagetest.EventuallyRedis(t, "redis is used", func() bool { _, ok := s.Connected(); return ok })
		w.nodes = append(w.nodes, s)
		return s, d
	}
	one, readsOne := join(nil)
	two, readsTwo := join(nil)
	naive, readsNaive := join(func(s *redisdb.Sessions) { s.Believe() })
	var keys [][32]byte
	n := 20 * len(primaries)
	for i := range n {
		keys = append(keys, w.save(one, core.SessionID(fmt.Sprint("s", i))))
	}
	copied := func(r *storagetest.Redis) int {
		all, err := r.Client().Keys(t.Context(), "public:session:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	storagetest.EventuallyRedis(t, "the primary has all", func() bool {
		for i, key := range keys { // a call that took too long left its copy out
			if found, _ := w.found(one, readsOne, key); !found {
				t.Fatalf("session %d is lost", i)
			}
		}
		all := 0
		for _, r := range primaries {
			all += copied(r)
		}
		return all == n
	})
	storagetest.EventuallyRedis(t, "the replica has all", func() bool { return copied(replica) == copied(primaries[0]) })

	// The replica hears nothing from here on.
	primaries[0].Do("ACL", "SETUSER", "default", "-psync", "-sync")
	primaries[0].Do("CLIENT", "KILL", "TYPE", "replica")
	for i := range n / 2 {
		if _, err := one.DeleteSession(t.Context(), tenant, core.SessionID(fmt.Sprint("s", i))); err != nil {
			t.Fatal(err)
		}
	}
	primaries[0].Kill()
	began := time.Now()
	check := func(when string) {
		t.Helper()
		for i, key := range keys {
			for _, node := range []struct {
				*redisdb.Sessions
				*durable
			}{{one, readsOne}, {two, readsTwo}} {
				if found, _ := w.found(node.Sessions, node.durable, key); found != (i >= n/2) {
					t.Errorf("%s, session %d is found: %t", when, i, found)
				}
			}
		}
	}
	check("without a primary")
	storagetest.EventuallyRedis(t, "the replica is promoted", func() bool {
		return strings.Contains(fmt.Sprint(replica.Do("ROLE")), "master")
	})
	t.Logf("promoted after %s", time.Since(began).Round(time.Millisecond))
	promoted := time.Now()
	for _, s := range []*redisdb.Sessions{one, two, naive} {
		storagetest.EventuallyRedis(t, "the new primary is used", func() bool { _, ok := s.Connected(); return ok })
	}
	t.Logf("used %s later", time.Since(promoted).Round(time.Millisecond))
	storagetest.EventuallyRedis(t, "control: redis has lost logouts, and who believes it lets in", func() bool {
		for _, key := range keys[:n/2] {
			if found, asked := w.found(naive, readsNaive, key); found && !asked {
				return true
			}
		}
		return false
	})
	check("after the failover")
	check("and once more")
}

// The control of the deadline: without it, who is logged in waits for a server that hangs.
func TestWithoutDeadline(t *testing.T) {
	w := newWorld(t)
	patient, _ := w.node("k", func(_ *durable, s *redisdb.Sessions) { s.SetWait(time.Hour) })
	key := w.save(patient, "s1")
	w.r.Signal(syscall.SIGSTOP)
	found := make(chan error, 1)
	go func() {
		_, err := patient.FindSession(context.WithoutCancel(t.Context()), tenant, key)
		found <- err
	}()
	select {
	case err := <-found:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(2 * time.Second):
	}
	w.r.Signal(syscall.SIGCONT)
	if err := <-found; err != nil {
		t.Error(err)
	}
}
