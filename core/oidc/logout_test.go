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

const loggedOutURI = "https://rp.example/bye"

func (w *world) forLogout(flow string) {
	w.updateClient(func(c *core.Client) {
		c.InvalidationFlow = w.flow(flow)
		c.RedirectURIs = append(strict(redirectURI, loggedOutURI), pattern(`https://rp\.example/any/.*`)...)
	})
}

func (b *browser) endSession(pairs ...string) answer {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	b.pages = nil
	return b.open("/application/o/app/end-session/?" + q.Encode())
}

// RP-Initiated Logout with a good hint: no page, back to the client with state.
func TestLogoutWithHint(t *testing.T) {
	for flow, ends := range map[string]bool{core.FlowInvalidation: true, core.FlowProviderInvalidation: false} {
		w := newWorld(t)
		w.forLogout(flow)
		b := w.browser(w.alice)
		got := w.exchange(b.code("scope", offline))
		a := b.endSession("id_token_hint", got.ID, "post_logout_redirect_uri", loggedOutURI, "state", "a b")
		if a.Header.Get("Location") != loggedOutURI+"?state=a+b" || len(b.pages) != 0 {
			t.Errorf("%s: %d %s, pages %v", flow, a.StatusCode, a.Header.Get("Location"), b.pages)
		}
		if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
			t.Errorf("%s: the access token lives on: %d", flow, status)
		}
		if got := w.refresh(got.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%s: the refresh token lives on: %v", flow, got)
		}
		if got := b.authorize("prompt", "none").response(t); (got.Get("error") == "login_required") != ends {
			t.Errorf("%s: the login: %v", flow, got)
		}
	}
}

// T-25: what is not proof asks first, and leads nowhere that is not registered.
func TestLogoutWithoutProof(t *testing.T) {
	w := newWorld(t)
	w.forLogout(core.FlowInvalidation)
	w.newClient("other", nil)
	bob := w.newUser("bob")
	foreign := w.exchange(w.browser(w.alice).code("client_id", "other"), "client_id", "other", "client_secret", secret)
	ofBob := w.exchange(w.browser(bob).code())
	elsewhere := w.tokens("openid") // the same person in another browser

	b := w.browser(w.alice)
	got := w.exchange(b.code("scope", offline))
	live := func() bool { return b.authorize("prompt", "none").response(t).Get("code") != "" }
	b.agree = false
	for name, hint := range map[string]string{
		"missing": "", "foreign": foreign.ID, "other user": ofBob.ID, "other browser": elsewhere.ID, "access token": got.Access,
		"garbage": "a.b.c", "changed": got.ID[:len(got.ID)-6] + "AAAAAA",
	} {
		a := b.endSession("id_token_hint", hint, "post_logout_redirect_uri", loggedOutURI)
		if !slices.Equal(b.pages, []string{"logout"}) || strings.Contains(a.Header.Get("Location"), "rp.example") || !live() {
			t.Errorf("%s: pages %v, led to %q", name, b.pages, a.Header.Get("Location"))
		}
	}
	b.pages = nil
	for name, uri := range map[string]string{
		"unregistered": "https://evil.test/", "by regex": "https://rp.example/any/x", "script": "javascript:alert(1)", "prefix": loggedOutURI + "/x",
	} {
		if a := b.endSession("post_logout_redirect_uri", uri); a.Header.Get("Location") == uri || len(b.pages) != 1 {
			t.Errorf("%s: led to %q", name, a.Header.Get("Location"))
		}
	}
	// An expired hint is no proof either.
	w.clock.Add(time.Hour)
	if b.endSession("id_token_hint", got.ID, "post_logout_redirect_uri", loggedOutURI); !slices.Equal(b.pages, []string{"logout"}) {
		t.Errorf("expired: pages %v", b.pages)
	}
	// Asked and agreed: the login ends, and a registered URI is followed.
	b.agree = true
	if a := b.endSession("post_logout_redirect_uri", loggedOutURI); a.Header.Get("Location") != loggedOutURI || live() {
		t.Errorf("agreed: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	// Logged out already: nothing to ask.
	if a := b.endSession(); len(b.pages) != 0 || !strings.Contains(a.body, "logged out of App") {
		t.Errorf("nobody logged in: pages %v, %s", b.pages, a.body)
	}
}

// The hint of another client is no proof, even where both have one issuer, one
// key and one login.
func TestLogoutWithTheHintOfAnotherClient(t *testing.T) {
	w := newWorld(t)
	w.forLogout(core.FlowInvalidation)
	w.updateClient(func(c *core.Client) { c.IssuerMode = core.IssuerGlobal })
	w.newClient("other", func(c *core.Client) { c.IssuerMode = core.IssuerGlobal })
	b := w.browser(w.alice)
	foreign := w.exchange(b.code("client_id", "other"), "client_id", "other", "client_secret", secret)
	if b.endSession("id_token_hint", foreign.ID); !slices.Equal(b.pages, []string{"logout"}) {
		t.Errorf("pages %v", b.pages)
	}
	b.signIn() // control: b was logged out
	own := w.exchange(b.code())
	if b.endSession("id_token_hint", own.ID); len(b.pages) != 0 {
		t.Errorf("own: pages %v", b.pages)
	}
}

// A good hint with an address that is not registered: logged out, led nowhere.
func TestLogoutRedirectMustBeRegistered(t *testing.T) {
	w := newWorld(t)
	w.forLogout(core.FlowInvalidation)
	b := w.browser(w.alice)
	got := w.exchange(b.code())
	a := b.endSession("id_token_hint", got.ID, "post_logout_redirect_uri", "https://evil.test/", "state", "x")
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, "login ended: true") {
		t.Errorf("%d %s %s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
}

// POST comes from the client's site, without cookies.
func TestLogoutByPost(t *testing.T) {
	w := newWorld(t)
	w.forLogout(core.FlowInvalidation)
	b := w.browser(w.alice)
	got := w.exchange(b.code())
	form := url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {loggedOutURI}, "client_id": {"app"}}
	a := w.post("app/end-session/", form)
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := b.open(a.Header.Get("Location")); a.Header.Get("Location") != loggedOutURI || len(b.pages) != 1 { // the login of b.code
		t.Errorf("%d %s, pages %v", a.StatusCode, a.Header.Get("Location"), b.pages)
	}
	old := w.post("app/end-session/", form).Header.Get("Location")
	if a := b.open(strings.Replace(old, "/app/", "/other/", 1)); a.StatusCode != http.StatusNotFound {
		t.Errorf("at another application: %d", a.StatusCode)
	}
	w.clock.Add(30 * time.Minute)
	if a := b.open(old); a.StatusCode != http.StatusBadRequest {
		t.Errorf("half an hour later: %d", a.StatusCode)
	}
	for name, form := range map[string]url.Values{
		"another client": {"client_id": {"other"}}, "twice": {"state": {"a", "b"}, "client_id": {"app"}},
	} {
		if a := w.post("app/end-session/", form); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	for _, resume := range []string{"x", "~x", ""} {
		if a := b.open("/application/o/app/end-session/?resume=" + resume); a.StatusCode != http.StatusBadRequest {
			t.Errorf("resume %q: %d", resume, a.StatusCode)
		}
	}
}
