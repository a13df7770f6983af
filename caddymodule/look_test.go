package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// Each tenant looks as its own administrator says, at each host by its brand, from the next
// request on; and no page asks the database for it.
func TestLookOfTenants(t *testing.T) {
	w := newTwo(t, nil)
	a, b := w.a, w.b
	const login = "/if/flow/default-authentication-flow/"
	title := func(host string) string {
		t.Helper()
		_, rest, _ := strings.Cut(w.get(w.browser(), "http://"+host+login).body, "<title>")
		rest, _, _ = strings.Cut(rest, "</title>")
		return strings.TrimPrefix(rest, "Log in · ")
	}
	is := func(want map[string]string) {
		t.Helper()
		for host, name := range want {
			if got := title(host); got != name {
				t.Errorf("%s is %q, want %q", host, got, name)
			}
		}
	}
	is(map[string]string{"a.test": "Postern", "b.test": "Postern", "auth.test": "Postern"})
	first := a.api("GET", "core/brands/", "", http.StatusOK)["results"].([]any)[0].(map[string]any)["brand_uuid"].(string)
	a.api("PATCH", "core/brands/"+first+"/", `{"branding_title": "Alpha"}`, http.StatusOK)
	made := a.api("POST", "core/brands/", `{"domain": "second.a.test", "branding_title": "Second", "branding_logo": "https://cdn.a.test/l.png"}`, http.StatusCreated)
	a.api("PATCH", "admin/settings/", `{"footer_links": [{"name": "Imprint of A", "href": "/imprint"}]}`, http.StatusOK)
	is(map[string]string{"a.test": "Alpha", "www.second.a.test": "Second", "second.a.test": "Second", "b.test": "Postern", "second.b.test": "Postern", "auth.test": "Postern"})
	// The same host as another tenant's brand is nothing there.
	b.api("POST", "core/brands/", `{"domain": "a.test", "branding_title": "Not yours"}`, http.StatusCreated)
	is(map[string]string{"a.test": "Alpha", "b.test": "Postern"})
	if p := b.call(a.token, "GET", "core/brands/"+first+"/", ""); p.status != http.StatusForbidden {
		t.Errorf("a's token at b: %d", p.status)
	}
	for host, has := range map[string]bool{"a.test": true, "second.a.test": true, "b.test": false, "auth.test": false} {
		for _, path := range []string{login, "/if/nothing/"} {
			if p := w.get(w.browser(), "http://"+host+path); strings.Contains(p.body, "Imprint of A") != has {
				t.Errorf("the links of a at %s%s: %t", host, path, !has)
			}
		}
	}
	// The guard's pages, too.
	if p := w.get(w.browser(), "http://app.a.test/outpost.goauthentik.io/callback?code=x&state=x"); !strings.Contains(p.body, "· Alpha</title>") {
		t.Errorf("the guard: %d %s", p.status, p.body)
	}
	// From memory: whoever is not told of a change does not see it.
	db := w.app.core.shared.db
	told := db.OnChange
	db.OnChange = func(core.TenantID, []core.Change) {}
	a.api("PATCH", "core/brands/"+first+"/", `{"branding_title": "Beta"}`, http.StatusOK)
	is(map[string]string{"a.test": "Alpha"})
	db.OnChange = told
	a.api("DELETE", fmt.Sprintf("core/brands/%v/", made["brand_uuid"]), "", http.StatusNoContent)
	is(map[string]string{"a.test": "Beta", "second.a.test": "Beta", "b.test": "Postern"})
}
