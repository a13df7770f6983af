package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
)

// addTenant makes a tenant that has domains, the first of them its primary one.
func addTenant(t testing.TB, s *system, id core.TenantID, domains ...string) *core.Tenant {
	t.Helper()
	db := s.shared.db
	if _, err := db.CreateTenant(t.Context(), id, string(id)); err != nil {
		t.Fatal(err)
	}
	for i, d := range domains {
		if err := db.CreateDomain(t.Context(), &core.Domain{Tenant: id, Name: d, Primary: i == 0}); err != nil {
			t.Fatal(err)
		}
	}
	tenant, err := s.tenantByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// addProxy registers an application of a tenant at a host.
func addProxy(t testing.TB, s *system, tenant core.TenantID, slug, external string) *core.ProxyProvider {
	t.Helper()
	p := &core.ProxyProvider{ClientID: slug, Mode: core.ProxyAuthSingle, ExternalHost: external}
	p.Name = slug
	if err := s.shared.db.CreateProxyProvider(t.Context(), tenant, p); err != nil {
		t.Fatal(err)
	}
	if err := s.shared.db.CreateApplication(t.Context(), tenant, &core.Application{Name: slug, Slug: slug, Provider: p.ID}); err != nil {
		t.Fatal(err)
	}
	return p
}

// asked is a request as Caddy's server hands it to our handlers.
func asked(host string, change func(*http.Request)) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.RequestURI = host, "/"
	r.Header.Set("Accept", "text/html")
	if change != nil {
		change(r)
	}
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
}

// a host is a tenant's where whoever runs the server gave it to the tenant, exactly; below a domain
// only where the tenant has an application there. An application's host elsewhere is nobody's claim: else
// the administrator of one tenant takes another's application by registering its host. All other hosts are
// the default tenant's, and with strict_hosts nobody's.
func TestTenantOfHost(t *testing.T) {
	a := openApp(t, func(a *App) {
		a.sites.guards = []guardSite{
			{site{"https", "given.test", "443"}, &Guard{Tenant: "t_acme"}},
			{site{"https", "*.given.test", "443"}, &Guard{Tenant: "t_beta"}},
			{site{"https", "unclear.test", "443"}, &Guard{Tenant: "t_acme"}}, {site{"https", "unclear.test", "443"}, &Guard{}},
			{site{"https", "", "443"}, &Guard{Tenant: "t_acme"}},
			{site{"https", "gone.test", "443"}, &Guard{Tenant: "t_gone"}},
			// Below a domain of t_acme's.
			{site{"https", "staff.acme.test", "443"}, &Guard{AllowGroups: []string{"staff"}}},
			{site{"https", "*.staff.acme.test", "443"}, &Guard{Application: "own"}},
			{site{"https", "plain.acme.test", "443"}, &Guard{}},
			{site{"https", "both.acme.test", "443"}, &Guard{}},
			{site{"https", "mixed.acme.test", "443"}, &Guard{}}, {site{"https", "mixed.acme.test", "443"}, &Guard{Tenant: "public"}},
		}
		a.sites.media = []site{{"https", "pictures.acme.test", "443"}}
		a.sites.portal = []site{{"https", "login2.acme.test", "443"}, {"https", "both.acme.test", "443"}}
		a.sites.index()
	})
	s := a.core
	addTenant(t, s, "t_acme", "acme.test", "login.acme.test")
	var log strings.Builder
	a.log = textLog(&log)
	a.warnAbsent()
	for _, host := range []string{"plain.acme.test", "both.acme.test", "staff.acme.test", "given.test", "unclear.test"} {
		warned := strings.Contains(log.String(), "host="+host+" domain=acme.test")
		if mixed := host == "plain.acme.test" || host == "both.acme.test"; warned != mixed {
			t.Errorf("warned of %s: %t\n%s", host, warned, &log)
		}
	}
	addTenant(t, s, "t_beta", "beta.test", "deep.acme.test")
	addProxy(t, s, "t_acme", "wiki", "https://wiki.acme.test:8443/path")
	addProxy(t, s, "t_acme", "greedy", "https://app.test")
	addProxy(t, s, "t_acme", "nosy", "https://x.deep.acme.test")
	addProxy(t, s, "t_beta", "thief", "https://wiki.acme.test")
	addProxy(t, s, "t_beta", "thief2", "https://mail.acme.test")
	addProxy(t, s, "t_beta", "portal", "https://auth.test")
	addProxy(t, s, core.DefaultTenant, "own", "https://own.test")
	addProxy(t, s, core.DefaultTenant, "inner", "https://inner.acme.test")
	domain := func(tenant core.TenantID, slug, external, domain string) {
		t.Helper()
		p := addProxy(t, s, tenant, slug, external)
		if _, err := s.shared.db.UpdateProxyProvider(t.Context(), tenant, p.ID, func(p *core.ProxyProvider) error {
			p.Mode, p.CookieDomain = core.ProxyAuthDomain, domain
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	domain(core.DefaultTenant, "zone", "https://auth.zone.acme.test", "zone.acme.test")
	domain(core.DefaultTenant, "wide", "https://auth.wide.test", "wide.test") // above what t_gamma was given
	addTenant(t, s, "t_gamma", "g.wide.test")
	addProxy(t, s, "t_gamma", "x", "https://x.g.wide.test")
	for i, host := range []string{"staff", "x.staff", "plain", "both", "login2", "inner", "a.zone", "mixed", "pictures"} {
		addProxy(t, s, "t_acme", fmt.Sprintf("taker-%d", i), "https://"+host+".acme.test")
	}
	for host, want := range map[string]core.TenantID{
		"acme.test": "t_acme", "ACME.test.": "t_acme", "acme.test:8443": "t_acme", "www.acme.test": "t_acme", "login.acme.test": "t_acme",
		"beta.test": "t_beta", "deep.acme.test": "t_beta",
		"wiki.acme.test": "t_acme", "wiki.acme.test:9000": "t_acme", "www.www.acme.test": "", "other.acme.test": "", "mail.acme.test": "",
		"app.test": "", "x.deep.acme.test": "", "acme.test.evil.test": "", "xacme.test": "", "test": "", "[::1]": "", "127.0.0.1": "", "localhost": "", "own.test": "",
		"staff.acme.test": "", "x.staff.acme.test": "", "login2.acme.test": "", "inner.acme.test": "", "a.zone.acme.test": "", "mixed.acme.test": "", "pictures.acme.test": "",
		"x.g.wide.test": "t_gamma", "y.wide.test": "",
		"plain.acme.test": "t_acme", "both.acme.test": "t_acme", // it has registered them, and nobody else says whose they are
		"given.test": "t_acme", "a.given.test": "t_beta", "a.b.given.test": "", "unclear.test": "", "auth.test": "",
	} {
		for _, strict := range []bool{false, true} {
			s.settings.strictHosts = strict
			clear(s.lately.slots[:]) // its settings do not change
			info, err := s.state(asked(host, nil), "")
			var wrong *edgeError
			named := slices.Contains([]string{"auth.test", "own.test", "unclear.test", "staff.acme.test", "x.staff.acme.test", "login2.acme.test", "inner.acme.test", "a.zone.acme.test", "mixed.acme.test", "pictures.acme.test", "y.wide.test"}, host)
			switch {
			case want != "":
				if err != nil || info.Tenant.ID != want {
					t.Errorf("%s (strict: %t): %+v %v; want %s", host, strict, info, err, want)
				}
			case strict && !named:
				if !errors.As(err, &wrong) || wrong.status != http.StatusMisdirectedRequest {
					t.Errorf("%s (strict): %+v %v", host, info, err)
				}
			default:
				if err != nil || info.Tenant.ID != core.DefaultTenant {
					t.Errorf("%s (strict: %t): %+v %v; want the default tenant", host, strict, info, err)
				}
			}
		}
	}
	s.settings.strictHosts, s.settings.origin = false, "https://login3.acme.test"
	addProxy(t, s, "t_acme", "taker-origin", "https://login3.acme.test")
	if info, err := s.state(asked("login3.acme.test", nil), ""); err != nil || info.Tenant.ID != core.DefaultTenant {
		t.Errorf("the origin's host: %+v %v", info, err)
	}
	var gone *unknownTenantError
	if info, err := s.state(asked("gone.test", nil), ""); !errors.As(err, &gone) {
		t.Errorf("a host of a tenant that does not exist: %+v %v", info, err)
	}
}

// A tenant's application is found at its host from the moment that it is registered, until it is deleted; and
// of hosts that nobody has, the directory is not asked.
func TestApplicationMovesHost(t *testing.T) {
	s := openSystem(t)
	addTenant(t, s, "t_acme", "acme.test")
	list, reads := s.shared.hosts.list, 0
	s.shared.hosts.list = func(ctx context.Context, id core.TenantID) ([]core.ProxyApplication, error) {
		reads++
		return list(ctx, id)
	}
	whose := func(host string) core.TenantID {
		info, err := s.state(asked(host, nil), "")
		if err != nil {
			t.Fatal(err)
		}
		return info.Tenant.ID
	}
	for range 1000 {
		if got := whose("wiki.acme.test"); got != core.DefaultTenant {
			t.Fatalf("before it is registered: %s", got)
		}
		whose(strings.ToLower(core.RandomAlphanumeric(8)) + ".acme.test")
		whose(strings.ToLower(core.RandomAlphanumeric(8)) + ".nowhere.test")
	}
	if reads != 1 {
		t.Errorf("the directory was asked %d times", reads)
	}
	p := addProxy(t, s, "t_acme", "wiki", "https://wiki.acme.test")
	if got := whose("wiki.acme.test"); got != "t_acme" {
		t.Errorf("registered: %s", got)
	}
	if _, err := s.shared.db.UpdateProxyProvider(t.Context(), "t_acme", p.ID, func(p *core.ProxyProvider) error {
		p.Mode, p.ExternalHost, p.CookieDomain = core.ProxyAuthDomain, "https://auth.acme.test", "apps.acme.test"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]core.TenantID{"wiki.acme.test": core.DefaultTenant, "a.apps.acme.test": "t_acme", "apps.acme.test": "t_acme", "auth.acme.test": "t_acme", "xapps.acme.test": core.DefaultTenant} {
		if got := whose(host); got != want {
			t.Errorf("%s is %s's", host, got)
		}
	}
	if err := s.shared.db.DeleteApplication(t.Context(), "t_acme", "wiki"); err != nil {
		t.Fatal(err)
	}
	if got := whose("a.apps.acme.test"); got != core.DefaultTenant {
		t.Errorf("deleted: %s", got)
	}
	// Where the directory cannot tell, nobody is let in as somebody else's.
	s.shared.hosts.Invalidate("t_acme", core.Change{Kind: core.ChangedAny})
	s.shared.hosts.list = func(context.Context, core.TenantID) ([]core.ProxyApplication, error) {
		return nil, core.ErrUnavailable
	}
	if info, err := s.state(asked("a.apps.acme.test", nil), ""); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("while the directory is away: %+v %v", info, err)
	}
	if got := whose("acme.test"); got != "t_acme" {
		t.Errorf("a domain while the directory is away: %s", got)
	}
}

// A connection that was made to one tenant's host carries no requests to another's; a trusted proxy's
// carries all.
func TestConnectionOfAnotherTenant(t *testing.T) {
	s := openSystem(t)
	addTenant(t, s, "t_acme", "acme.test", "second.acme.test")
	addTenant(t, s, "t_beta", "beta.test")
	for _, c := range []struct {
		sni, host string
		trusted   bool
		refused   bool
	}{
		{"acme.test", "acme.test", false, false},
		{"ACME.test", "acme.test:8443", false, false},
		{"acme.test", "second.acme.test", false, false},
		{"", "acme.test", false, false},
		{"acme.test", "beta.test", false, true},
		{"acme.test", "stranger.test", false, true},
		{"stranger.test", "acme.test", false, true},
		{"stranger.test", "auth.test", false, false},
		{"proxy.test", "acme.test", true, false},
	} {
		r := asked(c.host, func(r *http.Request) { r.TLS = &tls.ConnectionState{ServerName: c.sni} })
		caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, c.trusted)
		info, err := s.state(r, "")
		var wrong *edgeError
		refused := errors.As(err, &wrong) && wrong.status == http.StatusMisdirectedRequest
		if refused != c.refused || err != nil && !refused {
			t.Errorf("%+v: %+v %v", c, info, err)
		}
	}
}

// A tenant's pages are where its requests meet `postern`: links that leave a request lead there.
func TestTenantOrigin(t *testing.T) {
	for _, c := range []struct {
		portal []site
		origin string
		host   string
		want   string
	}{
		{[]site{{"http", "", "9080"}}, "http://localhost:9080", "acme.localhost", "http://acme.localhost:9080"},
		{[]site{{"https", "auth.test", "443"}, {"https", "", "443"}}, "https://auth.test", "acme.test", "https://acme.test"},
		{[]site{{"https", "auth.test", "443"}, {"http", "acme.test", "8080"}}, "https://auth.test", "acme.test", "http://acme.test:8080"},
		{[]site{{"https", "auth.test", "443"}, {"http", "", "80"}, {"https", "", "8443"}}, "https://auth.test", "acme.test", "https://acme.test:8443"},
		{[]site{{"https", "auth.test", "443"}, {"https", "*.test", "9443"}, {"https", "", "8443"}}, "https://auth.test", "acme.test", "https://acme.test:9443"},
		{[]site{{"http", "", "8080"}}, "https://auth.test", "acme.test", "https://acme.test"}, // behind a proxy that ends TLS
		{[]site{{"https", "auth.test", "443"}}, "https://auth.test", "acme.test", "https://acme.test"},
		{[]site{{"https", "", "443"}}, "https://auth.test:444", "acme.test", "https://acme.test:444"},
	} {
		s := &sites{portal: c.portal}
		if got := s.tenantOrigin(c.host, c.origin); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A guard that names its tenant lets in that tenant's people at every host; one whose tenant does
// not exist lets in nobody, until it does.
func TestGuardOfTenant(t *testing.T) {
	var log strings.Builder
	a := openApp(t, nil)
	s := a.core
	addTenant(t, s, "t_acme", "acme.test")
	serve := func(g *Guard, cookie string) (*httptest.ResponseRecorder, string) {
		t.Helper()
		w, user := httptest.NewRecorder(), "nobody reached"
		r := asked("app.test", func(r *http.Request) {
			r.Header.Set("X-authentik-username", "forged")
			r.Header.Set("Cookie", cookie)
		})
		if err := g.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			user = r.Header.Get("X-authentik-username")
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		return w, user
	}
	cookieOf := func(id core.TenantID) string {
		t.Helper()
		return guardedCookie(t, s, id, "app.test")
	}
	acme, public := cookieOf("t_acme"), cookieOf(core.DefaultTenant)
	for _, c := range []struct {
		tenant string
		cookie string
		user   string
		to     string
	}{
		{"t_acme", acme, "akadmin", ""},
		{"t_acme", public, "nobody reached", "https://acme.test/application/o/"},
		{"", public, "akadmin", ""},
		{"", acme, "nobody reached", "http://auth.test/application/o/"},
		{"public", public, "akadmin", ""},
	} {
		g := &Guard{app: a, Tenant: c.tenant}
		w, user := serve(g, c.cookie)
		if user != c.user || !strings.HasPrefix(w.Header().Get("Location"), c.to) || (c.to == "") != (w.Header().Get("Location") == "") {
			t.Errorf("%+v: %d %v reached as %q", c, w.Code, w.Header(), user)
		}
	}
	gone := &Guard{app: a, Tenant: "t_gone", SkipPath: []string{"/*"}}
	if err := gone.check(); err != nil {
		t.Fatal(err)
	}
	a.sites.guards = []guardSite{{site{"https", "app.test", "443"}, gone}}
	a.log = textLog(&log)
	a.warnAbsent()
	if !strings.Contains(log.String(), "does not exist") || !strings.Contains(log.String(), "tenant=t_gone") {
		t.Errorf("the log says %q", log.String())
	}
	if w, user := serve(gone, acme); w.Code != http.StatusServiceUnavailable || user != "nobody reached" {
		t.Errorf("a tenant that does not exist: %d, reached as %q", w.Code, user)
	}
	tenant := addTenant(t, s, "t_gone")
	gone.SkipPath = nil
	if err := gone.check(); err != nil {
		t.Fatal(err)
	}
	if w, user := serve(gone, ""); w.Code != http.StatusServiceUnavailable || user != "nobody reached" {
		t.Errorf("the tenant %+v has no domain: %d %v", tenant, w.Code, w.Header())
	}
	log.Reset()
	a.warnAbsent()
	if !strings.Contains(log.String(), "has no domain") {
		t.Errorf("the log says %q", log.String())
	}
	if err := s.shared.db.CreateDomain(t.Context(), &core.Domain{Tenant: "t_gone", Name: "gone.test", Primary: true}); err != nil {
		t.Fatal(err)
	}
	if w, _ := serve(gone, ""); w.Code != http.StatusFound || !strings.HasPrefix(w.Header().Get("Location"), "https://gone.test/") {
		t.Errorf("the tenant is there: %d %v", w.Code, w.Header())
	}
	if w, user := serve(gone, cookieOf("t_gone")); user != "akadmin" {
		t.Errorf("the tenant is there: %d, reached as %q", w.Code, user)
	}
}
