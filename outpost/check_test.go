package outpost_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

const app = "https://app.a.test"

func proxyApp(slug, external string) core.ProxyApplication {
	return core.ProxyApplication{
		Application: core.Application{ID: core.ApplicationID("id-" + slug), Slug: slug, Name: strings.ToUpper(slug), Provider: core.ProviderID(len(slug))},
		Provider: core.ProxyProvider{
			ProviderBase: core.ProviderBase{ID: core.ProviderID(len(slug))},
			ClientID:     "client-" + slug, Mode: core.ProxyAuthSingle, ExternalHost: external,
		},
	}
}

func skip(t testing.TB, rules ...string) []outpost.Skip {
	t.Helper()
	var out []outpost.Skip
	for _, r := range rules {
		s, err := outpost.ParseSkip(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// TestCheck is the product in one table: every way in, and every way to be
// refused.
func TestCheck(t *testing.T) {
	html := http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}}
	h := func(kv ...string) http.Header {
		out := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			out.Set(kv[i], kv[i+1])
		}
		return out
	}
	for _, c := range []struct {
		name   string
		in     bool // logged in
		setup  func(w *world)
		method string
		uri    string
		header http.Header
		status int
		allow  bool
		user   string // X-authentik-username that the application received
	}{
		{name: "logged in", in: true, uri: "/x?a=1", header: html, allow: true, user: "alice"},
		{name: "logged in, a script", in: true, uri: "/api", header: h("Accept", "application/json"), allow: true, user: "alice"},
		{name: "logged in, posting", in: true, method: "POST", uri: "/x", header: html, allow: true, user: "alice"},
		{name: "logged in, of a group that is asked for", in: true, setup: func(w *world) { w.guard = &outpost.Guard{AllowGroups: []string{"admins"}} }, uri: "/", header: html, allow: true, user: "alice"},
		{name: "logged in, of no group that is asked for", in: true, setup: func(w *world) { w.guard = &outpost.Guard{AllowGroups: []string{"Admins"}} }, uri: "/", header: html, status: 403},
		{name: "deactivated since", in: true, setup: func(w *world) {
			w.users["u1"].Active = false
			w.out.Invalidate("public", core.Change{Kind: "user", ID: "u1"})
		}, uri: "/", header: html, status: 403},
		{name: "deleted since", in: true, setup: func(w *world) {
			delete(w.users, "u1")
			w.out.Invalidate("public", core.Change{Kind: "user", ID: "u1"})
		}, uri: "/", header: html, status: 302},
		{name: "logged out elsewhere", in: true, setup: func(w *world) { delete(w.logins, "login1") }, uri: "/", header: html, status: 302},
		{name: "a login of a user name that no header can carry", in: true, setup: func(w *world) {
			w.users["u1"].UserName = "alice\r\nX-Authentik-Groups: admins"
			w.out.Invalidate("public", core.Change{Kind: "user", ID: "u1"})
		}, uri: "/", header: html, status: 403},

		{name: "nobody, a page", uri: "/x?a=1", header: html, status: 302},
		{name: "nobody, curl", uri: "/x", header: h("Accept", "*/*"), status: 302},
		{name: "nobody, HEAD", method: "HEAD", uri: "/x", header: html, status: 302},
		{name: "nobody, a form", method: "POST", uri: "/x", header: h("Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded"), status: 302},                     // F-32
		{name: "nobody, a program that posts", method: "POST", uri: "/x", header: h("Accept", "*/*", "Content-Type", "application/json"), status: 401},                              // F-32
		{name: "nobody, PUT", method: "PUT", uri: "/x", header: html, status: 401},                                                                                                  // F-32
		{name: "nobody, DELETE", method: "DELETE", uri: "/x", status: 401},                                                                                                          // F-32
		{name: "nobody, asking for JSON", uri: "/x", header: h("Accept", "application/json, text/plain, */*"), status: 401},                                                         // F-31
		{name: "nobody, fetch", uri: "/x", header: h("Accept", "*/*", "Sec-Fetch-Mode", "cors"), status: 401},                                                                       // F-31
		{name: "nobody, an image", uri: "/x.png", header: h("Accept", "image/*", "Sec-Fetch-Mode", "no-cors"), status: 401},                                                         // F-31
		{name: "nobody, XMLHttpRequest", uri: "/x", header: h("Accept", "*/*", "X-Requested-With", "XMLHttpRequest"), status: 401},                                                  // F-31
		{name: "nobody, preflight", method: "OPTIONS", uri: "/x", header: h("Origin", "https://evil.test", "Access-Control-Request-Method", "POST"), status: 401},                   // F-31
		{name: "nobody, navigation that says so", uri: "/x", header: h("Accept", "text/html", "Sec-Fetch-Mode", "navigate"), status: 302},                                           // control of F-31
		{name: "nobody, WebSocket", uri: "/ws", header: h("Connection", "Upgrade", "Upgrade", "websocket"), status: 401},                                                            // F-22
		{name: "WebSocket of a page of ours", in: true, uri: "/ws", header: h("Connection", "Upgrade", "Upgrade", "websocket", "Origin", app), allow: true, user: "alice"},          // control of F-22
		{name: "WebSocket of a page of another site", in: true, uri: "/ws", header: h("Connection", "Upgrade", "Upgrade", "websocket", "Origin", "https://evil.test"), status: 403}, // F-22

		{name: "nobody, a path without login", setup: func(w *world) { w.guard = &outpost.Guard{SkipPath: skip(w.t, "/public/*")} }, uri: "/public/a?b=/x", header: html, allow: true},
		{name: "logged in, a path without login", in: true, setup: func(w *world) { w.guard = &outpost.Guard{SkipPath: skip(w.t, "/public/*")} }, uri: "/public/a", header: html, allow: true, user: "alice"},
		{name: "refused, a path without login", in: true, setup: func(w *world) {
			w.guard = &outpost.Guard{SkipPath: skip(w.t, "/public/*"), AllowGroups: []string{"nobody"}}
		}, uri: "/public/a", header: html, allow: true},
		{name: "nobody, another path", setup: func(w *world) { w.guard = &outpost.Guard{SkipPath: skip(w.t, "/public/*")} }, uri: "/publicity", header: html, status: 302},

		{name: "the stores are gone, a page", in: true, setup: func(w *world) { w.broken = errStore }, uri: "/", header: html, status: 503},                                  // F-12
		{name: "the stores are gone, nobody", setup: func(w *world) { w.broken = errStore }, uri: "/", header: html, status: 503},                                            // F-12
		{name: "a panic", in: true, setup: func(w *world) { w.panics = true }, uri: "/", header: html, status: 503},                                                          // F-12
		{name: "the guard names an application that is not there", in: true, setup: func(w *world) { w.guard = &outpost.Guard{Application: "wiki"} }, uri: "/", status: 503}, // F-12
		{name: "no path", method: "OPTIONS", uri: "*", status: 400},

		{name: "ping", uri: "/outpost.goauthentik.io/ping", status: 204},
		{name: "a page of the guard that does not exist", in: true, uri: "/outpost.goauthentik.io/auth/nothing", header: html, status: 404}, // F-29
		{name: "a callback without an answer", uri: "/outpost.goauthentik.io/callback", header: html, status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			if c.in {
				b.login(app + "/")
			}
			if c.setup != nil {
				c.setup(w)
			}
			if c.method == "" {
				c.method = "GET"
			}
			b.header = c.header.Clone()
			if b.header == nil {
				b.header = http.Header{}
			}
			var res *http.Response
			if c.uri == "*" {
				r, err := http.NewRequest(c.method, "http://x/", nil)
				if err != nil {
					t.Fatal(err)
				}
				res = w.send("https", "app.a.test", "*", r)
			} else {
				res = b.do(c.method, app+c.uri)
			}
			if c.allow {
				if w.got == nil {
					t.Fatalf("status %d: did not reach the application", res.StatusCode)
				}
				if got := w.got.Header.Get("X-Authentik-Username"); got != c.user {
					t.Errorf("user %q, want %q", got, c.user)
				}
				return
			}
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			w.isRefused(res, c.name)
		})
	}
}

func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		set  outpost.HeaderSet
		want map[string]string
	}{
		{"", map[string]string{
			"X-Authentik-Username": "alice", "X-Authentik-Groups": "admins|staff", "X-Authentik-Email": "alice@a.test",
			"X-Authentik-Name": "Alice Liddell", "X-Authentik-Meta-App": "app-a-test",
			// sha256 of "7-0000-tenant"
			"X-Authentik-Uid": "79fffa5e1b74d5dc1a35f3d1ad2d2ee0cb2c9bb6c03b3ac64ed0b29d0f08a5c7",
		}},
		{outpost.HeadersRemote, map[string]string{"Remote-User": "alice", "Remote-Groups": "admins,staff", "Remote-Email": "alice@a.test", "Remote-Name": "Alice Liddell"}},
		{outpost.HeadersNone, map[string]string{}},
	} {
		w := newWorld(t)
		w.guard.Headers = c.set
		b := w.browser()
		b.login(app + "/")
		b.get(app + "/")
		got := map[string]string{}
		for k := range w.got.Header {
			if strings.HasPrefix(k, "X-Authentik") || strings.HasPrefix(k, "Remote-") {
				got[k] = w.got.Header.Get(k)
			}
		}
		if uid := got["X-Authentik-Uid"]; uid != "" && len(uid) == 64 {
			got["X-Authentik-Uid"], c.want["X-Authentik-Uid"] = "", ""
		}
		if len(got) != len(c.want) {
			t.Errorf("%q: got %v, want %v", c.set, got, c.want)
		}
		for k, v := range c.want {
			if got[k] != v {
				t.Errorf("%q: %s is %q, want %q", c.set, k, got[k], v)
			}
		}
	}
}

// A live session costs no store call; a change of the directory is seen at once.
func TestNoStoreCall(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.login(app + "/")
	b.get(app + "/")
	before := w.calls
	for range 100 {
		if res := b.get(app + "/x"); res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
	}
	if w.calls != before {
		t.Errorf("%d store calls for 100 requests of a live session", w.calls-before)
	}
	// Control: what is counted is counted.
	w.out.Invalidate("public", core.Change{Kind: "group", ID: "g1"})
	if b.get(app + "/x"); w.calls == before {
		t.Error("a changed group was not read again")
	}
	w.groups["u1"] = []core.Group{{ID: "g1", Name: "admins"}, {ID: "g2", Name: "crew"}}
	w.out.Invalidate("public", core.Change{Kind: "group", ID: "g2"})
	if b.get(app + "/x"); w.got.Header.Get("X-Authentik-Groups") != "admins|crew" {
		t.Errorf("groups %q after one was renamed", w.got.Header.Get("X-Authentik-Groups"))
	}
	// Another user's change touches nothing.
	before = w.calls
	w.out.Invalidate("public", core.Change{Kind: "user", ID: "u2"}, core.Change{Kind: "session", ID: "s"})
	if b.get(app + "/x"); w.calls != before {
		t.Error("a change of another user was read")
	}
	w.groups["u1"] = nil
	w.out.Invalidate("public", core.Change{Kind: "membership", ID: "u1"})
	b.get(app + "/x")
	if g := w.got.Header.Get("X-Authentik-Groups"); g != "" {
		t.Errorf("groups %q after the membership ended", g)
	}
}

// Registered applications are found by host, port and longest path; what
// the guard asks for comes on top.
func TestApplicationByHostAndPath(t *testing.T) {
	w := newWorld(t)
	w.apps = []core.ProxyApplication{
		proxyApp("root", "https://app.a.test"), proxyApp("shop", "https://app.a.test/shop/"),
		proxyApp("port", "https://app.a.test:8443"), {
			Application: core.Application{ID: "id-domain", Slug: "domain", Name: "Domain"},
			Provider:    core.ProxyProvider{ClientID: "client-domain", Mode: core.ProxyAuthDomain, ExternalHost: "https://auth.b.test", CookieDomain: "b.test"},
		},
	}
	for target, slug := range map[string]string{
		"https://app.a.test/":          "root",
		"https://app.a.test/shop":      "shop",
		"https://app.a.test/shop/cart": "shop",
		"https://app.a.test/shopping":  "root",
		"https://app.a.test:8443/":     "port",
		"https://deep.x.b.test/":       "domain",
		"https://b.test/":              "domain",
		"https://notb.test/":           "notb-test",
		"https://other.a.test/":        "other-a-test",
	} {
		b := w.browser()
		b.login(target)
		b.get(target)
		if got := w.got.Header.Get("X-Authentik-Meta-App"); got != slug {
			t.Errorf("%s belongs to %q, want %q", target, got, slug)
		}
	}
	// Which application it is hangs from the path, so a path with two readings is none.
	b := w.browser()
	if res := b.get("https://app.a.test/x/..%2fshop/"); res.StatusCode != 400 {
		t.Errorf("a path with two readings: %d, want 400", res.StatusCode)
	}
	w.isRefused(b.get("https://app.a.test/shop/../admin"), "dot segments")
	if res := b.get("https://other.a.test/x/..%2fshop/"); res.StatusCode != 302 {
		t.Errorf("where no path decides, it needs a login as any other: %d", res.StatusCode)
	}
}

// A refusal names its decision, leaves one event, and says what to do.
func TestRefusalPage(t *testing.T) {
	w := newWorld(t)
	w.guard.AllowGroups = []string{"nobody"}
	b := w.browser()
	b.login(app + "/")
	res := b.get(app + "/")
	page := read(t, res)
	if len(w.events) != 1 || w.events[0].Action != core.EventDenied {
		t.Fatalf("events: %v", w.events)
	}
	id := w.events[0].Message
	for _, want := range []string{id, "alice", "administrator", "app.a.test"} {
		if want == "" || !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// Strict-Transport-Security is the application's own to say, on its own host.
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy: %s", csp)
	}
	b.get(app + "/")
	if len(w.events) != 1 {
		t.Errorf("%d events for one verdict", len(w.events))
	}
	b.header.Set("Accept", "application/json")
	if res := b.get(app + "/"); res.StatusCode != 403 || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a program got %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
}
