package outpost_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/postern-sso/postern/outpost"
)

// F-11: whatever a cookie holds that is not the key itself, nobody gets in by it, and nothing
// panics: a panic would be a 503 and not a login.
func FuzzCookie(f *testing.F) {
	w := newWorld(f)
	b := w.browser()
	b.login(app + "/")
	var name, key string
	for name, key = range b.jar {
	}
	for _, seed := range []string{"", "=", name, name + "=", name + "=x", name + "=" + key[1:], name + "=" + key + "x", "a=b; " + name + "=" + key, strings.ToUpper(name) + "=" + key, ";;;=;", "authentik_proxy_login_00000000_0=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		w.t = t
		res := w.do("GET", app+"/", http.Header{"Cookie": {cookie}})
		in := false
		for pair := range strings.SplitSeq(cookie, ";") {
			n, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
			in = in || strings.TrimSpace(n) == name && strings.TrimSpace(v) == key
		}
		switch {
		case !in && (w.got != nil || res.StatusCode != http.StatusFound):
			t.Errorf("%q: status %d", cookie, res.StatusCode)
		case in && w.got != nil && strings.Contains(strings.ToLower(w.got.Header.Get("Cookie")), "authentik_proxy"):
			t.Errorf("%q: our cookie went on: %q", cookie, w.got.Header.Get("Cookie"))
		}
	})
}

// F-08: a path that a rule lets through is one that no cleaning and no further decoding changes.
func FuzzSkipPath(f *testing.F) {
	for _, seed := range []string{"/public/a", "/public/../x", "/public/%2e%2e/x", "/public/%252e/x", "/public/a%20b?x", "/public//", "/public\\..", "/public/%c0%ae"} {
		f.Add(seed)
	}
	rule, err := outpost.ParseSkip("/public/*")
	if err != nil {
		f.Fatal(err)
	}
	w := newWorld(f)
	w.guard = &outpost.Guard{SkipPath: []outpost.Skip{rule}}
	f.Fuzz(func(t *testing.T, uri string) {
		w.t = t
		if !strings.HasPrefix(uri, "/") {
			uri = "/" + uri
		}
		w.do("GET", app+uri, nil)
		if w.got == nil {
			return
		}
		p, _, _ := strings.Cut(uri, "?")
		for range 4 {
			if !strings.HasPrefix(path.Clean(strings.ReplaceAll(p, `\`, "/"))+"/", "/public/") || strings.Contains(p, "..;") || strings.Contains(p, "\x00") {
				t.Fatalf("%q went through and can be read as %q", uri, p)
			}
			next, err := url.PathUnescape(p)
			if err != nil {
				break
			}
			p = next
		}
	})
}

// The way back is a URL of the same host, whatever was asked for; and what was asked for, where
// that is a URL as it stands.
func FuzzDeepLink(f *testing.F) {
	for _, seed := range []string{"/", "//evil.test", "/\\evil.test", "/?rd=x", "/a?X-authentik-auth-callback=true&code=1&state=2", "/a#b", "/%", "/?a=%0d%0aSet-Cookie:x", "/@evil.test", "/.evil.test", "/outpost.goauthentik.io/start?rd=//evil.test"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		w := newWorld(t)
		b := w.browser()
		if !strings.HasPrefix(uri, "/") {
			uri = "/" + uri
		}
		res := b.get(app + uri)
		if res.StatusCode != http.StatusFound || !strings.HasPrefix(res.Header.Get("Location"), "https://auth.a.test/login?") {
			return
		}
		res = b.get(w.approve(res.Header.Get("Location"), "login1", "u1"))
		to := res.Header.Get("Location")
		u, err := url.Parse(to)
		if strings.ContainsAny(to, "\r\n\t \\") || !strings.HasPrefix(to, app+"/") || err == nil && u.Host != "app.a.test" {
			t.Errorf("asked for %q, sent to %q", uri, to)
		}
	})
}
