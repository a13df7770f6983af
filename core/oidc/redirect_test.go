package oidc_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

func strict(uris ...string) (out []core.RedirectURI) {
	for _, u := range uris {
		out = append(out, core.RedirectURI{Mode: core.MatchStrict, URL: u})
	}
	return out
}

func pattern(p string) []core.RedirectURI {
	return []core.RedirectURI{{Mode: core.MatchRegex, URL: p}}
}

func TestRedirectMatch(t *testing.T) {
	const cb = "https://foo.example/cb"
	for _, row := range []struct {
		name       string
		registered []core.RedirectURI
		uri        string
		want       bool
	}{
		{"equal", strict(cb), cb, true},
		{"second of two", strict("https://a.example/", cb), cb, true},
		{"native application", strict("com.example.app:/cb"), "com.example.app:/cb", true},
		{"regex", pattern(`https://foo\.example/cb/\d+`), cb + "/12", true},
		{"regex in two halves", pattern(`https://foo\.example/cb|https://bar\.example/cb`), "https://bar.example/cb", true},
		{"nothing registered", nil, cb, false},
		{"empty", strict(""), "", false},
		{"relative", strict("/cb"), "/cb", false},

		// O-01: a strict entry is never an expression.
		{"O-01 dot of a strict entry", strict(cb), "https://fooXexample/cb", false},
		{"O-01 expression as strict", strict(`https://foo\.example/.*`), "https://foo.example/x", false},
		{"O-01 dot of a regex", pattern(`https://foo\.example/cb`), "https://fooXexample/cb", false},
		{"O-01 unanchored start", pattern(`https://foo\.example/cb`), "https://evil.test/?https://foo.example/cb", false},
		{"O-01 unanchored end", pattern(`https://foo\.example/cb`), "https://foo.example/cb.evil.test", false},
		{"O-01 first half only", pattern(`https://foo\.example/cb|https://bar\.example/cb`), "https://foo.example/cb.evil.test", false},
		{"O-01 brackets that close ours", pattern(`https://foo\.example/cb)|(?:https://evil\.test/`), "https://evil.test/", false},
		{"O-01 multi-line flag", pattern(`(?m)https://foo\.example/cb`), "https://evil.test/\nhttps://foo.example/cb", false},
		{"invalid regex", pattern(`https://foo(`), "https://foo(", false},
		{"Python-only regex", pattern(`(?!x)https://foo\.example/cb`), cb, false},
		{"unknown mode", []core.RedirectURI{{Mode: "prefix", URL: "https://foo.example/"}}, cb, false},

		// O-03: no prefix, no suffix.
		{"O-03 longer host", strict("https://portal.example"), "https://portal.example.evil.test/", false},
		{"O-03 longer path", strict(cb), cb + "/x", false},
		{"O-03 shorter", strict(cb), "https://foo.example/c", false},

		// O-04: nothing is normalised.
		{"O-04 dot segments", strict(cb), cb + "/../../x", false},
		{"O-04 encoded dot segments", strict(cb), cb + "%2f..%2f", false},
		{"O-04 encoded letter", strict(cb), "https://foo.example/%63b", false},
		{"O-04 upper-case host", strict(cb), "https://FOO.example/cb", false},
		{"O-04 upper-case scheme", strict(cb), "HTTPS://foo.example/cb", false},
		{"O-04 default port", strict(cb), "https://foo.example:443/cb", false},
		{"O-04 trailing dot", strict(cb), "https://foo.example./cb", false},
		{"O-04 trailing slash", strict(cb), cb + "/", false},
		{"O-04 query", strict(cb), cb + "?x=1", false},
		{"O-04 loopback port", strict("http://127.0.0.1:8000/cb"), "http://127.0.0.1:8001/cb", false},
		{"O-04 loopback name", strict("http://127.0.0.1/cb"), "http://localhost/cb", false},
		{"O-04 IPv6 in another form", strict("http://[::1]/cb"), "http://[0:0:0:0:0:0:0:1]/cb", false},
		{"O-04 homograph", strict(cb), "https://fоo.example/cb", false},
		{"O-04 user name", pattern(`https://.*`), "https://foo.example@evil.test/", false},
		{"O-04 backslash", pattern(`https://foo\.example.*`), `https://foo.example\@evil.test/`, false},
		{"O-04 fragment", pattern(`https://foo\.example/cb.*`), cb + "#x", false},
		{"O-04 space", pattern(`https://foo\.example/cb.*`), cb + " x", false},
		{"O-04 no host", pattern(`https:.*`), "https:///cb", false},
		{"O-04 only a port", pattern(`https:.*`), "https://:80/", false},
		{"CR LF", pattern(`(?s)https://foo\.example/cb.*`), cb + "\r\nSet-Cookie: a=b", false},
		{"NUL", pattern(`(?s)https://foo\.example/cb.*`), cb + "\x00", false},

		// O-05: no script, even where it is registered.
		{"O-05 javascript", strict("javascript:alert(1)"), "javascript:alert(1)", false},
		{"O-05 JaVaScRiPt", strict("JaVaScRiPt:alert(1)"), "JaVaScRiPt:alert(1)", false},
		{"O-05 data", strict("data:text/html,x"), "data:text/html,x", false},
		{"O-05 vbscript", strict("vbscript:x"), "vbscript:x", false},
		{"O-05 leading tab", strict("\tjavascript:alert(1)"), "\tjavascript:alert(1)", false},
		{"O-05 newline inside", strict("java\nscript:alert(1)"), "java\nscript:alert(1)", false},
		{"O-05 by regex", pattern(`.*`), "javascript:alert(1)", false},
	} {
		if got := oidc.MatchRedirect(row.registered, row.uri); got != row.want {
			t.Errorf("%s: %q against %v: %t", row.name, row.uri, row.registered, got)
		}
	}
}

// The rows above can fail: what each guards against gets past the plain way of
// doing it.
func TestRedirectMatchControls(t *testing.T) {
	for name, accepts := range map[string]bool{
		"O-01 unanchored":      regexp.MustCompile(`https://foo\.example/cb`).MatchString("https://evil.test/?https://foo.example/cb"),
		"O-01 anchors outside": regexp.MustCompile(`^https://foo\.example/cb|https://bar\.example/cb$`).MatchString("https://foo.example/cb.evil.test"),
		"O-01 brackets":        regexp.MustCompile(`\A(?:` + `https://foo\.example/cb)|(?:https://evil\.test/` + `)\z`).MatchString("https://evil.test/"),
		"O-03 prefix":          strings.HasPrefix("https://portal.example.evil.test/", "https://portal.example"),
		"O-05 by regex":        regexp.MustCompile(`\A(?:.*)\z`).MatchString("javascript:alert(1)"),
	} {
		if !accepts {
			t.Errorf("%s: the naive comparison does not accept the attack: the row proves nothing", name)
		}
	}
}

// O-01, O-03, O-04, O-05 at the endpoint: a page and no redirect, and an event.
func TestBadRedirectURIIsAPage(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	for _, uri := range []string{
		"https://rp.example/callback/", "https://rp.example.evil.test/callback", "javascript:alert(1)", "https://rp.example/callback#x",
		"https://rp.example/callback?<svg onload=alert(1)>", "",
	} {
		a := b.open("/application/o/authorize/?" + query("redirect_uri", uri, "response_mode", "form_post").Encode())
		if a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%q: %d %s", uri, a.StatusCode, a.Header.Get("Location"))
		}
		if strings.Contains(a.body, "<svg") {
			t.Errorf("%q: not escaped: %s", uri, a.body)
		}
	}
	if e := w.events(core.EventConfigurationError); len(e) != 6 {
		t.Errorf("%d events", len(e))
	}
	// Strangers cannot fill the audit log.
	for range 70 {
		b.open("/application/o/authorize/?" + query("redirect_uri", "https://evil.test/").Encode())
	}
	if e := w.events(core.EventConfigurationError); len(e) != 60 {
		t.Errorf("%d events in a minute", len(e))
	}
	// A registered scheme that runs script is refused too.
	w.updateClient(func(c *core.Client) { c.RedirectURIs = strict("javascript:alert(1)") })
	if a := b.authorize("redirect_uri", "javascript:alert(1)", "response_mode", "form_post"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("registered javascript: %d %s", a.StatusCode, a.body)
	}
	// None configured: a page that says so; the first one seen is not taken.
	w.updateClient(func(c *core.Client) { c.RedirectURIs = nil })
	for range 2 {
		a := b.authorize()
		if a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, "No redirect URI is configured") {
			t.Errorf("none configured: %d %s", a.StatusCode, a.body)
		}
	}
	// A following rightful request works.
	w.updateClient(func(c *core.Client) { c.RedirectURIs = strict(redirectURI) })
	if b.code() == "" {
		t.Error("no code")
	}
}

// A redirect URI that is taken away while the person logs in is not used.
func TestRedirectURITakenAway(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	r, err := http.NewRequest(http.MethodGet, w.server.URL+"/application/o/authorize/?"+query().Encode(), nil)
	check(t, err)
	next, on := b.next(b.do(r))
	if !on {
		t.Fatal("no login page")
	}
	w.updateClient(func(c *core.Client) { c.RedirectURIs = strict("https://other.example/") })
	if a := b.open(next); a.StatusCode != http.StatusBadRequest {
		t.Errorf("%d %s", a.StatusCode, a.Header.Get("Location"))
	}
}

func FuzzRedirectMatch(f *testing.F) {
	for _, seed := range []string{redirectURI, "https://rp.example/callback#", "https://rp.example\\@evil", "javascript:alert(1)", "//x", "https://a@b/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if oidc.MatchRedirect(strict(redirectURI), uri) != (uri == redirectURI) {
			t.Errorf("strict: %q", uri)
		}
		whole := regexp.MustCompile(`^https://rp\.example/[a-z]+$`)
		if oidc.MatchRedirect(pattern(`https://rp\.example/[a-z]+`), uri) && !whole.MatchString(uri) {
			t.Errorf("regex: %q", uri)
		}
		if !oidc.MatchRedirect(pattern(`(?s).*`), uri) {
			return
		}
		// What passes the laxest pattern is still a URL without traps.
		u, err := url.Parse(uri)
		if err != nil || u.User != nil || u.Fragment != "" || strings.ContainsAny(uri, "\r\n\t \\#") {
			t.Errorf("unsafe: %q", uri)
		}
		switch strings.ToLower(u.Scheme) {
		case "", "javascript", "data", "vbscript":
			t.Errorf("scheme of %q", uri)
		}
	})
}

// A pattern never matches more than itself, whatever it holds.
func FuzzRedirectPattern(f *testing.F) {
	for _, seed := range []string{`https://a\.example/.*`, `a)|(b`, `(?m)^a$`, `(?i)A`, `\Qa)|(\E`, `\Q`, `[`, `a|b`, `(?s)`, `(?-s:`} {
		f.Add(seed, "https://a.example/")
	}
	f.Fuzz(func(t *testing.T, p, uri string) {
		if !oidc.MatchWhole(p, uri) {
			return
		}
		alone, err := regexp.Compile(p)
		if err != nil {
			t.Fatalf("%q is no expression, and matched %q", p, uri)
		}
		alone.Longest()
		if !alone.MatchString(uri) {
			t.Errorf("%q alone does not match %q", p, uri)
		}
	})
}
