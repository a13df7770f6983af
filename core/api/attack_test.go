package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/postern-sso/postern/core"
)

// O-05: what may not be made may not come about by a change either, and
// what was there stays.
func TestChangesAreCheckedLikeCreations(t *testing.T) {
	e := open(t)
	flows := e.flows()
	uri := func(url string) []any { return []any{map[string]any{"matching_mode": "strict", "url": url}} }
	client := e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "c", "client_id": "c", "redirect_uris": uri("https://a.test/cb")}))
	proxy := e.want(201, "POST", "providers/proxy/", flows.with(map[string]any{"name": "p", "external_host": "https://a.test", "mode": "forward_single"}))
	e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app", "meta_launch_url": "https://a.test/"})
	user := fmt.Sprintf("core/users/%d/", e.plainPK)
	for _, row := range []struct {
		path, field string
		bad         []any
		good        any
	}{
		{fmt.Sprintf("providers/oauth2/%v/", client["pk"]), "redirect_uris", []any{uri("javascript:alert(1)"), uri("JaVaScRiPt:alert(1)"), uri("data:text/html,x"), uri("https://a.test/#x"), uri("https://u@a.test/"), uri("/cb")}, uri("https://b.test/cb")},
		{fmt.Sprintf("providers/proxy/%v/", proxy["pk"]), "external_host", []any{"javascript:alert(1)", "ftp://a.test", "https://u:p@a.test", "https://a.test/?x=1"}, "https://b.test"},
		{"core/applications/app/", "meta_launch_url", []any{"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.test", "%(username)s"}, "https://b.test/"},
		{"core/applications/app/", "meta_icon", []any{"javascript:alert(1)", "data:text/html,<script>", "//evil.test/x.svg", "../../secret"}, "https://b.test/i.png"},
		{user, "email", []any{"a@evil.test@corp.test", "A <a@b.test>", "nonsense"}, "a@b.test"},
		{user, "username", []any{"ROOT", "a\nb", "a\x00b", ""}, "plainer"},
	} {
		before := fmt.Sprint(e.want(200, "GET", row.path, nil)[row.field])
		for _, bad := range row.bad {
			e.refused("PATCH", row.path, map[string]any{row.field: bad}, row.field, "")
			if after := fmt.Sprint(e.want(200, "GET", row.path, nil)[row.field]); after != before {
				t.Errorf("%s: %s became %s", row.path, before, after)
			}
		}
		// The control: a change that is right is made.
		e.want(200, "PATCH", row.path, map[string]any{row.field: row.good})
		if after := fmt.Sprint(e.want(200, "GET", row.path, nil)[row.field]); after == before {
			t.Errorf("control: %s of %s is still %s", row.field, row.path, before)
		}
	}
}

// nobody says of an address that it is proven, neither of their own nor as an
// administrator.
func TestNobodyProvesAnAddressByTheAPI(t *testing.T) {
	e := open(t)
	path := fmt.Sprintf("core/users/%d/", e.plainPK)
	proven := func() bool {
		u, err := e.db.UserByPK(t.Context(), e.tenant.ID, e.plainPK)
		e.must(err)
		return u.EmailVerified
	}
	if a := e.send(e.plain, "PATCH", path, map[string]any{"email_verified": true, "email": "root@corp.test"}); a.status != 403 || proven() {
		t.Errorf("their own: %d, %t", a.status, proven())
	}
	for _, token := range []string{e.root, e.plain} {
		e.send(token, "PATCH", path, map[string]any{"email_verified": true, "attributes": map[string]any{"email_verified": true}})
		if proven() {
			t.Error("it was written")
		}
	}
	// The control: what the directory is told itself is seen here.
	_, err := e.db.UpdateUser(t.Context(), e.tenant.ID, e.plainPK, verify)
	e.must(err)
	if !proven() {
		t.Error("control: it is never true")
	}
}

// T-19: the key of a login opens the API as a cookie, and as nothing else.
func TestSessionKeyIsNoToken(t *testing.T) {
	e := open(t)
	e.logIn()
	ask := func(change func(*http.Request)) int {
		r := e.request("GET", "core/users/me/", nil)
		change(r)
		return e.serve(r).status
	}
	for name, change := range map[string]func(*http.Request){
		"bearer":            func(r *http.Request) { r.Header.Set("Authorization", "Bearer root") },
		"bearer, beside it": func(r *http.Request) { r.Header.Set("Authorization", "Bearer root"); cookie(r) },
		"its ID":            func(r *http.Request) { r.Header.Set("Authorization", "Bearer s1") },
		"query":             func(r *http.Request) { r.URL.RawQuery = "login=root" },
		"another cookie":    func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "authentik_csrf", Value: "root"}) },
		"header":            func(r *http.Request) { r.Header.Set("login", "root") },
	} {
		if got := ask(change); got != 403 {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := ask(cookie); got != 200 { // the control
		t.Errorf("the cookie: %d", got)
	}
}

func cookie(r *http.Request) { r.AddCookie(&http.Cookie{Name: "login", Value: "root"}) }

// the API's pages have the headers of all pages, for both schemes.
func TestPageHeaders(t *testing.T) {
	e := open(t)
	for scheme, hsts := range map[string]string{"https": "max-age=31536000", "http": ""} {
		r := e.request("GET", "", nil)
		r.Header.Set("Accept", "text/html")
		info := *core.Request(r.Context())
		info.Scheme = scheme
		a := e.serve(r.WithContext(core.WithRequest(r.Context(), &info)))
		if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" { // the control: it is a page
			t.Fatalf("%d %v", a.status, a.header)
		}
		for name, want := range map[string]string{
			"Strict-Transport-Security": hsts, "Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", scheme, name, got)
			}
		}
	}
}
