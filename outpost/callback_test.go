package outpost_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The way back is the exact URL that was asked for.
func TestDeepLink(t *testing.T) {
	long := app + "/x?q=" + strings.Repeat("a", 3000)
	for _, c := range []struct{ asked, want string }{
		{app + "/", ""}, {app + "/a/b/?x=1&y=2", ""}, {app + "/a%2Fb;v=1?x=%20+&&=", ""}, {app + "/?", ""}, {app + "/a?", ""},
		{app + "/?code=mine&state=mine&iss=mine&error=mine", ""},
		{app + "/a?next=https://b.test/?x=1", ""},
		{app + "/?q=%26X-authentik-auth-callback=true", ""},
		{app + "/ü?q=ö", app + "/%C3%BC?q=%C3%B6"},
		{app + "/?a=1&X-authentik-auth-callback=true", app + "/?a=1"},
		{"http://app.a.test:9080/deep?x=1", ""},
		{app + "//evil.test/x", ""},
		{long, app + "/x"},
	} {
		if c.want == "" {
			c.want = c.asked
		}
		w := newWorld(t)
		b := w.browser()
		if got := b.login(c.asked); got != c.want {
			t.Errorf("asked for %s, came back to %s", c.asked, got)
		}
		if res := b.get(c.want); res.StatusCode != 200 {
			t.Errorf("%s: %d after the login", c.want, res.StatusCode)
		}
	}
}

// The cookie goes to this host only, no script sees it, and only the scheme decides whether
// it is secure.
func TestCookieAttributes(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		w := newWorld(t)
		w.apps = nil
		b := w.browser()
		res := b.get(scheme + "://app.a.test/")
		cookies := res.Cookies()
		res = b.get(w.approve(res.Header.Get("Location"), "login1", "u1"))
		cookies = append(cookies, res.Cookies()...)
		if len(cookies) != 3 { // a login under way, its removal, the session
			t.Fatalf("%d cookies", len(cookies))
		}
		for _, c := range cookies {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != (scheme == "https") {
				t.Errorf("%s: %s", scheme, c.Raw)
			}
		}
		// 8 hexadecimal digits of sha256("caddyfile:app.a.test")
		sum := core.Hash("caddyfile:app.a.test")
		want, begins := fmt.Sprintf("authentik_proxy_%x", sum[:4]), "authentik_proxy_login_"
		if scheme == "https" { // from this host alone
			want, begins = "__Host-"+want, "__Host-"+begins
		}
		if cookies[2].Name != want || !strings.HasPrefix(cookies[0].Name, begins) || cookies[1].Name != cookies[0].Name {
			t.Errorf("cookies %s, %s, %s; want %s", cookies[0].Name, cookies[1].Name, cookies[2].Name, want)
		}
	}
}

// F-18: an answer that this browser did not ask for logs nobody in, and goes nowhere.
func TestForeignState(t *testing.T) {
	w := newWorld(t)
	attacker, victim := w.browser(), w.browser()
	w.users["u2"] = &core.User{ID: "u2", UserName: "mallory", Active: true}
	res := attacker.get(app + "/")
	planted := w.approve(res.Header.Get("Location"), "evil", "u2")

	res = victim.get(planted)
	w.isRefused(res, "a planted callback")
	if res.StatusCode != 400 || len(victim.jar) != 0 {
		t.Errorf("a planted callback: %d, cookies %v", res.StatusCode, victim.jar)
	}
	if page := read(t, res); !strings.Contains(page, `href="`+app+`/"`) {
		t.Error("the page does not say how to go on")
	}
	// A login under way of its own does not help.
	victim.get(app + "/")
	if res = victim.get(planted); res.StatusCode != 400 {
		t.Errorf("a planted callback beside a login under way: %d", res.StatusCode)
	}
	// The cookie of another application, or of another tenant, is none here.
	for name, change := range map[string]func(){
		"another application": func() { w.apps = []core.ProxyApplication{proxyApp("other", app)} },
		"another tenant":      func() { w.apps = nil; w.tenant = &core.Tenant{ID: "t_b", Origin: "https://b.test"} },
	} {
		change()
		w.out.Invalidate(w.tenant.ID, core.Change{Kind: "application"})
		if res = attacker.get(planted); res.StatusCode != 400 {
			t.Errorf("state of %s: %d", name, res.StatusCode)
		}
	}
	// Control: the attacker's own browser ends its login.
	w.apps, w.tenant = nil, &core.Tenant{ID: "public", Origin: "https://auth.a.test"}
	w.out.Invalidate("public", core.Change{Kind: "application"})
	if res = attacker.get(planted); res.StatusCode != 302 {
		t.Errorf("control: %d, want a login", res.StatusCode)
	}
}

// F-18: a callback that is sent again, with and without the session it gave.
func TestReplayedCallback(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	res := b.get(app + "/deep?x=1")
	back := w.approve(res.Header.Get("Location"), "login1", "u1")
	copied := map[string]string{}
	for k, v := range b.jar {
		copied[k] = v
	}
	if res = b.get(back); res.Header.Get("Location") != app+"/deep?x=1" {
		t.Fatalf("control: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	sessions := len(w.keys)
	if res = b.get(back); res.StatusCode != 302 || res.Header.Get("Location") != app+"/deep?x=1" {
		t.Errorf("the Back button: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	thief := w.browser()
	thief.jar = copied // even with the sealed cookie: the code is used up
	if res = thief.get(back); res.StatusCode != 400 {
		t.Errorf("replay with the cookie: %d", res.StatusCode)
	}
	if len(w.keys) != sessions {
		t.Error("a replay made a session")
	}
}

// F-18: each of several tabs returns to its own URL, whichever is first; all are one session.
func TestTabs(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	var back []string
	for i := range 8 {
		res := b.get(fmt.Sprintf("%s/tab/%d", app, i))
		back = append(back, w.approve(res.Header.Get("Location"), "login1", "u1"))
	}
	for _, i := range []int{3, 0, 7, 1, 2, 4, 5, 6} {
		res := b.get(back[i])
		if w.next != 1 { // the first tab's pages go on with the cookie that they have
			t.Errorf("tab %d began another session", i)
		}
		if got, want := res.Header.Get("Location"), fmt.Sprintf("%s/tab/%d", app, i); got != want {
			t.Errorf("tab %d came back to %q", i, got)
		}
	}
	if len(w.keys) != 1 {
		t.Errorf("%d sessions", len(w.keys))
	}
	for name := range b.jar {
		if strings.Contains(name, "login") {
			t.Errorf("cookie %s is left over", name)
		}
	}
}

// A browser that never comes back does not fill up with cookies: the oldest go.
func TestPendingAreBounded(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for range 40 {
		b.get(app + "/")
		w.now = w.now.Add(time.Second)
		if len(b.jar) > 8 {
			t.Fatalf("%d cookies", len(b.jar))
		}
	}
	for _, v := range b.jar {
		if len(v) > 3900 {
			t.Errorf("a cookie of %d bytes", len(v))
		}
	}
	// An old one does not open what it would have opened.
	res := b.get(app + "/late")
	back := w.approve(res.Header.Get("Location"), "login1", "u1")
	w.now = w.now.Add(31 * time.Minute)
	if res = b.get(back); res.StatusCode != 400 {
		t.Errorf("after 31 minutes: %d", res.StatusCode)
	}
}

// A login as someone else takes the place of the one before.
func TestLoginAsSomeoneElse(t *testing.T) {
	w := newWorld(t)
	w.users["u2"] = &core.User{ID: "u2", UserName: "bob", Active: true}
	b := w.browser()
	res := b.get(app + "/")
	second := w.approve(res.Header.Get("Location"), "login2", "u2")
	b.login(app + "/")
	if b.get(app + "/"); w.got.Header.Get("X-Authentik-Username") != "alice" {
		t.Fatal("control: not alice")
	}
	b.get(second)
	if b.get(app + "/"); w.got.Header.Get("X-Authentik-Username") != "bob" {
		t.Error("still alice")
	}
	if len(w.keys) != 1 {
		t.Errorf("%d sessions", len(w.keys))
	}
}

// What the login page answers is shown, with a way on, and not followed.
func TestCallbackErrors(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		err    string
		status int
	}{{"access_denied", 403}, {"server_error", 400}, {"temporarily_unavailable", 503}, {"<script>", 400}} {
		b := w.browser()
		res := b.get(app + "/deep")
		u, err := url.Parse(res.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		q := url.Values{"error": {c.err}, "error_description": {"<script>alert(1)</script>"}, "state": {u.Query().Get("state")}}
		res = b.get(app + "/deep?X-authentik-auth-callback=true&" + q.Encode())
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.err, res.StatusCode, c.status)
		}
		if after := res.Header.Get("Retry-After"); (after != "") != (c.status == 503) {
			t.Errorf("%s: Retry-After %q", c.err, after)
		}
		if page := read(t, res); strings.Contains(page, "<script") || !strings.Contains(page, `href="`+app+`/deep"`) {
			t.Errorf("%s: %s", c.err, page)
		}
	}
	b := w.browser()
	res := b.get(app + "/")
	back := w.approve(res.Header.Get("Location"), "login1", "u1")
	delete(w.logins, "login1") // logged out before the browser was back
	if res = b.get(back); res.StatusCode != 400 {
		t.Errorf("logged out meanwhile: %d", res.StatusCode)
	}
	res = b.get(app + "/")
	back = w.approve(res.Header.Get("Location"), "login1", "u1")
	w.broken = errStore
	if res = b.get(back); res.StatusCode != 503 || len(w.keys) != 0 {
		t.Errorf("store gone at the callback: %d", res.StatusCode)
	}
}

func TestSignOut(t *testing.T) {
	for _, uri := range []string{"/outpost.goauthentik.io/sign_out", "/any/page?x=1&X-authentik-logout=true"} {
		w := newWorld(t)
		b := w.browser()
		b.login(app + "/")
		b.header.Set("Sec-Fetch-Site", "cross-site")
		if res := b.get(app + uri); res.StatusCode != 200 || len(w.logins) != 1 || w.got != nil {
			t.Errorf("%s from another site: %d, %d logins left", uri, res.StatusCode, len(w.logins))
		}
		if res := b.do("POST", app+uri); res.StatusCode != 403 || len(w.logins) != 1 {
			t.Errorf("%s posted by another site: %d", uri, res.StatusCode)
		}
		b.header.Del("Sec-Fetch-Site")
		res := b.get(app + uri)
		if res.StatusCode != 302 || res.Header.Get("Location") != "https://auth.a.test/" {
			t.Errorf("%s: %d %s", uri, res.StatusCode, res.Header.Get("Location"))
		}
		if len(w.logins) != 0 || len(w.keys) != 0 || len(b.jar) != 0 {
			t.Errorf("%s: %d logins, %d sessions, %d cookies are left", uri, len(w.logins), len(w.keys), len(b.jar))
		}
	}
}
