package oidc_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/storagetest"
)

// a login that was begun in a tenant is not gone on with in another one that was
// given the name of the first after it was deleted: the client of the same ID may have other
// redirect URIs.
func TestRequestOfARecycledTenant(t *testing.T) {
	w := newWorld(t)
	found := func() {
		t.Helper()
		_, err := w.db.CreateTenant(t.Context(), "t_b", "B")
		check(t, err)
		c := *w.client
		c.ID, c.Mappings, c.SigningKey = 0, nil, ""
		check(t, w.db.CreateClient(t.Context(), "t_b", &c))
		check(t, w.db.CreateApplication(t.Context(), "t_b", &core.Application{Slug: "app", Name: "App", Provider: c.ID, PolicyMode: "any"}))
	}
	get := func(path string) answer {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
		check(t, err)
		r.Host = "b.test"
		return w.browser(nil).do(r)
	}
	found()
	u, err := url.Parse(get("/application/o/authorize/?" + query().Encode()).Header.Get("Location"))
	check(t, err)
	next := u.Query().Get("next")
	if a := get(next); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("control, in the same tenant: %d %s", a.StatusCode, a.body)
	}
	storagetest.Remove(t, w.db, "t_b")
	found()
	if a := get(next); a.StatusCode != http.StatusBadRequest {
		t.Errorf("in the tenant that has its name: %d, to %s", a.StatusCode, a.Header.Get("Location"))
	}
}
