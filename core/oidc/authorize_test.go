package oidc_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// Errors after the redirect URI was checked go to the client, with state and iss.
func TestAuthorizeErrors(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	for _, row := range []struct {
		name, want string
		pairs      []string
	}{
		{"no response type", "invalid_request", []string{"response_type", ""}},
		{"O-12 token", "unsupported_response_type", []string{"response_type", "token", "response_mode", "query"}},
		{"O-12 id_token token", "unsupported_response_type", []string{"response_type", "id_token token", "response_mode", "query"}},
		{"O-12 hybrid", "unsupported_response_type", []string{"response_type", "code id_token", "response_mode", "query"}},
		{"unknown response type", "unsupported_response_type", []string{"response_type", "magic"}},
		{"O-21 alg none", "request_not_supported", []string{"request", "eyJhbGciOiJub25lIn0.e30."}},
		{"O-21 JWE", "request_not_supported", []string{"request", "eyJhbGciOiJkaXIifQ..a.b.c"}},
		{"O-21 long", "request_not_supported", []string{"request", strings.Repeat("a", 20000)}},
		{"O-22 request_uri of a pushed request", "request_uri_not_supported", []string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}},
		{"O-21 request_uri http", "request_uri_not_supported", []string{"request_uri", "http://169.254.169.254/"}},
		{"O-21 request_uri file", "request_uri_not_supported", []string{"request_uri", "file:///etc/passwd"}},
		{"plain PKCE", "invalid_request", []string{"code_challenge_method", "plain"}},
		{"PKCE without method is plain", "invalid_request", []string{"code_challenge_method", ""}},
		{"method without challenge", "invalid_request", []string{"code_challenge", ""}},
		{"short challenge", "invalid_request", []string{"code_challenge", "abc"}},
		{"challenge that is no base64url", "invalid_request", []string{"code_challenge", strings.Repeat("+", 43)}},
		{"prompt none beside login", "invalid_request", []string{"prompt", "none login"}},
		{"max_age", "invalid_request", []string{"max_age", "soon"}},
		{"negative max_age", "invalid_request", []string{"max_age", "-1"}},
		{"long nonce", "invalid_request", []string{"nonce", strings.Repeat("n", 2049)}},
	} {
		a := b.authorize(row.pairs...)
		got := a.response(t)
		if got.Get("error") != row.want || got.Get("error_description") == "" || got.Get("code") != "" {
			t.Errorf("%s: %v", row.name, got)
		}
		if got.Get("state") != "the-state" || got.Get("iss") != w.server.URL+"/application/o/app/" {
			t.Errorf("%s: state and iss: %v", row.name, got)
		}
	}
	for _, name := range []string{"state", "nonce", "scope", "response_type", "code_challenge", "prompt", "unknown"} {
		q := query()
		q.Add(name, "a")
		q.Add(name, "b")
		if got := b.open("/application/o/authorize/?" + q.Encode()).response(t); got.Get("error") != "invalid_request" || name == "state" && got.Has("state") {
			t.Errorf("%s given twice: %v", name, got)
		}
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		q := query()
		q.Add(name, q.Get(name))
		if a := b.open("/application/o/authorize/?" + q.Encode()); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s given twice: %d", name, a.StatusCode)
		}
	}
	for name, q := range map[string]string{
		"unknown client": query("client_id", "nope").Encode(), "O-07 script as client": query("client_id", "<svg onload=alert(1)>").Encode(),
		"no client": query("client_id", "").Encode(), "nothing": "", "broken query": "%zz", "long client": query("client_id", strings.Repeat("a", 300)).Encode(),
		"O-07 error parameters": "error=<script>&error_description=<script>&error_hint=<script>",
	} {
		if a := b.open("/application/o/authorize/?" + q); a.StatusCode != http.StatusBadRequest || strings.Contains(a.body, "<s") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if b.code() == "" {
		t.Error("a following rightful request does not work")
	}
}

// An implicit request is answered where its client looks: in the fragment.
func TestErrorOfImplicitIsInTheFragment(t *testing.T) {
	w := newWorld(t)
	a := w.browser(w.alice).authorize("response_type", "id_token token")
	if location := a.Header.Get("Location"); !strings.HasPrefix(location, redirectURI+"#error=unsupported_response_type") {
		t.Errorf("%s", location)
	}
}

func TestResponseModes(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	if a := b.authorize("response_mode", "fragment"); !strings.HasPrefix(a.Header.Get("Location"), redirectURI+"#code=") {
		t.Errorf("fragment: %s", a.Header.Get("Location"))
	}
	if a := b.authorize("response_mode", "unknown"); !strings.HasPrefix(a.Header.Get("Location"), redirectURI+"?code=") {
		t.Errorf("unknown: %s", a.Header.Get("Location"))
	}
	// A query that is registered stays, and state is sent only where it was sent.
	w.updateClient(func(c *core.Client) {
		c.RedirectURIs = append(c.RedirectURIs, strict(redirectURI+"?x=1", "com.example.app:/cb")...)
	})
	a := b.authorize("redirect_uri", redirectURI+"?x=1", "state", "")
	if got := a.response(t); got.Get("x") != "1" || got.Get("code") == "" || got.Has("state") {
		t.Errorf("query: %s", a.Header.Get("Location"))
	}
	if a := b.authorize("redirect_uri", "com.example.app:/cb", "response_mode", "form_post"); !strings.HasPrefix(a.Header.Get("Location"), "com.example.app:/cb?code=") {
		t.Errorf("native application: %s", a.Header.Get("Location"))
	}
	// A state that could break out of a header or a URL comes back as it was.
	state := "a b&c=d#e\r\nX: y\x00é\"'<>"
	if got := b.authorize("state", state).response(t); got.Get("state") != state {
		t.Errorf("state: %q", got.Get("state"))
	}
}

// O-05, O-06, O-07: the form_post page.
func TestFormPost(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	const evil = `"><img src=x onerror=alert(1)>'</form>`
	a := b.authorize("response_mode", "form_post", "state", evil)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	if strings.Contains(a.body, "<img") || strings.Count(a.body, "</form>") != 1 || strings.Contains(a.body, "<Application>") {
		t.Errorf("not escaped: %s", a.body)
	}
	for _, want := range []string{
		`action="` + redirectURI + `"`, `method="post"`, `name="code"`, `name="state" value="&#34;&gt;&lt;img src=x`, `name="iss"`, `<button type="submit"`,
		`src="/application/o/form-post.js"`, `href="/application/o/form-post.css"`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in %s", want, a.body)
		}
	}
	csp := a.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "style-src 'self'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("no %s in %s", want, csp)
		}
	}
	// The form must reach the client, and its redirects theirs.
	if strings.Contains(csp, "form-action") || strings.Contains(csp, "unsafe") || a.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("policy: %s", csp)
	}
	script := b.open("/application/o/form-post.js")
	if script.StatusCode != http.StatusOK || !strings.HasPrefix(script.Header.Get("Content-Type"), "text/javascript") || !strings.Contains(script.body, ".submit()") {
		t.Errorf("script: %d %s", script.StatusCode, script.body)
	}
	if style := b.open("/application/o/form-post.css"); style.StatusCode != http.StatusOK || !strings.HasPrefix(style.Header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %d %v", style.StatusCode, style.Header)
	}
	w.clock.Add(time.Minute)
	if a := b.authorize("response_mode", "form_post", "prompt", "none", "max_age", "0"); !strings.Contains(a.body, `value="login_required"`) {
		t.Errorf("error by form_post: %s", a.body)
	}
}

// O-15
func TestPromptNone(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	if got := b.authorize("prompt", "none").response(t); got.Get("error") != "login_required" || len(b.pages) != 0 {
		t.Errorf("not logged in: %v, pages %v", got, b.pages)
	}
	b.signIn()
	if got := b.authorize("prompt", "none").response(t); got.Get("code") == "" {
		t.Errorf("logged in: %v", got)
	}
	w.clock.Add(time.Minute)
	if got := b.authorize("prompt", "none", "max_age", "30").response(t); got.Get("error") != "login_required" {
		t.Errorf("too old: %v", got)
	}
}

// O-16: prompt=login and max_age with a live session mean a new login, once.
func TestFreshLogin(t *testing.T) {
	w := newWorld(t)
	for _, pairs := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"max_age", "1"}, {"prompt", "login", "max_age", "10000"}} {
		b := w.browser(w.alice)
		before := b.signIn()
		w.clock.Add(time.Minute)
		got := w.exchange(b.code(pairs...))
		if !slices.Equal(b.pages, []string{"login"}) {
			t.Errorf("%v: pages %v", pairs, b.pages)
		}
		if authTime := int64(claims(t, got.ID)["auth_time"].(float64)); authTime <= before.AuthTime.Unix() {
			t.Errorf("%v: auth_time is that of the old login", pairs)
		}
	}
	b := w.browser(w.alice)
	b.signIn()
	w.clock.Add(time.Minute)
	if b.code("max_age", "3600"); len(b.pages) != 0 {
		t.Errorf("max_age that is met: pages %v", b.pages)
	}
}

// O-16, O-12: the request cannot be changed by what stands beside it in the URL on
// the way back from a page.
func TestSealedRequestIsImmutable(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	w.clock.Add(time.Minute)
	first := func(pairs ...string) string {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+"/application/o/authorize/?"+query(pairs...).Encode(), nil)
		check(t, err)
		a := b.do(r)
		u, err := url.Parse(a.Header.Get("Location"))
		check(t, err)
		if u.Path != "/page/login" {
			t.Fatalf("no login page: %s", u)
		}
		return u.Query().Get("next")
	}
	next := first("prompt", "login")
	for _, beside := range []string{"&prompt=none", "&prompt=", "&max_age=9999", "&response_type=token", "&redirect_uri=https://evil.test/", "&resume=x"} {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+next+beside, nil)
		check(t, err)
		if a := b.do(r); !strings.HasPrefix(a.Header.Get("Location"), "/page/login") {
			t.Errorf("%s: led to %s", beside, a.Header.Get("Location"))
		}
	}
	// Control: with a new login the same URL goes on.
	b.signIn()
	if got := b.open(next + "&redirect_uri=https://evil.test/&state=other").response(t); got.Get("code") == "" || got.Get("state") != "the-state" {
		t.Errorf("after a login: %v", got)
	}
	// A changed, cut, foreign or old seal is a page.
	prefix, token, _ := strings.Cut(next, "=")
	flipped := []byte(token)
	flipped[len(flipped)/2] ^= 1
	for name, bad := range map[string]string{
		"changed": string(flipped), "cut": token[:len(token)-4], "empty": "", "garbage": "!!!", "stored": "~" + core.RandomToken(24),
		"long": strings.Repeat("A", 9000), "padding": token + "=",
	} {
		if a := b.open(prefix + "=" + url.QueryEscape(bad)); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	w.clock.Add(30 * time.Minute)
	if a := b.open(next); a.StatusCode != http.StatusBadRequest {
		t.Errorf("after half an hour: %d", a.StatusCode)
	}
}

// A request that is too long for a URL is stored, and its URL stays short.
func TestLongRequest(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	state := strings.Repeat("s", 8192)
	r, err := http.NewRequest(http.MethodGet, w.server.URL+"/application/o/authorize/?"+query("state", state).Encode(), nil)
	check(t, err)
	a := b.do(r)
	if n := len(a.Header.Get("Location")); n > 300 {
		t.Errorf("the way to the login has %d bytes", n)
	}
	next, on := b.next(a)
	if !on {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if got := b.open(next).response(t); got.Get("state") != state || got.Get("code") == "" {
		t.Errorf("response: %v", got.Get("error"))
	}
	// The row of one request opens no other.
	if a := b.open(next + "x"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("another ID: %d", a.StatusCode)
	}
	if got := b.authorize("state", state+"s").response(t); got.Get("error") != "invalid_request" || got.Has("state") {
		t.Errorf("a state of 8193 bytes: %v", got.Get("error"))
	}
}

// A public client must use PKCE (RFC 9700 §2.1.1); O-10.
func TestPublicClientNeedsPKCE(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) { c.Type = core.ClientPublic })
	b := w.browser(w.alice)
	if got := b.authorize("code_challenge", "", "code_challenge_method", "").response(t); got.Get("error") != "invalid_request" {
		t.Errorf("without PKCE: %v", got)
	}
	got := w.exchange(b.code(), "client_id", "app")
	if got.Access == "" {
		t.Errorf("with PKCE: %v", got)
	}
	// Control: a confidential client may go without.
	w.updateClient(func(c *core.Client) { c.Type = core.ClientConfidential })
	if got := w.exchange(b.code("code_challenge", "", "code_challenge_method", ""), "code_verifier", ""); got.Access == "" {
		t.Errorf("confidential: %v", got)
	}
}

// A provider without an application has no issuer: nothing is issued for it.
func TestClientWithoutApplication(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	code := b.code()
	check(t, w.db.DeleteApplication(t.Context(), tenantID, w.app.Slug))
	if a := b.authorize(); a.StatusCode != http.StatusBadRequest {
		t.Errorf("authorize: %d", a.StatusCode)
	}
	if got := w.exchange(code); got.Error != "invalid_client" {
		t.Errorf("token: %v", got)
	}
}

func TestLoginHintReachesTheLoginPage(t *testing.T) {
	w := newWorld(t)
	w.browser(w.alice).code("login_hint", "alice@example.com")
	if need := w.login.needs[0]; need.LoginHint != "alice@example.com" || need.Application != w.app.Name || need.MaxAge >= 0 {
		t.Errorf("need: %+v", need)
	}
}

func TestGlobalIssuer(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) { c.IssuerMode = core.IssuerGlobal })
	b := w.browser(w.alice)
	got := b.authorize().response(t)
	id := claims(t, w.exchange(got.Get("code")).ID)
	if want := w.server.URL + "/"; got.Get("iss") != want || id["iss"] != want {
		t.Errorf("iss %q and %q", got.Get("iss"), id["iss"])
	}
}
