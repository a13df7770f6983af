package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/storagetest"
)

// nothing that opens one tenant opens the other, though both have a user, a client, a secret and a
// token of the same name. Each line has its control: at home it opens.
func TestNothingOpensAnotherTenant(t *testing.T) {
	w := newTwo(t, nil)
	a, b := w.a, w.b
	tk := a.tokens()

	// The browser's session: the same cookies, at the other tenant's host.
	browser := w.browser()
	a.login(browser, "http://a.test/if/user/")
	w.get(browser, "http://app.a.test/")
	if p := w.get(browser, "http://app.a.test/"); !strings.Contains(p.body, "here is akadmin of app.a.test") || !a.inside(browser) {
		t.Fatalf("control: %d %s", p.status, p.body)
	}
	carried := w.browser()
	carry(t, browser, carried, "http://a.test/", "http://b.test/", "http://second.b.test/", "http://auth.test/", "http://app.b.test/")
	carry(t, browser, carried, "http://app.a.test/", "http://app.b.test/", "http://app.auth.test/")
	same := w.browser()
	carry(t, browser, same, "http://a.test/", "http://second.a.test/")
	if p := w.get(same, "http://second.a.test/if/user/"); strings.Contains(p.body, `name="password"`) {
		t.Errorf("control: the session does not open the tenant's other domain: %d", p.status)
	}
	for _, at := range []string{"http://b.test/if/user/", "http://second.b.test/if/user/", "http://auth.test/if/user/", "http://app.b.test/", "http://app.auth.test/"} {
		if p := w.get(carried, at); !strings.Contains(p.body, `name="password"`) || strings.Contains(p.body, "here is") {
			t.Errorf("the session of a opens %s: %d at %s", at, p.status, p.url)
		}
	}
	if p := w.get(carried, b.authorizeURL("shared")); !strings.Contains(p.body, `name="password"`) {
		t.Errorf("the session of a gets a code at b: %d %v", p.status, p.header)
	}

	// API tokens, access tokens, refresh tokens, ID tokens.
	for name, token := range map[string]string{"API token": a.token, "access token": tk.Access} {
		if p := a.call(token, "GET", "core/users/me/", ""); p.status != http.StatusOK {
			t.Errorf("control: the %s of a at a: %d %s", name, p.status, p.body)
		}
		for _, s := range []*side{b, {w: w, host: "auth.test"}} {
			if p := s.call(token, "GET", "core/users/me/", ""); p.status != http.StatusForbidden {
				t.Errorf("the %s of a at %s: %d %s", name, s.host, p.status, p.body)
			}
		}
	}
	if p := a.userinfo(tk.Access); p.status != http.StatusOK {
		t.Errorf("control: userinfo: %d %s", p.status, p.body)
	}
	for name, token := range map[string]string{"access token": tk.Access, "refresh token": tk.Refresh, "ID token": tk.ID} {
		if p := b.userinfo(token); p.status != http.StatusUnauthorized {
			t.Errorf("userinfo with the %s of a: %d %s", name, p.status, p.body)
		}
		if b.active(token) {
			t.Errorf("the %s of a is active at b", name)
		}
		if home := a.active(token); home != (name != "ID token") {
			t.Errorf("control: the %s of a is active at a: %t", name, home)
		}
	}
	if status, got := b.trade(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tk.Refresh}}); status != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Errorf("the refresh token of a at b: %d %+v", status, got)
	}
	// b's attempt has not spent it.
	w.post(&http.Client{Transport: w}, "http://b.test/application/o/revoke/", url.Values{"client_id": {"shared"}, "client_secret": {sharedSecret}, "token": {tk.Refresh}})
	if status, got := a.trade(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tk.Refresh}}); status != http.StatusOK {
		t.Errorf("control: the refresh token of a at a: %d %+v", status, got)
	}
}

// carry gives a browser the cookies that another has for an address, at other addresses.
func carry(t *testing.T, from, to *http.Client, address string, at ...string) {
	t.Helper()
	u, _ := url.Parse(address)
	cookies := from.Jar.(*cookiejar.Jar).Cookies(u)
	if len(cookies) == 0 {
		t.Fatalf("no cookies at %s", address)
	}
	for _, other := range at {
		o, _ := url.Parse(other)
		to.Jar.SetCookies(o, cookies)
	}
}

// what was begun at one tenant does not end at another.
func TestNothingEndsAtAnotherTenant(t *testing.T) {
	w := newTwo(t, nil)
	a, b := w.a, w.b
	browser := w.browser()

	code := a.code(browser)
	if status, got := b.trade(redeem(code)); status != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Errorf("a code of a at b: %d %+v", status, got)
	}
	if status, got := a.trade(redeem(code)); status != http.StatusOK {
		t.Errorf("control: b's attempt has used it up: %d %+v", status, got)
	}

	// The sealed request in the address of the login page, and the form on it.
	fresh := w.browser()
	form := w.get(fresh, a.authorizeURL("shared"))
	m := hiddenToken.FindStringSubmatch(form.body)
	if m == nil {
		t.Fatalf("no form: %s", form.body)
	}
	carry(t, fresh, fresh, "http://a.test/", "http://b.test/")
	values := url.Values{"token": {m[1]}, "username": {"akadmin"}, "password": {b.password}}
	there := *form.url
	there.Host = "b.test"
	if p := w.post(fresh, there.String(), values); p.status < 400 && p.header.Get("Location") != "" || strings.Contains(p.header.Get("Location"), "code=") {
		t.Errorf("the form of a at b: %d %v", p.status, p.header)
	}
	if b.inside(fresh) {
		t.Error("the form of a logs in at b")
	}
	// Logged in at b in its own way, the request that a sealed is none there.
	b.login(fresh, "http://b.test/if/user/")
	next, err := url.Parse(form.url.Query().Get("next"))
	if err != nil || next.Path == "" {
		t.Fatalf("no next in %s", form.url)
	}
	if p := w.get(fresh, "http://b.test"+next.String()); strings.Contains(p.header.Get("Location"), "code=") {
		t.Errorf("the sealed request of a at b gives %s", p.header.Get("Location"))
	}
	values.Set("password", a.password)
	if p := w.post(fresh, form.url.String(), values); !strings.Contains(p.header.Get("Location"), "code=") {
		t.Errorf("control: the form of a at a: %d %v %s", p.status, p.header, p.body)
	}

	// A recovery link.
	me := a.api("GET", "core/users/me/", "", http.StatusOK)["user"].(map[string]any)["pk"]
	link := a.api("POST", "core/users/"+mustJSON(me)+"/recovery/", "", http.StatusOK)["link"].(string)
	if !strings.HasPrefix(link, "http://a.test/") {
		t.Errorf("the link leads to %s", link)
	}
	for _, host := range []string{"b.test", "auth.test"} {
		if p := w.get(w.browser(), strings.Replace(link, "a.test", host, 1)); p.status != http.StatusNotFound {
			t.Errorf("the link of a at %s: %d", host, p.status)
		}
	}
	if p := w.get(w.browser(), link); p.status != http.StatusOK || !strings.Contains(p.body, "Set a new password") {
		t.Errorf("control: the link of a at a: %d", p.status)
	}

	// Consent that was given at a is not given at b.
	a.client("asks")
	b.client("asks")
	agree := func(s *side, c *http.Client) *page {
		p := w.get(c, s.authorizeURL("asks"))
		if strings.Contains(p.body, `name="password"`) {
			p = s.login(c, s.authorizeURL("asks"))
		}
		return p
	}
	p := agree(a, browser)
	if m = hiddenToken.FindStringSubmatch(p.body); m == nil || !strings.Contains(p.body, "Allow access?") {
		t.Fatalf("no consent page: %d %s", p.status, p.body)
	}
	answer := url.Values{"token": {m[1]}, "answer": {"allow"}}
	if p := w.post(browser, p.url.String(), answer); !strings.Contains(p.header.Get("Location"), "code=") {
		t.Fatalf("control: consent at a: %d %v", p.status, p.header)
	}
	if p := agree(a, browser); !strings.Contains(p.header.Get("Location"), "code=") {
		t.Errorf("control: a asks again: %d", p.status)
	}
	if p := agree(b, fresh); !strings.Contains(p.body, "Allow access?") {
		t.Errorf("b does not ask: %d %v", p.status, p.header)
	} else {
		if p := w.post(fresh, p.url.String(), answer); strings.Contains(p.header.Get("Location"), "code=") {
			t.Errorf("the answer that was given to a is taken by b")
		}
	}
}

// a tenant that is made under the name of one that was deleted has nothing of it.
func TestRecycledTenant(t *testing.T) {
	w := newTwo(t, nil)
	a := w.a
	tk, browser := a.tokens(), w.browser()
	code := a.code(browser)
	w.get(browser, "http://app.a.test/")
	uuid := func() string {
		tenant, err := w.app.core.tenantByID(t.Context(), "t_a")
		if err != nil {
			t.Fatal(err)
		}
		return tenant.UUID
	}
	before, old := uuid(), a.token
	if p := w.get(browser, "http://app.a.test/"); !a.inside(browser) || !strings.Contains(p.body, "here is") {
		t.Fatalf("control: %d %s", p.status, p.body)
	}
	storagetest.Remove(t, w.app.core.shared.db, "t_a")
	if p := w.get(browser, "http://app.a.test/"); p.status != http.StatusServiceUnavailable {
		t.Errorf("deleted: its guard answers %d %s", p.status, p.body)
	}
	if p := w.get(browser, "http://a.test/if/user/"); !strings.Contains(p.body, `name="password"`) {
		t.Errorf("deleted: its host answers %d %s", p.status, p.body)
	}
	a = w.side("t_a", "a.test")
	if uuid() == before {
		t.Error("the new one has the UUID of the old one")
	}
	if a.inside(browser) {
		t.Error("the session is alive")
	}
	if p := w.get(browser, "http://app.a.test/"); strings.Contains(p.body, "here is") {
		t.Error("the guarded session is alive")
	}
	if p := a.call(old, "GET", "core/users/me/", ""); p.status != http.StatusForbidden {
		t.Errorf("the API token: %d", p.status)
	}
	if p := a.userinfo(tk.Access); p.status != http.StatusUnauthorized {
		t.Errorf("the access token: %d %s", p.status, p.body)
	}
	if a.active(tk.Access) || a.active(tk.Refresh) {
		t.Error("a token is active")
	}
	for name, form := range map[string]url.Values{"code": redeem(code), "refresh token": {"grant_type": {"refresh_token"}, "refresh_token": {tk.Refresh}}} {
		if status, got := a.trade(form); got.Error != "invalid_grant" {
			t.Errorf("the %s: %d %+v", name, status, got)
		}
	}
	if tk := a.tokens(); !a.active(tk.Access) {
		t.Error("control: the new one does not work")
	}
}

// each tenant signs with keys of its own under kids of its own; and where both have been given the same
// key, and so the same kid, the tokens of one are still none of the other's.
func TestKeysOfTenants(t *testing.T) {
	w := newTwo(t, nil)
	kids := func(s *side) string {
		p := w.get(&http.Client{Transport: w}, "http://"+s.host+"/application/o/shared/jwks/")
		var set struct {
			Keys []struct {
				Kid string `json:"kid"`
			} `json:"keys"`
		}
		if err := json.Unmarshal([]byte(p.body), &set); err != nil || len(set.Keys) != 1 {
			t.Fatalf("%s: %v", p.body, err)
		}
		return set.Keys[0].Kid
	}
	if kids(w.a) == kids(w.b) {
		t.Fatal("both have one key")
	}
	if iss := claim(t, w.a.tokens().ID, "iss"); iss != "http://a.test/application/o/shared/" {
		t.Errorf("a's tokens are of %s", iss)
	}
	pair := w.a.api("POST", "crypto/certificatekeypairs/generate/", `{"common_name":"both","validity_days":30}`, http.StatusOK)
	material := map[string]any{"name": "both"}
	for field, path := range map[string]string{"certificate_data": "view_certificate", "key_data": "view_private_key"} {
		material[field] = w.a.api("GET", "crypto/certificatekeypairs/"+pair["pk"].(string)+"/"+path+"/", "", http.StatusOK)["data"]
	}
	ofB := w.b.api("POST", "crypto/certificatekeypairs/", mustJSON(material), http.StatusCreated)
	w.a.api("PATCH", "providers/oauth2/"+w.a.provider+"/", mustJSON(map[string]any{"signing_key": pair["pk"]}), http.StatusOK)
	w.b.api("PATCH", "providers/oauth2/"+w.b.provider+"/", mustJSON(map[string]any{"signing_key": ofB["pk"]}), http.StatusOK)
	tk := w.a.tokens()
	if kidOf(t, tk.Access) != kidOf(t, w.b.tokens().Access) {
		t.Fatal("the two have no kid in common")
	}
	if p := w.b.userinfo(tk.Access); p.status != http.StatusUnauthorized {
		t.Errorf("a's token at b: %d %s", p.status, p.body)
	}
	if w.b.active(tk.Access) {
		t.Error("a's token is active at b")
	}
	if p := w.b.call(tk.Access, "GET", "core/users/me/", ""); p.status != http.StatusForbidden {
		t.Errorf("a's token opens b's API: %d", p.status)
	}
	if p := w.a.userinfo(tk.Access); p.status != http.StatusOK {
		t.Errorf("control: a's token at a: %d %s", p.status, p.body)
	}
}

func part(t *testing.T, token string, i int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %s", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func kidOf(t *testing.T, token string) any              { t.Helper(); return part(t, token, 0)["kid"] }
func claim(t *testing.T, token string, name string) any { t.Helper(); return part(t, token, 1)[name] }

// who has used up the attempts at one tenant has all of them at the other.
func TestLimitsOfTenants(t *testing.T) {
	w := newTwo(t, nil)
	refused := func(s *side) bool {
		p := s.login(w.browser(), "http://"+s.host+"/if/user/")
		return strings.Contains(p.body, `name="password"`)
	}
	for range 8 {
		w.a.loginWith(w.browser(), "http://a.test/if/user/", "a wrong password")
	}
	if !refused(w.a) {
		t.Error("control: a's attempts are not used up")
	}
	if refused(w.b) {
		t.Error("b's attempts are used up with a's")
	}
}

// no scope, claim or parameter leads to another tenant.
func TestScopesOfAnotherTenant(t *testing.T) {
	w := newTwo(t, nil)
	w.b.api("POST", "core/groups/", `{"name":"only at b"}`, http.StatusCreated)
	browser := w.browser()
	w.a.login(browser, "http://a.test/if/user/")
	address, _ := url.Parse(w.a.authorizeURL("shared"))
	q := address.Query()
	q.Set("scope", q.Get("scope")+" tenant:t_b t_b urn:zitadel:iam:org:id:t_b goauthentik.io/tenant/t_b")
	q.Set("claims", `{"id_token":{"tenant":{"value":"t_b"}}}`)
	q.Set("tenant", "t_b")
	q.Set("schema_name", "t_b")
	address.RawQuery = q.Encode()
	p := w.get(browser, address.String())
	to, _ := url.Parse(p.header.Get("Location"))
	status, tk := w.a.trade(redeem(to.Query().Get("code")))
	if status != http.StatusOK {
		t.Fatalf("%d %+v: %d %v", status, tk, p.status, p.header)
	}
	for _, token := range []string{tk.ID, tk.Access} {
		if text := mustJSON(part(t, token, 1)); strings.Contains(text, "t_b") || strings.Contains(text, "b.test") {
			t.Errorf("the token says %s", text)
		}
	}
	if w.b.active(tk.Access) {
		t.Error("it opens b")
	}
	for _, path := range []string{"core/groups/?tenant=t_b", "core/groups/?schema_name=t_b&name=only+at+b", "core/users/?tenant=t_b"} {
		if p := w.a.call(w.a.token, "GET", path, ""); strings.Contains(p.body, "only at b") || strings.Contains(p.body, "b.test") {
			t.Errorf("%s: %d %s", path, p.status, p.body)
		}
	}
}

// an expression sees its own tenant.
func TestExpressionsOfTenants(t *testing.T) {
	w := newTwo(t, nil)
	for _, s := range []*side{w.a, w.b} {
		mapping := s.api("POST", "propertymappings/provider/scope/", mustJSON(map[string]any{"name": "spy", "scope_name": "spy", "expression": `
u = ak_user_by(username="only-at-b")
return {"user": u.username if u else "nobody", "member": ak_is_group_member(request.user, name="only at b")}`}), http.StatusCreated)
		if s == w.b {
			s.api("POST", "core/users/", `{"username":"only-at-b","name":"x"}`, http.StatusCreated)
			me := s.api("GET", "core/users/me/", "", http.StatusOK)["user"].(map[string]any)["pk"]
			s.api("POST", "core/groups/", mustJSON(map[string]any{"name": "only at b", "users": []any{me}}), http.StatusCreated)
		}
		me := s.api("GET", "core/users/me/", "", http.StatusOK)["user"].(map[string]any)["pk"]
		got := s.api("POST", "propertymappings/all/"+mapping["pk"].(string)+"/test/", mustJSON(map[string]any{"user": me}), http.StatusOK)
		result, _ := got["result"].(string)
		if sees := strings.Contains(result, "only-at-b") && strings.Contains(strings.ToLower(result), "true"); sees != (s == w.b) {
			t.Errorf("at %s it sees %v", s.host, got)
		}
	}
}

// the audit log of one tenant tells nothing of another's.
func TestEventsOfTenants(t *testing.T) {
	w := newTwo(t, nil)
	w.b.loginWith(w.browser(), "http://b.test/if/user/", "a wrong password at b")
	w.b.api("POST", "core/users/", `{"username":"secret-of-b","name":"x"}`, http.StatusCreated)
	w.b.tokens()
	w.b.login(w.browser(), "http://app.b.test/")
	for _, path := range []string{"events/events/?page_size=500", "events/events/?search=secret-of-b", "events/events/?ordering=-created&username=secret-of-b", "core/applications/", "core/users/?search=secret"} {
		p := w.a.call(w.a.token, "GET", path, "")
		if p.status != http.StatusOK || strings.Contains(p.body, "secret-of-b") || strings.Contains(p.body, "b.test") || strings.Contains(p.body, "t_b") {
			t.Errorf("%s: %d %s", path, p.status, p.body)
		}
	}
	if p := w.b.call(w.b.token, "GET", "events/events/?page_size=500", ""); !strings.Contains(p.body, "login") {
		t.Errorf("control: b's own log: %d %s", p.status, p.body)
	}
	browser := w.browser()
	w.a.login(browser, "http://a.test/if/user/")
	if p := w.get(browser, "http://a.test/if/user/"); !strings.Contains(p.body, "app.a.test") || strings.Contains(p.body, "b.test") || strings.Contains(p.body, "app.auth.test") {
		t.Errorf("a's applications: %s", p.body)
	}
}

// a line of the log names the tenant whose request caused it.
func TestLogOfTenants(t *testing.T) {
	var log strings.Builder
	w := newTwo(t, func(a *App) { a.log = slog.New(tenantLog{slog.NewTextHandler(&log, nil)}) })
	for host, want := range map[string]string{"a.test": "t_a", "b.test": "t_b", "auth.test": "public", "second.b.test": "t_b"} {
		log.Reset()
		r, _ := http.NewRequest("POST", "http://"+host+"/if/flow/default-authentication-flow/", strings.NewReader("x=y"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://evil.test")
		w.do(&http.Client{Transport: w}, r)
		if text := log.String(); strings.Count(text, "tenant=") != 1 || !strings.Contains(text, "tenant="+want) || !strings.Contains(text, "form from another site") {
			t.Errorf("%s: %s", host, text)
		}
	}
}

// X-20, F-15: links that leave a request lead to the tenant's primary domain, whatever the request says of itself.
func TestLinksOfTenants(t *testing.T) {
	w := newTwo(t, nil)
	me := w.a.api("GET", "core/users/me/", "", http.StatusOK)["user"].(map[string]any)["pk"]
	r, _ := http.NewRequest("POST", "http://second.a.test/api/v3/core/users/"+mustJSON(me)+"/recovery/", nil)
	r.Header.Set("Authorization", "Bearer "+w.a.token)
	r.Header.Set("X-Forwarded-Host", "b.test")
	r.Header.Set("Forwarded", "host=b.test")
	p := w.do(&http.Client{Transport: w}, r)
	if p.status != http.StatusOK || !strings.Contains(p.body, `"http://a.test/recovery/`) {
		t.Errorf("%d %s", p.status, p.body)
	}
	// The issuer of each domain is its own, as in authentik.
	for _, host := range []string{"a.test", "second.a.test", "b.test"} {
		p := w.get(&http.Client{Transport: w}, "http://"+host+"/application/o/shared/.well-known/openid-configuration")
		if !strings.Contains(p.body, `"issuer": "http://`+host+`/application/o/shared/"`) || host == "a.test" && strings.Contains(p.body, "b.test") {
			t.Errorf("%s: %s", host, p.body)
		}
	}
}

// The pages of a tenant, and its guards', have its name and not the other's; a tenant that nobody gave a name has the
// product's.
func TestPagesOfTenants(t *testing.T) {
	w := newTwo(t, nil)
	if _, err := w.app.core.shared.db.UpdateTenant(t.Context(), "t_a", func(t *core.Tenant) error { t.Name = "Acme & Söhne"; return nil }); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"a.test": "Acme &amp; Söhne", "second.a.test": "Acme &amp; Söhne", "b.test": "Postern", "auth.test": "Postern", "app.b.test": "Postern", "app.a.test": "Acme &amp; Söhne"} {
		p := w.get(w.browser(), "http://"+host+"/if/user/")
		if named := strings.Contains(p.body, "Acme"); p.status != http.StatusOK || !strings.Contains(p.body, want) || named != strings.HasPrefix(want, "Acme") {
			t.Errorf("%s: %d %s", host, p.status, p.body)
		}
	}
}
