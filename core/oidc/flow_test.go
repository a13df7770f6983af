package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
)

// The whole way with a client that is not ours: go-oidc and x/oauth2.
func TestCodeFlowWithAnIndependentClient(t *testing.T) {
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		w := newWorld(t)
		// A secret that must be percent-encoded for HTTP Basic.
		w.updateClient(func(c *core.Client) { c.Secret = "p%41ss+wörd:/ with spaces" })
		ctx := t.Context()
		provider, err := gooidc.NewProvider(ctx, w.server.URL+"/application/o/app/")
		check(t, err)
		endpoint := provider.Endpoint()
		endpoint.AuthStyle = style
		config := oauth2.Config{
			ClientID: "app", ClientSecret: string(w.client.Secret), RedirectURL: redirectURI, Endpoint: endpoint,
			Scopes: []string{"openid", "email", "profile", "offline_access"},
		}
		v := oauth2.GenerateVerifier()
		b := w.browser(w.alice)
		authURL := config.AuthCodeURL("xyz", gooidc.Nonce("n-0S6"), oauth2.S256ChallengeOption(v))
		got := b.open(strings.TrimPrefix(authURL, w.server.URL)).response(t)
		if got.Get("state") != "xyz" || got.Get("iss") != w.server.URL+"/application/o/app/" {
			t.Errorf("response: %v", got)
		}
		if !slices.Equal(b.pages, []string{"login"}) {
			t.Errorf("pages: %v", b.pages)
		}
		token, err := config.Exchange(ctx, got.Get("code"), oauth2.VerifierOption(v))
		check(t, err)
		verify := provider.VerifierContext(ctx, &gooidc.Config{ClientID: "app", Now: w.clock.Now})
		id, err := verify.Verify(ctx, token.Extra("id_token").(string))
		check(t, err)
		if id.Nonce != "n-0S6" {
			t.Errorf("nonce %q", id.Nonce)
		}
		check(t, id.VerifyAccessToken(token.AccessToken)) // at_hash, T-30
		if id.IssuedAt.After(w.clock.Now()) {
			t.Error("iat lies in the future")
		}
		var claims struct {
			Username string `json:"preferred_username"`
			Email    string
		}
		check(t, id.Claims(&claims))
		if claims.Username != "alice" || claims.Email != "alice@example.com" {
			t.Errorf("claims: %+v", claims)
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		check(t, err)
		if info.Subject != id.Subject || info.Email != "alice@example.com" || info.EmailVerified {
			t.Errorf("userinfo: %+v", info)
		}
		// A refresh, by the library's own rules.
		w.clock.Add(11 * time.Minute)
		again, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
		check(t, err)
		id2, err := verify.Verify(ctx, again.Extra("id_token").(string))
		check(t, err)
		if id2.Subject != id.Subject || id2.Nonce != "" || again.RefreshToken == token.RefreshToken {
			t.Errorf("refreshed: sub %s, nonce %q", id2.Subject, id2.Nonce)
		}
	}
}

func TestHappyPathDetails(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	a := b.authorize()
	if a.StatusCode != http.StatusFound {
		t.Errorf("status %d", a.StatusCode)
	}
	got := w.exchange(a.response(t).Get("code"))
	for _, key := range []string{"access_token", "token_type", "scope", "expires_in", "id_token"} {
		if got.raw[key] == nil {
			t.Errorf("no %s in %v", key, got.raw)
		}
	}
	if len(got.raw) != 5 || got.Type != "Bearer" || got.Scope != "openid email profile" || got.Expires != 600 {
		t.Errorf("answer: %v", got.raw)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json"} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q", name, got.header.Get(name))
		}
	}
	access, id := claims(t, got.Access), claims(t, got.ID)
	if access["azp"] != "app" || len(access["uid"].(string)) != 40 || access["scope"] != got.Scope || access["jti"] == nil {
		t.Errorf("access token: %v", access)
	}
	if id["azp"] != nil || id["jti"] != nil || id["aud"] != "app" || id["acr"] != "goauthentik.io/providers/oauth2/default" || id["amr"].([]any)[0] != "pwd" {
		t.Errorf("ID token: %v", id)
	}
	if e := w.events(core.EventAuthorize); len(e) != 1 {
		t.Errorf("events: %v", e)
	}
	// O-23, O-24 and their like: what a browser must not keep or send on.
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", a.Header)
	}
	// The second time there is a session, and no page.
	b.pages = nil
	if b.code() == "" || len(b.pages) != 0 {
		t.Errorf("pages: %v", b.pages)
	}
}

// The slash-less form of each address answers as the one with a slash.
func TestSlashes(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	if got := b.open("/application/o/authorize?" + query().Encode()).response(t); got.Get("code") == "" {
		t.Errorf("authorize: %v", got)
	}
	for _, path := range []string{"app/jwks", "app/jwks/", "app/.well-known/openid-configuration", "app/.well-known/openid-configuration/", "app/", "app"} {
		if a := b.open("/application/o/" + path); a.StatusCode != http.StatusOK || !strings.HasPrefix(a.body, "{") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	for _, path := range []string{"nope/jwks/", "nope/", "device/", "app/x", "app/end-session/x"} {
		if a := b.open("/application/o/" + path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	// HEAD is what link checkers send: nothing may come of it.
	for _, path := range []string{"authorize/?" + query().Encode(), "app/end-session/"} {
		r, err := http.NewRequest(http.MethodHead, w.server.URL+"/application/o/"+path, nil)
		check(t, err)
		if a := b.do(r); a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s: %d", path, a.StatusCode)
		}
	}
	if a := b.open("/application/o/token/"); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET token: %d %v", a.StatusCode, a.Header)
	}
}

// POST of the authorization request, from another site: no cookie comes with it.
func TestAuthorizeByPost(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	post := func(body url.Values) answer {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/application/o/authorize/", strings.NewReader(body.Encode()))
		check(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return w.browser(nil).do(r)
	}
	a := post(query())
	if a.StatusCode != http.StatusSeeOther { // O-14
		t.Fatalf("status %d", a.StatusCode)
	}
	if got := b.open(a.Header.Get("Location")).response(t); got.Get("code") == "" {
		t.Errorf("response %v", got)
	}
	if a := post(query("response_type", "token")); a.StatusCode != http.StatusSeeOther || !strings.Contains(a.Header.Get("Location"), "error=unsupported_response_type") {
		t.Errorf("error: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	if a := post(query("client_id", "nope")); a.StatusCode != http.StatusBadRequest {
		t.Errorf("unknown client: %d", a.StatusCode)
	}
}

func TestScopes(t *testing.T) {
	w := newWorld(t)
	for asked, want := range map[string]string{
		"":                              "email offline_access openid profile", // none asked for: all
		"openid":                        "openid",
		"openid openid":                 "openid",
		"profile openid nope":           "profile openid",
		"openid goauthentik.io/api":     "openid",
		"nope":                          "",
		"openid offline_access profile": "openid offline_access profile",
	} {
		got := w.exchange(w.browser(w.alice).code("scope", asked))
		if got.Scope != want || got.Error != "" {
			t.Errorf("%q: scope %q, %s", asked, got.Scope, got.Error)
		}
		if (got.Refresh != "") != strings.Contains(want, "offline_access") {
			t.Errorf("%q: refresh token %q", asked, got.Refresh)
		}
	}
	// offline_access that is not assigned gives nothing.
	w.updateClient(func(c *core.Client) {
		for _, m := range w.defaultMappings() {
			if m.ScopeName == "offline_access" {
				c.Mappings = slices.DeleteFunc(c.Mappings, func(id core.MappingID) bool { return id == m.ID })
			}
		}
	})
	if got := w.tokens("openid offline_access"); got.Refresh != "" || got.Scope != "openid" {
		t.Errorf("not assigned: %v", got)
	}
}

func TestSubModes(t *testing.T) {
	w := newWorld(t)
	w.updateUser(w.alice, func(u *core.User) { u.Attributes = map[string]any{"upn": "alice@corp.example"} })
	hashed := ""
	for mode, want := range map[core.SubMode]string{
		core.SubHashedUserID: "", core.SubUserID: "", core.SubUserUUID: string(w.alice.ID), core.SubUserName: "alice",
		core.SubUserEmail: "alice@example.com", core.SubUserUPN: "alice@corp.example",
	} {
		w.updateClient(func(c *core.Client) { c.SubMode = mode })
		got := w.tokens("openid")
		sub := claims(t, got.ID)["sub"]
		if want != "" && sub != want {
			t.Errorf("%s: sub %q", mode, sub)
		}
		if mode == core.SubHashedUserID {
			hashed = sub.(string)
		}
		if _, info := w.userinfo(got.Access); info["sub"] != sub || claims(t, got.Access)["sub"] != sub {
			t.Errorf("%s: sub is %q, but %q in userinfo", mode, sub, info["sub"])
		}
	}
	if len(hashed) != 64 {
		t.Errorf("hashed: %q", hashed)
	}
	// Without what the mode needs it is the hashed ID: never empty, so that two
	// people without an address are not one.
	w.updateUser(w.alice, func(u *core.User) { u.Attributes, u.Email = nil, "" })
	for _, mode := range []core.SubMode{core.SubUserEmail, core.SubUserUPN} {
		w.updateClient(func(c *core.Client) { c.SubMode = mode })
		if sub := claims(t, w.tokens("openid").ID)["sub"]; sub != hashed {
			t.Errorf("%s without its source: %q", mode, sub)
		}
	}
}

func TestConsent(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) { c.AuthorizationFlow = w.flow(core.FlowExplicitConsent) })
	b := w.browser(w.alice)
	ask := func(want int, pairs ...string) url.Values {
		t.Helper()
		b.pages = nil
		got := b.authorize(pairs...).response(t)
		if n := strings.Count(strings.Join(b.pages, " "), "consent"); n != want {
			t.Errorf("%v: %d consent pages, want %d", pairs, n, want)
		}
		return got
	}
	b.agree = false
	if got := ask(1, "scope", "openid"); got.Get("error") != "access_denied" {
		t.Errorf("refused: %v", got)
	}
	b.agree = true
	ask(1, "scope", "openid")
	ask(0, "scope", "openid")
	ask(1, "scope", "openid email") // a new scope
	need := w.login.needs[len(w.login.needs)-1]
	if got := need.Consent.Scopes; len(got) != 2 || !got[0].Granted || got[1].Granted || got[1].Description != "Email address" {
		t.Errorf("consent: %+v", got)
	}
	ask(0, "scope", "email")
	ask(1, "prompt", "consent", "scope", "openid")
	ask(0, "scope", "openid email") // what was agreed to before is not forgotten by it
	if got := ask(0, "scope", "openid profile", "prompt", "none"); got.Get("error") != "consent_required" {
		t.Errorf("prompt=none: %v", got)
	}
	if got := ask(0, "scope", "openid", "prompt", "none consent"); got.Get("error") != "consent_required" {
		t.Errorf("prompt=none consent: %v", got)
	}
	if got := ask(0, "scope", "openid", "prompt", "none login"); got.Get("error") != "invalid_request" {
		t.Errorf("prompt=none login: %v", got)
	}
	check(t, w.op.RevokeConsent(w.ctx(), tenantID, w.alice.ID, "app"))
	ask(1, "scope", "openid")
	w.clock.Add(28*24*time.Hour + time.Second)
	ask(1, "scope", "openid") // expired
	// The implicit flow asks nothing, unless the client wants it.
	w.updateClient(func(c *core.Client) { c.AuthorizationFlow = w.flow(core.FlowImplicitConsent) })
	ask(0, "scope", "openid profile")
	ask(1, "scope", "openid profile", "prompt", "consent")
}

// T-11: taking consent back ends what was issued on it.
func TestRevokeConsentRevokesGrants(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("openid offline_access")
	check(t, w.op.RevokeConsent(w.ctx(), tenantID, w.alice.ID, "other-client"))
	if status, _ := w.userinfo(got.Access); status != http.StatusOK {
		t.Fatalf("another client's consent ended this one's tokens: %d", status)
	}
	check(t, w.op.RevokeConsent(w.ctx(), tenantID, w.alice.ID, "app"))
	if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", status)
	}
	if got := w.refresh(got.Refresh); got.Error != "invalid_grant" {
		t.Errorf("refresh: %v", got)
	}
}

func TestPolicyDenial(t *testing.T) {
	w := newWorld(t)
	w.guard("staff")
	b := w.browser(w.alice)
	a := b.authorize()
	if a.StatusCode != http.StatusForbidden {
		t.Fatalf("status %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	denied := w.login.denied[len(w.login.denied)-1]
	if denied.UserName != "alice" || denied.Application == "" || denied.Decision == "" || denied.ReturnTo == "" {
		t.Errorf("page: %+v", denied)
	}
	e, err := w.db.Denial(t.Context(), tenantID, denied.Decision)
	check(t, err)
	if !strings.Contains(fmt.Sprint(e.Context["rules"]), "staff") || e.UserName != "alice" || e.Application != w.app.ID || e.Address != "192.0.2.1" {
		t.Errorf("event: %+v", e)
	}
	if got := b.authorize("prompt", "none").response(t); got.Get("error") != "access_denied" {
		t.Errorf("prompt=none: %v", got)
	}
	w.newGroup("staff", w.alice)
	if b.code() == "" {
		t.Error("a member is refused")
	}
}

// guard lets only members of a group use the application.
func (w *world) guard(group string) { w.op.Applications = guarded{w.db, group} }

type guarded struct {
	*sqldb.DB
	group string
}

func (g guarded) ApplicationByProvider(ctx context.Context, t core.TenantID, id core.ProviderID) (*core.Application, error) {
	a, err := g.DB.ApplicationByProvider(ctx, t, id)
	if err == nil && g.group != "" {
		a.AllowGroups = []string{g.group}
	}
	return a, err
}
