package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// getFile sends a GET to a host, with postern or postern_media there, before a handler that answers 418.
func getFile(t *testing.T, a *App, at, host, uri string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+uri, nil)
	w := httptest.NewRecorder()
	var h caddyhttp.MiddlewareHandler = &Provider{a}
	if at == "postern_media" {
		h = &MediaServer{a}
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(http.StatusTeapot); return nil })
	if err := h.ServeHTTP(w, r, next); err != nil {
		t.Fatal(err)
	}
	return w
}

// Each host serves the files of its own tenant, and an application's folder /media/ stays its own.
func TestMediaHosts(t *testing.T) {
	a := openApp(t, nil)
	s := a.core
	acme, err := s.shared.db.CreateTenant(t.Context(), "t_acme", "Acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.shared.db.CreateDomain(t.Context(), &core.Domain{Name: "acme.test", Tenant: acme.ID, Primary: true}); err != nil {
		t.Fatal(err)
	}
	main := defaultOf(t, s)
	for _, tenant := range []*core.Tenant{main, acme} {
		if err := s.media.Store.Put(t.Context(), tenant.ID, "a.png", strings.NewReader("\x89PNG\r\n\x1a\nof "+string(tenant.ID))); err != nil {
			t.Fatal(err)
		}
	}
	ofMain, ofAcme := s.signer.URL(main, "a.png", media.Options{}), s.signer.URL(acme, "a.png", media.Options{})
	for _, c := range []struct {
		at, host, uri string
		status        int
	}{
		{"postern", "auth.test", ofMain, 200},
		{"postern", "acme.test", ofAcme, 200},
		{"postern", "auth.test", strings.Replace(ofMain, "/files", "", 1), 200},
		{"postern", "acme.test", ofMain, 404},
		{"postern", "auth.test", ofAcme, 404},
		{"postern", "auth.test", "/media/public/a.png", 404},
		{"postern", "auth.test", "/media/photos/a.png", 418},
		{"postern", "auth.test", "/files/a.png", 418},
		{"postern_media", "auth.test", ofMain, 200},
		{"postern_media", "media.test", ofMain, 200},
		{"postern_media", "acme.test", ofAcme, 200},
		{"postern_media", "acme.test", ofMain, 404},
		{"postern_media", "auth.test", "/", 404},
		{"postern_media", "auth.test", "/if/user/", 404},
		{"postern_media", "auth.test", "/media/photos/a.png", 404},
	} {
		w := getFile(t, a, c.at, c.host, c.uri)
		if w.Code != c.status {
			t.Errorf("%s at %s%s: %d %q, want %d", c.at, c.host, c.uri, w.Code, w.Body, c.status)
		}
		if w.Code == 404 && w.Body.String() != "404 page not found\n" {
			t.Errorf("%s at %s%s: %q", c.at, c.host, c.uri, w.Body)
		}
	}
}

// Who may read a file from a page: a host that is nobody's is not the tenant's, although
// its requests are answered.
func TestMediaOwnHosts(t *testing.T) {
	s := openSystem(t)
	acme, err := s.shared.db.CreateTenant(t.Context(), "t_acme", "Acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.shared.db.CreateDomain(t.Context(), &core.Domain{Name: "acme.test", Tenant: acme.ID, Primary: true}); err != nil {
		t.Fatal(err)
	}
	main := defaultOf(t, s)
	for _, c := range []struct {
		tenant *core.Tenant
		host   string
		want   bool
	}{
		{main, "auth.test", true}, {acme, "acme.test", true},
		{main, "acme.test", false}, {acme, "auth.test", false}, {main, "evil.test", false}, {acme, "evil.test", false}, {acme, "x.acme.test", false},
	} {
		if got := s.ownHost(t.Context(), c.tenant, c.host); got != c.want {
			t.Errorf("%s is of %s: %v", c.host, c.tenant.ID, got)
		}
	}
}

// The directory need not be there, or be usable, when the server starts: it is asked for when
// somebody wants a file.
func TestMediaStart(t *testing.T) {
	a := openApp(t, nil)
	main := defaultOf(t, a.core)
	url := a.core.signer.URL(main, "a.png", media.Options{})
	if _, err := os.Stat(a.settings.media.dir); !os.IsNotExist(err) {
		t.Errorf("the start made %s: %v", a.settings.media.dir, err)
	}
	if w := getFile(t, a, "postern", "auth.test", url); w.Code != 404 {
		t.Errorf("without a directory: %d", w.Code)
	}
	if err := os.WriteFile(a.settings.media.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if w := getFile(t, a, "postern", "auth.test", url); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("with a file in its place: %d %q", w.Code, w.Body)
	}
	if w := getFile(t, a, "postern", "auth.test", "/-/health/live/"); w.Code != 200 {
		t.Errorf("health: %d", w.Code)
	}
}
