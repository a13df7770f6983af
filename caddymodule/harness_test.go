package caddymodule

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
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
	a.settings.media = mediaSettings{dir: filepath.Join(a.settings.data, "media")}
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

// defaultOf is the default tenant of a system.
func defaultOf(t testing.TB, s *system) *core.Tenant {
	t.Helper()
	tenant, err := s.tenantByID(t.Context(), core.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// guardedCookie is what a browser has at a guarded host after akadmin of a tenant has logged in.
func guardedCookie(t testing.TB, s *system, id core.TenantID, host string) string {
	t.Helper()
	tenant, err := s.tenantByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := s.shared.db.UserByName(t.Context(), id, "akadmin")
	if err != nil {
		t.Fatal(err)
	}
	info := &core.RequestInfo{Tenant: tenant, Scheme: "http", Host: host}
	r := httptest.NewRequest("POST", "/", nil)
	login, err := s.shared.sessions.Start(httptest.NewRecorder(), r.WithContext(core.WithRequest(t.Context(), info)), admin, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := s.shared.sessions.StartChild(t.Context(), id, login.ID, outpost.DeclaredID(host))
	if err != nil {
		t.Fatal(err)
	}
	sum := core.Hash("caddyfile:" + host)
	return fmt.Sprintf("authentik_proxy_%x=%s", sum[:4], key)
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
