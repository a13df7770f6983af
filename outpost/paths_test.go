package outpost_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

// F-06, F-08: a skip rule holds for paths that can be read in one way, and for nothing else of a
// request.
func TestSkipPathTricks(t *testing.T) {
	tricks := []string{
		"/admin?x=/public/", "/admin?/public/a", "/admin#/public/", "/public?", "/public", // F-06
		"/public/../admin", "/public/%2e%2e/admin", "/public/..;/admin", "/public/..%2fadmin", "/public/%252e%252e/admin",
		"//admin", "/./admin", "/PUBLIC/x", "/PUBLIC/..", "/public%00/../admin", "/public/%00", `/public\..\admin`, `/public/\..\admin`,
		"/public/%c0%ae%c0%ae/admin", "/public/%c0%af", "/public//x", "//public/x", "/public/./x", "/x/../public/x", "/public/x/..", "/public/.",
		"/public/%2e", "/public/a%2fb", "/public/a%5cb", "/public/a;b=c", "/public/%3b/x", "/public/a%3fb", "/public/a%23b", "/public/%",
		"/public/%zz", "/public/%2", "/public/\x01", "/public/%0a", "/public/%7f", "/public/%e2%80%a8", "/public/%25", "/%70ublic/../admin",
	}
	passes := []string{"/public/", "/public/a", "/public/a/b.css?x=/../", "/public/%61", "/public/a%20b", "/public/ü", "/public/%C3%BC", "/public/..a", "/public/a..", "/%70ublic/a"}
	for _, rules := range [][]string{{"/public/*"}, {"^/public/"}} {
		w := newWorld(t)
		w.guard = &outpost.Guard{SkipPath: skip(t, rules...)}
		for _, uri := range tricks {
			w.isRefused(w.do("GET", app+uri, nil), fmt.Sprintf("%s %q", rules[0], uri))
		}
		for _, uri := range passes {
			if res := w.do("GET", app+uri, nil); w.got == nil {
				t.Errorf("%s %q needs a login: %d", rules[0], uri, res.StatusCode)
			}
		}
	}
	// Control: the plain ways to compare let many of them through.
	through := 0
	for _, uri := range tricks {
		p, err := url.PathUnescape(strings.SplitN(uri, "?", 2)[0])
		if regexp.MustCompile("/public/").MatchString(uri) || err == nil && strings.HasPrefix(p, "/public/") {
			through++
		}
	}
	if through < len(tricks)/2 {
		t.Errorf("control: only %d of %d tricks work on a naive guard", through, len(tricks))
	}
}

// The rules of a proxy provider are authentik's: not anchored, and of the whole URL where it guards
// a domain. What cannot be read is passed over, which asks for more logins.
func TestProviderSkipPath(t *testing.T) {
	w := newWorld(t)
	pa := proxyApp("a", app)
	pa.Provider.SkipPath = "^/open\n\n[\n  /assets/  \n"
	dom := proxyApp("dom", "https://auth.b.test")
	dom.Provider.Mode, dom.Provider.CookieDomain = core.ProxyAuthDomain, "b.test"
	dom.Provider.SkipPath = `^https://one\.b\.test/open`
	w.apps = []core.ProxyApplication{pa, dom}
	for target, open := range map[string]bool{
		app + "/openly": true, app + "/x/assets/y": true, app + "/x": false, app + "/x?/assets/": false,
		"https://one.b.test/open": true, "https://two.b.test/open": false,
	} {
		if w.do("GET", target, nil); (w.got != nil) != open {
			t.Errorf("%s: open %t", target, !open)
		}
	}
}

// F-29: what begins with the guard's own path, in any reading, is the guard's: it is
// never passed on, login or not.
func TestOwnPathsAreNotPassedOn(t *testing.T) {
	w := newWorld(t)
	w.guard = &outpost.Guard{SkipPath: skip(t, "/*")} // even where all is open
	b := w.browser()
	b.login(app + "/outpost.goauthentik.io/start?rd=/")
	for _, uri := range []string{
		"/outpost.goauthentik.io/x", "/outpost.goauthentik.io/", "/outpost.goauthentik.io", "/outpost.goauthentik.io/../admin", "/outpost.goauthentik.io/auth/caddy",
		"/outpost.goauthentik.io/ping/../../admin", "/outpost%2egoauthentik.io/x", "/x/../outpost.goauthentik.io/x", "//outpost.goauthentik.io/x",
		"/OUTPOST.goauthentik.io/ping", `\outpost.goauthentik.io\x`, "/outpost.goauthentik.io;x/y", "/%252foutpost.goauthentik.io/x", "/outpost.goauthentik.io/ping?x=/../admin",
	} {
		if strings.HasPrefix(uri, `\`) {
			uri = "/" + uri
		}
		res := b.get(app + uri)
		if w.got != nil {
			t.Errorf("%s reached the application", uri)
		}
		if res.StatusCode != 404 && res.StatusCode != 204 {
			t.Errorf("%s: %d", uri, res.StatusCode)
		}
	}
	// Control: a path that only looks like it is the application's.
	for _, uri := range []string{"/outpost.goauthentik.iox/x", "/docs/outpost.goauthentik.io/x"} {
		if b.get(app + uri); w.got == nil {
			t.Errorf("control: %s did not reach the application", uri)
		}
	}
	if path.Clean("/outpost.goauthentik.io/../admin") != "/admin" {
		t.Error("control: an application would not read it as /admin")
	}
}

// Paths of the portal are the portal's on a site that both share, in their one plain form only.
func TestPortalOnTheSameSite(t *testing.T) {
	w := newWorld(t)
	portal := 0
	w.guard = &outpost.Guard{
		Own:    func(p, _ string) bool { return strings.HasPrefix(p, "/if/") },
		Portal: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { portal++ }),
	}
	if w.do("GET", app+"/if/flow/", nil); portal != 1 || w.got != nil {
		t.Errorf("the portal was asked %d times", portal)
	}
	for _, uri := range []string{"/if/../x", "/if/%2e%2e/x", "//if/x", "/if/..%2fx", "/IF/x"} {
		w.isRefused(w.do("GET", app+uri, http.Header{"Accept": {"text/html"}}), uri)
	}
	if portal != 1 {
		t.Error("the portal answers a path with two readings")
	}
}
