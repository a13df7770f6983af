package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
)

func statedFor(t *testing.T, change func(r *http.Request), trusted bool) (*core.RequestInfo, error) {
	t.Helper()
	r := httptest.NewRequest("GET", "/rewritten", nil)
	r.Host = "app.test"
	r.RequestURI = "/asked?x=1"
	if change != nil {
		change(r)
	}
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.TrustedProxyVarKey: trusted, caddyhttp.ClientIPVarKey: "192.0.2.1",
	})
	ctx = context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, http.Request{RequestURI: r.RequestURI, URL: r.URL})
	r = r.WithContext(ctx)
	r.RequestURI = "/rewritten"
	s := openSystem(t)
	return s.state(r, "")
}

// F-13, F-15: what is stated of a request is what Caddy knows, and a header counts only from a
// proxy that Caddy trusts; then its nearest value.
func TestEdge(t *testing.T) {
	set := func(kv ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(kv); i += 2 {
				r.Header.Add(kv[i], kv[i+1])
			}
		}
	}
	forged := set("X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "https", "Forwarded", "host=evil.test;proto=https", "X-Forwarded-For", "203.0.113.9", "X-Real-IP", "203.0.113.9", "X-Original-URI", "/evil")
	for _, c := range []struct {
		name    string
		change  func(*http.Request)
		trusted bool
		origin  string
		uri     string
	}{
		{"plain", nil, false, "http://app.test", "/asked?x=1"},
		{"TLS", func(r *http.Request) { r.TLS = new(tls.ConnectionState) }, false, "https://app.test", "/asked?x=1"},
		{"port and case", func(r *http.Request) { r.Host = "APP.test.:8080" }, false, "http://app.test:8080", "/asked?x=1"},
		{"default port", func(r *http.Request) { r.Host = "app.test:80" }, false, "http://app.test", "/asked?x=1"},
		{"IPv6", func(r *http.Request) { r.Host = "[::1]:80" }, false, "http://[::1]", "/asked?x=1"},
		{"forged headers", forged, false, "http://app.test", "/asked?x=1"},
		{"a trusted proxy", set("X-Forwarded-Host", "auth.test", "X-Forwarded-Proto", "https"), true, "https://auth.test", "/asked?x=1"},
		{"a trusted proxy behind a client that forges", set("X-Forwarded-Host", "evil.test", "X-Forwarded-Host", "evil.test, auth.test", "X-Forwarded-Proto", "http,https"), true, "https://auth.test", "/asked?x=1"},
		{"absolute form", func(r *http.Request) { r.RequestURI = "http://other.test/a?b" }, false, "http://app.test", "/a?b"},
		{"absolute form without a path", func(r *http.Request) { r.RequestURI = "http://other.test?b" }, false, "http://app.test", "/?b"},
		{"absolute form of nothing", func(r *http.Request) { r.RequestURI = "http://other.test" }, false, "http://app.test", "/"},
	} {
		info, err := statedFor(t, c.change, c.trusted)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if info.Origin() != c.origin || info.URI != c.uri || info.ClientIP.String() != "192.0.2.1" || info.Tenant.ID != core.DefaultTenant || info.ID == "" {
			t.Errorf("%s: %s %s %s", c.name, info.Origin(), info.URI, info.ClientIP)
		}
	}
	for _, host := range []string{"", " ", "a b", "a/b", "a@b", "<x>", "a\r\nb", "..", "[::1", "app.test:99999", "ä.test"} {
		_, err := statedFor(t, func(r *http.Request) { r.Host = host }, false)
		var wrong *edgeError
		if !errors.As(err, &wrong) || wrong.status != http.StatusBadRequest {
			t.Errorf("Host %q: %v", host, err)
		}
	}
}

// What expressions read of a request is what was sent, and no more than they need.
func TestEdgeMethodAndAgent(t *testing.T) {
	info, err := statedFor(t, func(r *http.Request) {
		r.Method = http.MethodPut
		r.Header.Set("User-Agent", strings.Repeat("é", 1000)+"\xff")
	}, false)
	if err != nil || info.Method != http.MethodPut || len(info.UserAgent) != 500 || !utf8.ValidString(info.UserAgent) {
		t.Errorf("%s, %d bytes (%v)", info.Method, len(info.UserAgent), err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Host = "app.test"
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, *r))
	r.Method = http.MethodGet // as a handler before ours rewrote it
	if info, err := openSystem(t).state(r, ""); err != nil || info.Method != http.MethodPost {
		t.Errorf("rewritten: %v (%v)", info, err)
	}
}

func TestStrictHosts(t *testing.T) {
	s := openSystem(t)
	s.settings.strictHosts = true
	s.sites.portal = []site{{"http", "", "80"}, {"http", "portal.test", "80"}}
	s.sites.guards = []guardSite{{site{"http", "*.apps.test", "80"}, new(Guard)}}
	for host, known := range map[string]bool{"auth.test": true, "portal.test": true, "a.apps.test": true, "stranger.test": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		_, err := s.state(r, "")
		var wrong *edgeError
		if (err == nil) != known || !known && (!errors.As(err, &wrong) || wrong.status != http.StatusMisdirectedRequest) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// Health is the server's and tells of no tenant: it answers whoever knows the server by an address only. The control is
// another path of the same Host.
func TestHealthHost(t *testing.T) {
	a := openApp(t, func(a *App) { a.settings.strictHosts = true })
	a.core.started.Store(true)
	portal := site{"http", "", "80"}
	here, elsewhere := &Guard{app: a}, &Guard{app: a}
	a.sites.portal = []site{portal}
	a.sites.guards = []guardSite{{portal, here}, {site{"http", "*.apps.test", "80"}, elsewhere}}
	ask := func(h caddyhttp.MiddlewareHandler, host, path string) int {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://auth.test"+path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
		if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })); err != nil {
			t.Fatal(err)
		}
		return w.Code
	}
	for _, host := range []string{"127.0.0.1:8080", "10.2.3.4:8080", "[fd00::1]:8080", "postern", "under_score", ""} {
		for _, path := range []string{"/-/health/live/", "/-/health/ready/", "/-/health/live", "/-/health/ready"} {
			if got := ask(&Provider{a}, host, path); got != http.StatusOK {
				t.Errorf("%s at %q: %d", path, host, got)
			}
			if got := ask(here, host, path); got != http.StatusOK {
				t.Errorf("%s at %q, where guard and portal share a site: %d", path, host, got)
			}
			if got := ask(elsewhere, host, path); got == http.StatusOK {
				t.Errorf("%s at %q is a guarded application's: %d", path, host, got)
			}
		}
	}
	for _, path := range []string{"/-/health/", "/if/user/"} {
		if got := ask(&Provider{a}, "127.0.0.1:8080", path); got != http.StatusMisdirectedRequest {
			t.Errorf("control: %s: %d", path, got)
		}
	}
}
