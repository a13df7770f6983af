package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/storagetest"
)

// old is what somebody had in a tenant that was deleted.
type old struct {
	guarded, login, token string
	keys                  []byte
}

// opens tells what of it opens something in the tenant that has the name now.
func (o *old) opens(t *testing.T, a *App, id core.TenantID) (out []string) {
	t.Helper()
	s := a.core
	tenant, err := s.tenantByID(t.Context(), id)
	if err != nil {
		return nil
	}
	r := asked("app.test", func(r *http.Request) { r.Header.Set("Cookie", o.guarded) })
	err = (&Guard{app: a, Tenant: string(id)}).ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		out = append(out, "a guarded application, as "+r.Header.Get("X-authentik-username"))
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	in := func(r *http.Request) *http.Request {
		return r.WithContext(core.WithRequest(r.Context(), &core.RequestInfo{Tenant: tenant, Scheme: "http", Host: "b.test", ID: "r", URI: r.URL.Path}))
	}
	r = in(httptest.NewRequest("GET", "/if/user/", nil))
	r.Header.Set("Cookie", o.login)
	if _, err := s.shared.sessions.Current(r); err == nil {
		out = append(out, "the login")
	} else if !errors.Is(err, core.ErrNotFound) {
		t.Fatal(err)
	}
	r = in(httptest.NewRequest("GET", "/api/v3/core/users/me/", nil))
	r.Header.Set("Authorization", "Bearer "+o.token)
	w := httptest.NewRecorder()
	if s.api.ServeHTTP(w, r); w.Code == http.StatusOK {
		out = append(out, "the API")
	}
	r = in(httptest.NewRequest("GET", "/application/o/wiki/jwks/", nil))
	w = httptest.NewRecorder()
	if s.op.ServeHTTP(w, r); w.Body.String() == string(o.keys) {
		out = append(out, "what the old keys sign")
	}
	return out
}

// having is somebody's of a tenant, all of it in memory from use.
func having(t *testing.T, s *system, id core.TenantID) *old {
	t.Helper()
	tenant, err := s.tenantByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := s.shared.db.UserByName(t.Context(), id, "akadmin")
	if err != nil {
		t.Fatal(err)
	}
	o := &old{guarded: guardedCookie(t, s, id, "app.test"), token: core.RandomAlphanumeric(60)}
	if err := s.shared.db.CreateToken(t.Context(), id, &core.Token{Identifier: "old", Intent: core.IntentAPI, User: admin.ID}, core.Secret(o.token)); err != nil {
		t.Fatal(err)
	}
	info := &core.RequestInfo{Tenant: tenant, Scheme: "http", Host: "b.test"}
	w := httptest.NewRecorder()
	if _, err := s.shared.sessions.Start(w, httptest.NewRequest("POST", "/", nil).WithContext(core.WithRequest(t.Context(), info)), admin, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.Result().Cookies() {
		o.login += c.Name + "=" + c.Value + "; "
	}
	w = httptest.NewRecorder()
	s.op.ServeHTTP(w, httptest.NewRequest("GET", "/application/o/wiki/jwks/", nil).WithContext(core.WithRequest(context.WithoutCancel(t.Context()), info)))
	if o.keys = w.Body.Bytes(); w.Code != http.StatusOK {
		t.Fatalf("keys: %d %s", w.Code, o.keys)
	}
	return o
}

// addWiki registers an application with a client, whose keys are signed with.
func addWiki(t *testing.T, s *system, id core.TenantID) {
	t.Helper()
	pairs, err := s.shared.db.KeyPairs(t.Context(), id)
	if err != nil || len(pairs) == 0 {
		t.Fatal(pairs, err)
	}
	c := &core.Client{ClientID: "wiki", SigningKey: pairs[0].ID}
	c.Name = "wiki"
	if err := s.shared.db.CreateClient(t.Context(), id, c); err != nil {
		t.Fatal(err)
	}
	if err := s.shared.db.CreateApplication(t.Context(), id, &core.Application{Name: "wiki", Slug: "wiki", Provider: c.ID}); err != nil {
		t.Fatal(err)
	}
}

// whatever somebody had in a tenant that was deleted opens nothing in another one
// that has its name, in the same running server. What belongs to others stays good. As a
// control, without what drops a tenant from memory it is not so.
func TestRecycledTenantInMemory(t *testing.T) {
	for _, dropped := range []bool{true, false} {
		a := openApp(t, nil)
		s := a.core
		if !dropped {
			s.shared.db.OnChange = nil
		}
		for _, id := range []core.TenantID{"t_b", "t_other"} {
			addTenant(t, s, id, string(id[2:])+".test")
			addWiki(t, s, id)
		}
		mine, others := having(t, s, "t_b"), having(t, s, "t_other")
		for id, o := range map[core.TenantID]*old{"t_b": mine, "t_other": others} {
			if got := o.opens(t, a, id); len(got) != 4 {
				t.Fatalf("before, in %s: %q", id, got)
			}
		}
		storagetest.Remove(t, s.shared.db, "t_b")
		if got := mine.opens(t, a, "t_b"); got != nil {
			t.Errorf("in a tenant that is gone: %q", got)
		}
		addTenant(t, s, "t_b", "b.test")
		addWiki(t, s, "t_b")
		got := mine.opens(t, a, "t_b")
		if dropped && got != nil {
			t.Errorf("in the tenant that has its name: %q", got)
		}
		if !dropped && got == nil {
			t.Error("control: a tenant that stays in memory is not found out")
		}
		if got := others.opens(t, a, "t_other"); len(got) != 4 {
			t.Errorf("of another tenant: %q", got)
		}
	}
}

// whatever somebody had who was deleted opens nothing for, or as, the next one of that name and password. Each line
// has its control: before, it opens.
func TestRecycledUser(t *testing.T) {
	w := newTwo(t, nil)
	a := w.a
	const password = "of whoever is alice"
	made := func() string {
		t.Helper()
		pk := mustJSON(a.api("POST", "core/users/", `{"username":"alice","name":"Alice"}`, http.StatusCreated)["pk"])
		a.api("POST", "core/users/"+pk+"/set_password/", mustJSON(map[string]any{"password": password}), http.StatusNoContent)
		return pk
	}
	enter := func(address string) *http.Client {
		t.Helper()
		c := w.browser()
		p := w.get(c, address)
		m := hiddenToken.FindStringSubmatch(p.body)
		if m == nil {
			t.Fatalf("no form: %d %s", p.status, p.body)
		}
		w.post(c, p.url.String(), url.Values{"token": {m[1]}, "username": {"alice"}, "password": {password}})
		return c
	}
	pk := made()
	portal, guarded := enter("http://a.test/if/user/"), enter("http://app.a.test/")
	spent, code := a.code(portal), a.code(portal)
	status, tk := a.trade(redeem(spent))
	if status != http.StatusOK {
		t.Fatalf("%d %+v", status, tk)
	}
	a.api("POST", "core/tokens/", `{"identifier":"hers","intent":"api","user":`+pk+`}`, http.StatusCreated)
	key := a.api("GET", "core/tokens/hers/view_key/", "", http.StatusOK)["key"].(string)
	link := a.api("POST", "core/users/"+pk+"/recovery/", "", http.StatusOK)["link"].(string)
	opens := func() (out []string) {
		t.Helper()
		for what, open := range map[string]bool{
			"the login":           a.inside(portal),
			"the guarded session": strings.Contains(w.get(guarded, "http://app.a.test/").body, "here is alice"),
			"the API token":       a.call(key, "GET", "core/users/me/", "").status == http.StatusOK,
			"the access token":    a.userinfo(tk.Access).status == http.StatusOK,
			"an introspection":    a.active(tk.Access) || a.active(tk.Refresh),
			"the API by it":       a.call(tk.Access, "GET", "core/users/me/", "").status == http.StatusOK,
			"the recovery link":   w.get(w.browser(), link).status == http.StatusOK,
		} {
			if open {
				out = append(out, what)
			}
		}
		return out
	}
	if got := opens(); len(got) != 7 {
		t.Fatalf("control: before, only %q", got)
	}
	a.api("DELETE", "core/users/"+pk+"/", "", http.StatusNoContent)
	if got := opens(); got != nil {
		t.Errorf("of somebody who is gone: %q", got)
	}
	if made() == pk {
		t.Error("the next one has her number")
	}
	if got := opens(); got != nil {
		t.Errorf("as the next one: %q", got)
	}
	for name, form := range map[string]url.Values{"code": redeem(code), "refresh token": {"grant_type": {"refresh_token"}, "refresh_token": {tk.Refresh}}} {
		if status, got := a.trade(form); got.Error != "invalid_grant" {
			t.Errorf("the %s: %d %+v", name, status, got)
		}
	}
	if c := enter("http://a.test/if/user/"); !a.inside(c) {
		t.Error("control: the next one does not get in")
	}
}
