package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// BenchmarkRequest is a request as Caddy's server prepares it, to a handler that
// answers at once: alone (the ceiling), and behind the guard with a live session in the real
// store. A store call would show: a read of SQLite takes 35 µs.
func BenchmarkRequest(b *testing.B) {
	a := openApp(b, nil)
	g := &Guard{app: a}
	ctx := b.Context()
	admin, err := a.core.shared.db.UserByName(ctx, core.DefaultTenant, "akadmin")
	if err != nil {
		b.Fatal(err)
	}
	info := &core.RequestInfo{Tenant: defaultOf(b, a.core), Scheme: "http", Host: "auth.test"}
	r := httptest.NewRequest("POST", "/", nil)
	login, err := a.core.shared.sessions.Start(httptest.NewRecorder(), r.WithContext(core.WithRequest(ctx, info)), admin, nil)
	if err != nil {
		b.Fatal(err)
	}
	_, key, err := a.core.shared.sessions.StartChild(ctx, core.DefaultTenant, login.ID, outpost.DeclaredID("app.test"))
	if err != nil {
		b.Fatal(err)
	}
	name := guardCookie(b, g)
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	var ceiling float64
	for _, c := range []struct {
		what  string
		serve func(w http.ResponseWriter, r *http.Request) error
	}{
		{"ceiling", next},
		{"guarded", func(w http.ResponseWriter, r *http.Request) error { return g.ServeHTTP(w, r, next) }},
	} {
		b.Run(c.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", "/x?y=1", nil)
				r.Host, r.RequestURI = "app.test", "/x?y=1"
				r.Header = http.Header{"Cookie": {name + "=" + key}, "Accept": {"text/html"}, "User-Agent": {"x"}}
				w := httptest.NewRecorder()
				if err := c.serve(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)); err != nil || w.Code != http.StatusNoContent {
					b.Fatalf("%d %v", w.Code, err)
				}
			}
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			if ceiling == 0 {
				ceiling = each
			} else {
				b.ReportMetric(100*ceiling/each, "%of-unguarded")
			}
		})
	}
}

// BenchmarkTenantMade is a tenant as an operator makes one: from the request to the tenants API until
// its answer, while a key is in stock and PostgreSQL has the tables; and one after the other, which waits
// for both.
func BenchmarkTenantMade(b *testing.B) {
	storagetest.OnEngines(b, func(b *testing.B, empty func(testing.TB) sqldb.Options) {
		opt, goal := empty(b), 50*time.Millisecond
		a := openApp(b, func(a *App) {
			a.settings.database, a.settings.tenantsKey = core.Secret(opt.URL), "the key of the tenants API"
			if opt.URL != "" {
				goal = 300 * time.Millisecond
			}
		})
		info := &core.RequestInfo{Tenant: defaultOf(b, a.core), Scheme: "http", Host: "auth.test", ClientIP: netip.MustParseAddr("192.0.2.7")}
		n := 0
		create := func(b *testing.B) {
			n++
			body := fmt.Sprintf(`{"name": "Tenant %d", "schema_name": "t_new%[1]d"}`, n)
			r := httptest.NewRequest("POST", "http://auth.test/api/v3/tenants/tenants/", strings.NewReader(body))
			r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer the key of the tenants API"}}
			w := httptest.NewRecorder()
			a.core.api.ServeHTTP(w, r.WithContext(core.WithRequest(b.Context(), info)))
			if w.Code != http.StatusCreated {
				b.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		create(b) // with the template
		b.Run("one", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				<-a.core.shared.stock.Keep(true)
				<-a.core.shared.db.KeepSpare(b.Context())
				b.StartTimer()
				create(b)
			}
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(100*float64(goal.Nanoseconds())/each, "%of-"+goal.String())
		})
		b.Run("in-a-row", func(b *testing.B) {
			for b.Loop() {
				create(b)
			}
		})
	})
}

// guardCookie is the name of the guard's cookie, which it takes away where it opens nothing.
func guardCookie(b *testing.B, g *Guard) string {
	b.Helper()
	sum := core.Hash("caddyfile:app.test")
	const digits = "0123456789abcdef"
	name := []byte("authentik_proxy_")
	for _, c := range sum[:4] {
		name = append(name, digits[c>>4], digits[c&15])
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.RequestURI = "app.test", "/"
	r.Header.Set("Cookie", string(name)+"=stale")
	w := httptest.NewRecorder()
	if err := g.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil), nil); err != nil {
		b.Fatal(err)
	}
	for _, c := range w.Result().Cookies() {
		if c.Name == string(name) {
			return c.Name
		}
	}
	b.Fatal("the guard does not know its cookie by this name")
	return ""
}
