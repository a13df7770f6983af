package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// O-09, O-10
func TestPKCE(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	for name, v := range map[string]string{
		"missing": "", "wrong": strings.Repeat("x", 50), "42 characters": verifier[:42], "129 characters": strings.Repeat("x", 129),
		"bad characters": strings.Repeat("!", 50), "the challenge itself": s256(verifier),
	} {
		code := b.code()
		if got := w.exchange(code, "code_verifier", v); got.Error != "invalid_grant" || got.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", name, got)
		}
		if got := w.exchange(code); got.Error != "invalid_grant" {
			t.Errorf("%s: the code was not burned: %v", name, got)
		}
	}
	// A verifier whose challenge would fit, but that is too short to be one.
	if got := w.exchange(b.code("code_challenge", s256(verifier[:42])), "code_verifier", verifier[:42]); got.Error != "invalid_grant" {
		t.Errorf("42 characters that fit: %v", got)
	}
	// O-10: the challenge was stripped on the way.
	if got := w.exchange(b.code("code_challenge", "", "code_challenge_method", "")); got.Error != "invalid_grant" {
		t.Errorf("verifier without challenge: %v", got)
	}
	if got := w.exchange(b.code()); got.Access == "" { // control
		t.Errorf("right: %v", got)
	}
}

// T-01: the code of one client with the credentials of another.
func TestForeignCode(t *testing.T) {
	w := newWorld(t)
	w.newClient("other", nil)
	code := w.browser(w.alice).code()
	form := []string{"client_id", "other", "client_secret", secret}
	if got := w.exchange(code, form...); got.Error != "invalid_grant" {
		t.Errorf("foreign: %v", got)
	}
	if got := w.exchange(code); got.Error != "invalid_grant" {
		t.Errorf("not burned: %v", got)
	}
	if e := w.events(core.EventSuspicious); len(e) == 0 {
		t.Error("no event")
	}
	// Control: the other client's own code works with the same form.
	if got := w.exchange(w.browser(w.alice).code("client_id", "other"), form...); got.Access == "" {
		t.Errorf("own: %v", got)
	}
}

// T-02, one after the other: the second use ends what came of the first.
func TestCodeReuse(t *testing.T) {
	w := newWorld(t)
	code := w.browser(w.alice).code("scope", "openid offline_access")
	first := w.exchange(code)
	if status, _ := w.userinfo(first.Access); status != http.StatusOK { // control
		t.Fatalf("first: %d", status)
	}
	if got := w.exchange(code); got.Error != "invalid_grant" {
		t.Errorf("second: %v", got)
	}
	if status, _ := w.userinfo(first.Access); status != http.StatusUnauthorized {
		t.Errorf("the first access token lives on: %d", status)
	}
	if got := w.refresh(first.Refresh); got.Error != "invalid_grant" {
		t.Errorf("the first refresh token lives on: %v", got)
	}
	if e := w.events(core.EventSuspicious); len(e) != 1 {
		t.Errorf("events: %v", e)
	}
}

// T-02, fifty at once: exactly one success, whose tokens the others end.
func TestCodeRace(t *testing.T) {
	w := newWorld(t)
	// The winner takes its time before it uses the code up, so that a loser which does not
	// wait would come as far.
	w.op.Store = &slow{Store: w.db, wait: 20 * time.Millisecond}
	for range 3 {
		code := w.browser(w.alice).code("scope", "openid offline_access")
		results := race(50, func() tokens { return w.exchange(code) })
		var won []tokens
		for _, got := range results {
			switch {
			case got.Access != "":
				won = append(won, got)
			case got.Error != "invalid_grant":
				t.Errorf("%v", got)
			}
		}
		if len(won) != 1 {
			t.Fatalf("%d of 50 succeeded", len(won))
		}
		if status, _ := w.userinfo(won[0].Access); status != http.StatusUnauthorized {
			t.Errorf("the winner's token lives on: %d", status)
		}
	}
}

func race(n int, do func() tokens) []tokens {
	out := make([]tokens, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			out[i] = do()
		})
	}
	start.Done()
	done.Wait()
	return out
}

// T-03, T-04 and what else is wrong with a code.
func TestCodeRefused(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) {
		c.RedirectURIs = append(c.RedirectURIs, strict("https://rp.example/other")...)
	})
	b := w.browser(w.alice)
	for name, row := range map[string]struct {
		wait  time.Duration
		pairs []string
	}{
		"T-03 another registered redirect_uri": {0, []string{"redirect_uri", "https://rp.example/other"}},
		"T-03 missing redirect_uri":            {0, []string{"redirect_uri", ""}},
		"T-03 with a slash":                    {0, []string{"redirect_uri", redirectURI + "/"}},
		"T-04 a minute later":                  {time.Minute, nil},
	} {
		code := b.code()
		w.clock.Add(row.wait)
		if got := w.exchange(code, row.pairs...); got.Error != "invalid_grant" {
			t.Errorf("%s: %v", name, got)
		}
	}
	code := b.code()
	w.clock.Add(59 * time.Second)
	if got := w.exchange(code); got.Access == "" { // control
		t.Errorf("after 59 seconds: %v", got)
	}
	if got := w.exchange("nonsense"); got.Error != "invalid_grant" {
		t.Errorf("unknown: %v", got)
	}
	if got := w.exchange("", "code", ""); got.Error != "invalid_request" {
		t.Errorf("no code: %v", got)
	}
}

// A code is no use once the person may not use the application, or has logged
// out.
func TestCodeOfOneWhoIsGone(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	code := b.code()
	w.guard("staff")
	if got := w.exchange(code); got.Error != "invalid_grant" {
		t.Errorf("policy: %v", got)
	}
	w.guard("")
	if got := w.exchange(code); got.Error != "invalid_grant" {
		t.Errorf("not burned: %v", got)
	}
	code = b.code()
	_, err := w.db.DeleteUserSessions(t.Context(), tenantID, w.alice.ID, "")
	check(t, err)
	if got := w.exchange(code); got.Error != "invalid_grant" { // T-26
		t.Errorf("logged out: %v", got)
	}
	code = b.code()
	w.updateUser(w.alice, func(u *core.User) { u.Active = false })
	if got := w.exchange(code); got.Error != "invalid_grant" { // T-12
		t.Errorf("disabled: %v", got)
	}
}

func TestClientAuthentication(t *testing.T) {
	w := newWorld(t)
	send := func(basicID, basicSecret string, form url.Values, header ...string) tokens {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/application/o/token/", strings.NewReader(form.Encode()))
		check(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if basicID != "" {
			r.SetBasicAuth(basicID, basicSecret)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		a := w.browser(nil).do(r)
		return tokens{Status: a.StatusCode, Error: errorOf(a.body), header: a.Header}
	}
	body := func(pairs ...string) url.Values {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
	for _, row := range []struct {
		name   string
		got    tokens
		status int
		want   string
		header bool // WWW-Authenticate
	}{
		{"basic", send("app", secret, body()), 400, "invalid_grant", false},
		{"basic, percent-encoded", send("%61pp", strings.ReplaceAll(secret, "-", "%2D"), body()), 400, "invalid_grant", false},
		{"basic, lower-case scheme", send("", "", body(), "Authorization", "basic YXBwOmEtc2VjcmV0LW9mLXRoZS1jbGllbnQtMDEyMzQ1Njc4OS0wMTIzNDU2Nzg5"), 400, "invalid_grant", false},
		{"body", send("", "", body("client_id", "app", "client_secret", secret)), 400, "invalid_grant", false},
		{"basic, wrong", send("app", "wrong", body()), 401, "invalid_client", true},
		{"basic, empty", send("app", "", body()), 401, "invalid_client", true},
		{"basic, unknown client", send("nope", secret, body()), 401, "invalid_client", true},
		{"basic, not base64", send("", "", body(), "Authorization", "Basic !!!"), 401, "invalid_client", true},
		{"basic, bad percent-encoding of the ID", send("%zz", secret, body()), 401, "invalid_client", true},
		{"bearer", send("", "", body(), "Authorization", "Bearer x"), 401, "invalid_client", true},
		{"body, wrong", send("", "", body("client_id", "app", "client_secret", "wrong")), 400, "invalid_client", false},
		{"body, no secret", send("", "", body("client_id", "app")), 400, "invalid_client", false},
		{"nothing", send("", "", body()), 400, "invalid_client", false},
		{"both: the body's is not looked at", send("app", secret, body("client_secret", "wrong")), 400, "invalid_grant", false},
		{"both, the header's wrong", send("app", "wrong", body("client_secret", secret)), 401, "invalid_client", true},
		{"two client IDs", send("app", secret, body("client_id", "other")), 400, "invalid_request", false},
		{"the same client ID twice", send("app", secret, body("client_id", "app")), 400, "invalid_grant", false},
		{"T-23 password", send("app", secret, body("grant_type", "password")), 400, "unsupported_grant_type", false},
		{"T-05 client_credentials", send("app", secret, body("grant_type", "client_credentials")), 400, "unsupported_grant_type", false},
		{"T-06 device code", send("app", secret, body("grant_type", "urn:ietf:params:oauth:grant-type:device_code")), 400, "unsupported_grant_type", false},
		{"T-21 token exchange", send("app", secret, body("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "x", "subject_token_type", "urn:ietf:params:oauth:token-type:access_token")), 400, "unsupported_grant_type", false},
		{"T-10 an assertion in place of the secret", send("", "", body("client_id", "app", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhcHAiLCJpc3MiOiJhcHAifQ.")), 400, "invalid_client", false},
		{"no grant_type", send("app", secret, url.Values{"code": {"x"}}), 400, "invalid_request", false},
		{"parameter twice", send("app", secret, url.Values{"grant_type": {"authorization_code"}, "code": {"x", "y"}}), 400, "invalid_request", false},
		{"JSON", send("app", secret, body(), "Content-Type", "application/json"), 400, "invalid_request", false},
		{"long code", send("app", secret, body("code", strings.Repeat("x", 3000))), 400, "invalid_request", false},
		{"body too large", send("app", secret, body("x", strings.Repeat("x", 70000))), 400, "invalid_request", false},
	} {
		if row.got.Status != row.status || row.got.Error != row.want || (row.got.header.Get("WWW-Authenticate") != "") != row.header {
			t.Errorf("%s: %d %s, WWW-Authenticate %q", row.name, row.got.Status, row.got.Error, row.got.header.Get("WWW-Authenticate"))
		}
	}
	// A client whose secret is empty is not one that an empty secret opens.
	w.updateClient(func(c *core.Client) { c.Secret = "" })
	if got := send("app", "", body()); got.Error != "invalid_client" {
		t.Errorf("empty secret: %s", got.Error)
	}
	// A secret in the query is not looked at.
	w.updateClient(func(c *core.Client) { c.Secret = secret })
	if a := w.post("token/?client_id=app&client_secret="+secret, url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {""}}); errorOf(a.body) != "invalid_client" {
		t.Errorf("secret in the query: %s", a.body)
	}
}

func errorOf(body string) string {
	_, after, _ := strings.Cut(body, `"error":"`)
	code, _, _ := strings.Cut(after, `"`)
	return code
}

// CORS of contract 1.5: any origin may ask whether it may ask; only the client's
// own may read.
func TestTokenCORS(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) {
		c.RedirectURIs = append(c.RedirectURIs, strict("https://spa.example:443/x")...)
		c.RedirectURIs = append(c.RedirectURIs, pattern(`https://evil\.test/.*`)...)
	})
	code := func() url.Values { return url.Values{"grant_type": {"authorization_code"}, "code": {"x"}} }
	for origin, want := range map[string]bool{
		"https://rp.example": true, "https://spa.example": true, "https://evil.test": false, "https://rp.example.evil.test": false,
		"http://rp.example": false, "null": false, "https://RP.example": false,
	} {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/application/o/token/", strings.NewReader(code().Encode()))
		check(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		r.SetBasicAuth("app", secret)
		a := w.browser(nil).do(r)
		if got := a.Header.Get("Access-Control-Allow-Origin"); (got == origin) != want || got != "" && got != origin || a.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %q", origin, got)
		}
	}
	r, err := http.NewRequest(http.MethodOptions, w.server.URL+"/application/o/token/", nil)
	check(t, err)
	r.Header.Set("Origin", "https://rp.example")
	a := w.browser(nil).do(r)
	if a.StatusCode != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != "https://rp.example" || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", a.StatusCode, a.Header)
	}
}
