package redisdb_test

import (
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/redisdb"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// The user of the README may publish and listen, on one server and on a Cluster. One who may not still has everything
// else: Redis is no less there, and the log says what is missing.
func TestHintsOfAUser(t *testing.T) {
	t.Run("one server", func(t *testing.T) {
		r := storagetest.StartRedis(t)
		hintsOfAUser(t, "redis://"+ofUser+r.Addr, r)
	})
	t.Run("cluster", func(t *testing.T) {
		storagetest.Ran(t, "redis-cluster")
		all, url := storagetest.StartRedisCluster(t)
		hintsOfAUser(t, strings.Replace(url, "://", "://"+ofUser, 1), all...)
	})
}

func hintsOfAUser(t *testing.T, url string, servers ...*storagetest.Redis) {
	t.Helper()
	for _, r := range servers {
		r.Do("ACL", "SETUSER", "admin", "on", "nopass", "+@all", "allkeys", "allchannels")
		makeUser(t, r)
	}
	as := func(args ...any) {
		t.Helper()
		for _, r := range servers {
			p := r.Client().Pipeline()
			p.Do(t.Context(), "AUTH", "admin", "any")
			p.Do(t.Context(), args...)
			if _, err := p.Exec(t.Context()); err != nil {
				t.Fatalf("%v: %v", args, err)
			}
		}
	}
	heard := make(chan int64, 100)
	d, said := nodeOn(t, sqldb.Options{Dir: t.TempDir()}, url, func(s *redisdb.Sessions) {
		s.Hint = func(id core.TenantID, seq int64) {
			if id == "t_example" {
				heard <- seq
			}
		}
	})
	answers(t, d)
	storagetest.EventuallyRedis(t, "what is published is heard", func() bool {
		d.sessions.Publish("t_example", 42)
		select {
		case seq := <-heard:
			return seq == 42
		default:
			return false
		}
	})
	as("ACL", "SETUSER", "postern", "resetchannels")
	d.sessions.Publish("t_example", 43)
	storagetest.EventuallyRedis(t, "it is told", func() bool { return said.has("does not publish or subscribe for us") })
	if _, ok := d.sessions.Connected(); !ok {
		t.Error("redis counts as away")
	}
	as("ACL", "SETUSER", "postern", "-get", "-set")
	if _, err := d.FindSession(t.Context(), tenant, core.Hash("none")); err == nil {
		t.Error("a session out of nothing")
	}
	if _, ok := d.sessions.Connected(); ok {
		t.Error("control: redis does not count as away where it does not let the user read")
	}
}

// A server that has no such command, as some proxies and services, does all else as before.
func TestHintsNotThere(t *testing.T) {
	r := storagetest.StartRedis(t, "--rename-command", "PUBLISH", "")
	d, said := nodeOn(t, sqldb.Options{Dir: t.TempDir()}, "redis://"+r.Addr, func(*redisdb.Sessions) {})
	answers(t, d)
	for range 20 {
		d.sessions.Publish("t_example", 1)
		if _, ok := d.sessions.Connected(); !ok {
			t.Fatal("redis counts as away")
		}
	}
	if !said.has("does not publish or subscribe for us") {
		t.Error("nobody is told")
	}
}
