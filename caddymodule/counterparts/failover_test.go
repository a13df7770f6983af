package counterparts_test

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// standby makes a server that follows another one, and waits until it has caught up.
func (s *ownPostgres) standby(t *testing.T) *ownPostgres {
	t.Helper()
	other := &ownPostgres{t: t, bin: s.bin, port: porttest.Free(t), as: s.as, dir: filepath.Join(filepath.Dir(s.dir), "standby")}
	s.run("pg_basebackup", "-h", "127.0.0.1", "-p", s.port, "-U", "postgres", "-D", other.dir, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	other.start()
	t.Cleanup(func() { other.stop("immediate") })
	db, err := sql.Open("pgx", s.url().String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	eventually(t, "the standby follows", func() bool {
		var n int
		return db.QueryRow(`SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'`).Scan(&n) == nil && n == 1
	})
	return other
}

// L-07: the primary dies and its standby takes over, at the second host of the URL. Every node finds it by itself.
// What was revoked before, and was on both, stays revoked. What the standby never had is lost, as it must be
// without synchronous replication, and then no node goes on with what it remembers: all see what the database says.
func TestDatabaseFailover(t *testing.T) {
	primary := startOwnPostgres(t)
	name := "postern"
	execute(t, primary.url(), `CREATE DATABASE `+name)
	database := primary.url()
	database.Path = "/" + name
	standby := primary.standby(t)
	execute(t, primary.url(), `ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`)
	database.Host += ",127.0.0.1:" + standby.port
	database.RawQuery += "&target_session_attrs=read-write"

	f := newFleet(t)
	one := f.add(t, database, "revocation_staleness 5m", "allow_groups staff")
	two := f.add(t, database, "revocation_staleness 5m", "allow_groups staff")
	ran(t, "caddy")
	ran(t, "postgresql-failover")
	staff := one.addGroup(t, "staff")
	people := map[string]*person{}
	pks := map[string]string{}
	for _, name := range []string{"alice", "kept-out", "lost", "lost-too"} {
		pks[name] = one.addUser(t, name, staff)
		people[name] = f.person(t)
		people[name].login(f.app()+"/", name)
		if ok, status := people[name].let(two); !ok {
			t.Fatalf("node two does not let %s in: %d", name, status)
		}
	}
	// A refusal takes a browser's cookie: this one is not asked before it is over.
	again := f.person(t)
	again.login(f.app()+"/", "lost")
	refuse := func(by *fleetNode, name string) {
		t.Helper()
		by.api(t, http.MethodPatch, "/core/users/"+pks[name]+"/", `{"is_active": false}`, http.StatusOK)
		for _, n := range f.nodes {
			eventually(t, "a node refuses "+name, func() bool { ok, _ := people[name].let(n); return !ok })
		}
	}
	refuse(one, "kept-out")
	// From here on, nothing reaches the standby.
	execute(t, primary.url(), `ALTER SYSTEM RESET synchronous_standby_names`, `SELECT pg_reload_conf()`)
	standby.run("psql", "-q", "-h", "127.0.0.1", "-p", standby.port, "-U", "postgres", "-c", `ALTER SYSTEM SET primary_conninfo = ''`, "-c", `SELECT pg_reload_conf()`)
	db, err := sql.Open("pgx", primary.url().String())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the standby is alone", func() bool {
		var n int
		return db.QueryRow(`SELECT count(*) FROM pg_stat_replication`).Scan(&n) == nil && n == 0
	})
	db.Close()
	refuse(two, "lost-too")
	// It may be that nobody has read the last change again when the server dies: the node that wrote it knows of it.
	one.api(t, http.MethodPatch, "/core/users/"+pks["lost"]+"/", `{"is_active": false}`, http.StatusOK)
	if ok, _ := people["lost"].let(one); ok {
		t.Error("a node lets in whom it was told to refuse")
	}

	primary.stop("immediate")
	if ok, status := people["alice"].let(two); !ok {
		t.Errorf("while there is no primary, alice is not let in from memory: %d", status)
	}
	for _, n := range f.nodes {
		eventually(t, "a node is not ready", func() bool { return n.status(t, "/-/health/ready/") == http.StatusServiceUnavailable })
	}
	standby.run("pg_ctl", "-s", "-w", "-t", "60", "-D", standby.dir, "promote")
	for i, n := range f.nodes {
		took := eventually(t, "a node is ready", func() bool { return n.status(t, "/-/health/ready/") == http.StatusOK })
		t.Logf("node %d was ready %s after the promotion", i+1, took)
		if ok, status := people["alice"].let(n); !ok {
			t.Errorf("node %d does not let alice in: %d", i+1, status)
		}
		if ok, _ := people["kept-out"].let(n); ok {
			t.Errorf("node %d lets in who was refused before the failover", i+1)
		}
		// The control of the line before: what the standby never had is lost.
		eventually(t, "what is lost is forgotten", func() bool { ok, _ := again.let(n); return ok })
		n.tells(t, "the outbox is not the one that was read before")
		n.tells(t, "another server has taken over")
	}
	// Both go on as one: what is revoked now holds everywhere.
	refuse(one, "alice")
}
