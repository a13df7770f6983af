package caddymodule

import (
	"context"
	"log/slog"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// openApp is an app on a data directory of its own, with a site of its own, without a server.
func openApp(t testing.TB, change func(*App)) *App {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	a := &App{ctx: ctx, log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(a)
	}
	a.settings.data = t.TempDir()
	if a.settings.origin == "" {
		a.settings.origin = "http://auth.test"
	}
	if err := a.counters.register(prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	if err := a.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Cleanup(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	return a
}

func openSystem(t testing.TB) *system { return openApp(t, nil).core }
