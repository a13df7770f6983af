package caddymodule

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-sso/postern/core"
)

// Two configurations share what is open; the last to let go closes it, and lets
// go once however often Cleanup runs. Cleanup after a Provision that failed halfway does nothing.
func TestPool(t *testing.T) {
	first := openApp(t, nil)
	second := &App{ctx: first.ctx, log: first.log, settings: first.settings}
	if err := second.counters.register(prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	if err := second.open(); err != nil {
		t.Fatal(err)
	}
	if first.core.shared != second.core.shared {
		t.Error("the directory is open twice")
	}
	for range 3 {
		if err := first.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.core.shared.db.Ping(t.Context()); err != nil {
		t.Errorf("closed under the second configuration: %v", err)
	}
	if err := second.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if refs, there := pool.References(first.settings.poolKey()); there {
		t.Errorf("%d references are left", refs)
	}
	if err := second.core.shared.db.Ping(t.Context()); err == nil {
		t.Error("control: it is not closed")
	}
	if err := new(App).Cleanup(); err != nil {
		t.Errorf("Cleanup of nothing: %v", err)
	}
	failed := &App{ctx: first.ctx, log: first.log, settings: settings{data: "/dev/null/x", origin: "http://auth.test"}}
	if err := failed.open(); err == nil {
		t.Error("opened below a file")
	}
	if err := failed.Cleanup(); err != nil {
		t.Errorf("Cleanup of what could not be opened: %v", err)
	}
}

// A hundred reloads leave no goroutine behind.
func TestReloadsLeak(t *testing.T) {
	kept := openApp(t, nil)
	goroutines := 0
	for i := range 101 {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		a := &App{ctx: ctx, log: kept.log, settings: kept.settings}
		if err := a.counters.register(prometheus.NewRegistry()); err != nil {
			t.Fatal(err)
		}
		if err := a.open(); err != nil {
			t.Fatal(err)
		}
		if err := a.Cleanup(); err != nil {
			t.Fatal(err)
		}
		cancel()
		if i == 0 {
			time.Sleep(10 * time.Millisecond)
			goroutines = runtime.NumGoroutine()
		}
	}
	for began := time.Now(); runtime.NumGoroutine() > goroutines+5; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%d goroutines became %d", goroutines, runtime.NumGoroutine())
		}
	}
}

// What changes in the directory leaves memory at once.
func TestChangesReachTheCaches(t *testing.T) {
	s := openSystem(t)
	ctx := t.Context()
	u := &core.User{UserName: "alice", Active: true, Type: core.UserInternal, Path: "users"}
	if err := s.shared.db.CreateUser(ctx, "public", u); err != nil {
		t.Fatal(err)
	}
	var seen []core.Change
	stop := s.shared.db.Listen(func(_ core.TenantID, c []core.Change) { seen = append(seen, c...) })
	defer stop()
	if err := s.shared.db.DeleteUser(ctx, "public", u.PK); err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 || seen[0].Kind != "user" || seen[0].ID != string(u.ID) {
		t.Errorf("changes: %v", seen)
	}
}

// What is over goes, in whichever tenant it is; what is not stays.
func TestEveryTenantIsSwept(t *testing.T) {
	sh := openSystem(t).shared
	ctx, now := t.Context(), time.Now()
	if _, err := sh.db.CreateTenant(ctx, "t_b", "B"); err != nil {
		t.Fatal(err)
	}
	left := func(tenant core.TenantID) (n int) {
		events, err := sh.db.RecentEvents(ctx, tenant, 100)
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			if strings.HasPrefix(events[i].Action, "test_") {
				n++
			}
		}
		return n
	}
	for _, tenant := range []core.TenantID{"public", "t_b"} {
		for action, at := range map[string]time.Time{"test_over": now.Add(-2 * 365 * 24 * time.Hour), "test_not_yet": now.Add(-time.Hour)} {
			if err := sh.db.Record(ctx, tenant, core.Event{Action: action, Time: at}); err != nil {
				t.Fatal(err)
			}
		}
		if left(tenant) != 2 {
			t.Fatalf("control: %d events in %s", left(tenant), tenant)
		}
	}
	sh.expire(ctx, slog.New(slog.DiscardHandler))
	for _, tenant := range []core.TenantID{"public", "t_b"} {
		if left(tenant) != 1 {
			t.Errorf("%d events are left in %s, want one", left(tenant), tenant)
		}
	}
}

// The log of what outlives a configuration follows the configuration.
func TestRelay(t *testing.T) {
	var one, two bytes.Buffer
	r := new(relay)
	r.to(slog.New(slog.NewTextHandler(&one, nil)))
	log := slog.New(r).With("a", 1).WithGroup("g").With("b", 2)
	log.Info("first")
	r.to(slog.New(slog.NewTextHandler(&two, nil)))
	log.Info("second")
	log.Debug("too quiet")
	if !strings.Contains(one.String(), "first a=1 g.b=2") || strings.Contains(one.String(), "second") {
		t.Errorf("the first log: %s", one.String())
	}
	if !strings.Contains(two.String(), "second a=1 g.b=2") || strings.Contains(two.String(), "quiet") {
		t.Errorf("the second log: %s", two.String())
	}
}
