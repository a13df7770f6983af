package caddymodule

import (
	"net/http"
	"strings"
	"testing"
)

// domainApp registers an application for every host below a domain.
func (s *side) domainApp(name, domain string) {
	s.w.t.Helper()
	got := s.api("POST", "providers/proxy/", mustJSON(map[string]any{
		"name": name, "mode": "forward_domain", "external_host": "http://auth." + domain, "cookie_domain": domain,
		"authorization_flow": s.first("flows/instances/?slug=default-provider-authorization-implicit-consent"),
		"invalidation_flow":  s.first("flows/instances/?slug=default-provider-invalidation-flow"),
	}), http.StatusCreated)
	s.api("POST", "core/applications/", mustJSON(map[string]any{"name": name, "slug": name, "provider": got["pk"]}), http.StatusCreated)
}

// X-01, with applications that are a whole domain each: who is in at one of its hosts is in at the others and at none
// of the other tenant's, whichever cookies are shown there; and a tenant that registers the domain of another gets
// none of its hosts.
func TestNothingOpensAnotherTenantsDomain(t *testing.T) {
	ofA, ofB := []string{"one.apps.a.test", "two.apps.a.test"}, []string{"one.apps.b.test", "two.apps.b.test"}
	w := newTwo(t, func(a *App) {
		for _, host := range append(append([]string{}, ofA...), ofB...) {
			a.sites.guards = append(a.sites.guards, guardSite{site{"http", host, "80"}, &Guard{app: a}})
		}
		a.sites.index()
	})
	a, b := w.a, w.b
	a.domainApp("domain", "apps.a.test")
	b.domainApp("domain", "apps.b.test")
	b.domainApp("stolen", "apps.a.test")

	browser := w.browser()
	a.login(browser, "http://"+ofA[0]+"/")
	for _, host := range ofA {
		if p := w.get(browser, "http://"+host+"/"); !strings.Contains(p.body, "here is akadmin of "+host) {
			t.Fatalf("control: at %s: %d %s", host, p.status, p.body)
		}
	}
	if p := w.get(w.browser(), "http://"+ofA[1]+"/"); p.url.Host != "a.test" || !strings.Contains(p.body, `name="password"`) {
		t.Errorf("the login of a's application, which b has registered too, is %d at %s", p.status, p.url)
	}
	carried := w.browser()
	carry(t, browser, carried, "http://a.test/", "http://b.test/", "http://second.b.test/", "http://auth.test/")
	for _, from := range ofA {
		carry(t, browser, carried, "http://"+from+"/", "http://"+ofB[0]+"/", "http://"+ofB[1]+"/", "http://app.b.test/", "http://app.auth.test/")
	}
	for _, host := range append([]string{"app.b.test", "app.auth.test"}, ofB...) {
		if p := w.get(carried, "http://"+host+"/"); strings.Contains(p.body, "here is") || !strings.Contains(p.body, `name="password"`) {
			t.Errorf("the cookies of a at %s: %d %s", host, p.status, p.body)
		}
	}
	// The other way round, as the one who has registered what is not theirs.
	own := w.browser()
	b.login(own, "http://"+ofB[0]+"/")
	if p := w.get(own, "http://"+ofB[1]+"/"); !strings.Contains(p.body, "here is akadmin of "+ofB[1]) {
		t.Fatalf("control: %d %s", p.status, p.body)
	}
	carry(t, own, own, "http://b.test/", "http://a.test/")
	carry(t, own, own, "http://"+ofB[0]+"/", "http://"+ofA[0]+"/", "http://"+ofA[1]+"/")
	for _, host := range ofA {
		if p := w.get(own, "http://"+host+"/"); strings.Contains(p.body, "here is") || p.url.Host != "a.test" {
			t.Errorf("the cookies of b at %s: %d at %s: %s", host, p.status, p.url, p.body)
		}
	}
}
