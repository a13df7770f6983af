package caddymodule

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/postern-sso/postern/core"
)

// A certificate is for hosts that are somebody's by name. Of others nothing is asked of the directory,
// however many there are.
func TestCertificateAllowed(t *testing.T) {
	a := openApp(t, func(a *App) {
		a.sites.portal = []site{{"https", "", "443"}, {"https", "portal.test", "443"}}
		a.sites.guards = []guardSite{
			{site{"https", "app.test", "443"}, new(Guard)},
			{site{"https", "*.wild.test", "443"}, new(Guard)},
			{site{"https", "", "443"}, &Guard{Tenant: "t_beta"}},
			{site{"https", "x.test", "443"}, &Guard{Tenant: "t_gone"}},
			{site{"https", "*.delta.example", "443"}, &Guard{Tenant: "t_delta"}},
		}
		a.sites.index()
	})
	s, p := a.core, &Permission{app: a}
	addTenant(t, s, "t_acme", "acme.test")
	addTenant(t, s, "t_beta", "beta.test")
	addTenant(t, s, "t_delta", "delta.test")
	addProxy(t, s, core.DefaultTenant, "own", "https://own.test:8443/x")
	domain := addProxy(t, s, core.DefaultTenant, "domain", "https://login.domain.test")
	if _, err := s.shared.db.UpdateProxyProvider(t.Context(), core.DefaultTenant, domain.ID, func(p *core.ProxyProvider) error {
		p.Mode, p.CookieDomain = core.ProxyAuthDomain, "domain.test"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	addProxy(t, s, "t_acme", "wiki", "https://wiki.acme.test")
	addProxy(t, s, "t_acme", "thief", "https://victim.test")
	addProxy(t, s, "t_beta", "guarded", "https://guarded.test")
	addProxy(t, s, "t_delta", "wiki", "https://wiki.delta.example")
	addProxy(t, s, "t_delta", "greedy", "https://more-of.victim.test") // where no guard of its stands
	for _, name := range []string{"auth.test", "AUTH.test", "portal.test", "app.test", "own.test", "login.domain.test", "acme.test", "www.acme.test", "beta.test", "wiki.acme.test", "guarded.test", "wiki.delta.example"} {
		if err := p.CertificateAllowed(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	reads, list := 0, s.shared.hosts.list
	s.shared.hosts.list = func(ctx context.Context, id core.TenantID) ([]core.ProxyApplication, error) {
		if id != "t_gone" {
			reads++
		}
		return list(ctx, id)
	}
	refused := []string{
		"", ".", "*", "*.acme.test", "stranger.test", "a.wild.test", "x.domain.test", "domain.test", "victim.test", "more-of.victim.test", "other.delta.example", "other.acme.test", "a.wiki.acme.test", "test",
		"127.0.0.1", "::1", "[::1]", "acme.test:443", "acme.test.", "acme..test", "acme.test/x", "acme.test\x00", "acme test", "äcme.test", strings.Repeat("a", 300), strings.Repeat("a.", 200) + "test",
	}
	for range 1000 {
		refused = append(refused, strings.ToLower(core.RandomAlphanumeric(10))+".acme.test", strings.ToLower(core.RandomAlphanumeric(10))+".test")
	}
	for _, name := range refused {
		if err := p.CertificateAllowed(t.Context(), name); !errors.Is(err, caddytls.ErrPermissionDenied) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if reads != 0 {
		t.Errorf("the directory was asked %d times", reads)
	}
	// Control: what is added is allowed at once, by one more read.
	addProxy(t, s, "t_acme", "new", "https://other.acme.test")
	if err := p.CertificateAllowed(t.Context(), "other.acme.test"); err != nil || reads != 1 {
		t.Errorf("added: %v after %d reads", err, reads)
	}
	// Nobody can tell: no certificate, and no refusal that is kept quiet.
	s.shared.hosts.list = func(context.Context, core.TenantID) ([]core.ProxyApplication, error) {
		return nil, core.ErrUnavailable
	}
	s.shared.hosts.Invalidate(core.DefaultTenant, core.Change{Kind: core.ChangedAny})
	if err := p.CertificateAllowed(t.Context(), "stranger.test"); err == nil || errors.Is(err, caddytls.ErrPermissionDenied) {
		t.Errorf("while the directory is away: %v", err)
	}
}
