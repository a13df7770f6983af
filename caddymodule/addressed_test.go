package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
)

// A Host leads elsewhere by another scheme, whose default port is another, however short a time ago it was asked for.
func TestAddressByScheme(t *testing.T) {
	s := openSystem(t)
	for range 2 {
		for scheme, want := range map[string]string{"http": "app.test", "https": "app.test:80"} {
			if to, err := s.address(t.Context(), scheme, "app.test:80"); err != nil || to.host != want {
				t.Errorf("%s: %q %v, want %q", scheme, to.host, err, want)
			}
		}
	}
}

// A Host in the absolute form is a piece of the request line. What is remembered keeps no line in memory.
func TestAddressKeepsNoRequest(t *testing.T) {
	s := openSystem(t)
	const lines, length = 600, 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range lines {
		line := fmt.Sprintf("app%d.test/%s", i, strings.Repeat("x", length))
		host, _, _ := strings.Cut(line, "/")
		to, err := s.address(t.Context(), "http", host)
		if err != nil || to.host != host {
			t.Fatal(to.host, err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > lines*length/3 {
		t.Errorf("%d bytes more are in use after %d requests of %d", grown, lines, length)
	}
	runtime.KeepAlive(s)
}

// What a guard states is for what it guards: the handlers after it, as those of handle_errors, find their own. It is not
// printed, as it has the cookies.
func TestStatedBehindAGuard(t *testing.T) {
	a := openApp(t, nil)
	s := a.core
	info := &core.RequestInfo{Tenant: defaultOf(t, s), Scheme: "http", Host: "app.test", Cookies: []string{"authentik_session=secret"}}
	if said := fmt.Sprintf("%+v %#v", statement{info}, statement{info}); strings.Contains(said, "secret") {
		t.Errorf("printed: %s", said)
	}
	g := &Guard{app: a, SkipPath: []string{"/*"}}
	if err := g.check(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://app.test/x", nil)
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	inside := false
	err := g.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		inside = stated(varsOf(r)) != nil
		return nil
	}))
	if err != nil || !inside {
		t.Errorf("behind the guard: stated %t, %v, status %d", inside, err, w.Code)
	}
	if stated(varsOf(r)) != nil {
		t.Error("after the guard it is stated still")
	}
}
