package outpost_test

import (
	"encoding/base64"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

// F-01, F-02: no spelling of an identity header that the client sent comes through, whether
// there is a value of ours in its place or not.
func TestClientIdentityHeaders(t *testing.T) {
	spellings := []string{
		"X-Authentik-Username", "x-authentik-username", "X_authentik_username", "X-Authentik_Username", "x-AUTHENTIK-username",
		"X.Authentik.Username", "X-Authentik-Username\u00a0", "X-Authentik-Username ", " X-Authentik-Username", "X--Authentik--Username",
		"_X-Authentik-Username", "X-Authenti\u212a-Username", // the Kelvin sign, whose lower case is k
		"X-Authentik-Groups", "X-Authentik-Email", "X-Authentik-Uid", "X-Authentik-Jwt", "X-Authentik-Entitlements",
		"X-Authentik-Meta-Jwks", "X-Authentik-Meta-App", "X-Authentik-Something-New-Of-A-Very-Long-Name-Indeed", "X-Authentik",
		"Remote-User", "REMOTE_USER", "remote.user", "Remote-Groups", "Remote_Email", "Remote-Name",
	}
	others := []string{"X-Other", "X-Auth", "X-Authenticate", "Remote-Address", "Remote-Username", "Referer", "X", "R", "Authorization", "X-Real-Ip"}
	for _, loggedIn := range []bool{false, true} {
		w := newWorld(t)
		w.users["u1"].Email = "" // nothing of ours takes the place of X-authentik-email
		w.guard = &outpost.Guard{SkipPath: skip(t, "/public/*")}
		b := w.browser()
		if loggedIn {
			b.login(app + "/")
		}
		for _, name := range append(append([]string{}, spellings...), others...) {
			b.header[name] = []string{"evil", "evil again"}
		}
		b.get(app + "/public/x")
		if w.got == nil {
			t.Fatal("it did not reach the application")
		}
		for _, name := range spellings {
			for _, v := range w.got.Header[name] {
				if strings.HasPrefix(v, "evil") {
					t.Errorf("logged in %t: %q came through", loggedIn, name)
				}
			}
		}
		for _, name := range others {
			if len(w.got.Header[name]) != 2 {
				t.Errorf("%q was taken away", name)
			}
		}
	}
	// Control: to delete the names that we set leaves most of them.
	h := http.Header{}
	for _, name := range spellings {
		h[name] = []string{"evil"}
	}
	for _, name := range []string{"X-Authentik-Username", "X-Authentik-Groups", "X-Authentik-Email", "X-Authentik-Uid", "Remote-User"} {
		h.Del(name)
	}
	if len(h) < len(spellings)/2 {
		t.Error("control: the plain way takes as many away")
	}
}

// F-02: trailers are headers too. One that was not announced joins those that were.
func TestClientIdentityTrailers(t *testing.T) {
	for name, guarded := range map[string]bool{"guarded": true, "control": false} {
		w := newWorld(t)
		w.guard = &outpost.Guard{SkipPath: skip(t, "/*")}
		got := http.Header{}
		h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, announced := r.Trailer["X-Authentik-Username"]; announced == guarded {
				t.Errorf("%s: announced %t", name, announced) // a proxy takes the names before the body
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			for k, v := range r.Trailer {
				got[k] = v
			}
		})
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !guarded {
				h(rw, r)
				return
			}
			info := &core.RequestInfo{Tenant: w.tenant, Scheme: "http", Host: "app.a.test", URI: r.RequestURI}
			w.out.Serve(rw, r, info, w.guard, func(rw http.ResponseWriter, r *http.Request, _ *outpost.Identity) { h(rw, r) })
		}))
		r, err := http.NewRequest("POST", srv.URL+"/x", io.NopCloser(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{"X-Authentik-Username": {"evil"}, "X-Checksum": {"1"}}
		res, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		srv.Close()
		if got.Get("X-Checksum") != "1" {
			t.Errorf("%s: another trailer was taken away", name)
		}
		if (got.Get("X-Authentik-Username") == "evil") == guarded {
			t.Errorf("%s: trailers %v", name, got)
		}
	}
}

// F-04, F-05, F-13, F-15: what a client says in a header of where it came from and what it
// asks for is nobody's concern here: the edge has stated it.
func TestForwardedHeadersAreNotRead(t *testing.T) {
	w := newWorld(t)
	w.guard = &outpost.Guard{SkipPath: skip(t, "^/public/")}
	for _, name := range []string{"X-Original-URI", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix"} {
		for _, value := range []string{"/public/x", "/outpost.goauthentik.io/ping", app + "/public/x"} {
			w.isRefused(w.do("GET", app+"/admin", http.Header{name: {value}}), name+": "+value)
		}
	}
	res := w.do("GET", app+"/admin", http.Header{
		"X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Proto": {"http"}, "Forwarded": {"host=evil.test;proto=http"}, "Host": {"evil.test"},
	})
	if strings.Contains(res.Header.Get("Location"), "evil") || !strings.Contains(res.Header.Get("Location"), url.QueryEscape("https://app.a.test/admin")) {
		t.Errorf("Location %s", res.Header.Get("Location"))
	}
	// Control: the same guard lets the path itself through.
	if w.do("GET", app+"/public/x", nil); w.got == nil {
		t.Error("control: the rule does not work at all")
	}
}

// F-11: a cookie that is not one of ours is no cookie: a login, and never a page.
func TestBrokenCookies(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.login(app + "/")
	var name, value string
	for name, value = range b.jar {
	}
	flipped := []byte(value)
	flipped[3] ^= 1
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("%s=%s%d", name, core.RandomToken(24), i))
	}
	for what, cookie := range map[string]string{
		"empty": name + "=", "no value": name, "equals only": "=", "equals signs": strings.Repeat("=", 100), "one byte": name + "=x",
		"truncated": name + "=" + value[:len(value)-1], "longer": name + "=" + value + "A", "changed": name + "=" + string(flipped),
		"not base64": name + "=!!!!!!!!!!!!!!!!!!!!!!!!!!!!", "100 KB": name + "=" + strings.Repeat("A", 100<<10), "200 of one name": strings.Join(many, "; "),
		"upper case": strings.ToUpper(name) + "=" + value, "quoted": name + `="` + value + `"`, "NUL": name + "=\x00", "another's name": "authentik_proxy_00000000=" + value,
		"JSON": name + `={"user":"akadmin","groups":["admins"]}`, "a path": name + "=../../../../etc/passwd",
	} {
		res := w.do("GET", app+"/", http.Header{"Cookie": {cookie}, "Accept": {"text/html"}})
		w.isRefused(res, what)
		if res.StatusCode != 302 {
			t.Errorf("%s: %d", what, res.StatusCode)
		}
	}
	// Control: the cookie itself, between others.
	if w.do("GET", app+"/", http.Header{"Cookie": {"a=b; " + name + "=" + value + "; c"}}); w.got == nil {
		t.Error("control: the cookie itself does not open")
	}
}

// F-19: over TLS a page of a neighbour host, another tenant's say, neither logs anybody in as somebody else
// nor keeps them out, by cookies for the domain above both: those of ours are of names that browsers take from their
// own host alone.
func TestNeighboursCookies(t *testing.T) {
	for _, scheme := range []string{"https", "http"} {
		w := newWorld(t)
		w.apps = nil
		b := w.browser()
		b.login(scheme + "://app.a.test/")
		var name, value string
		for name, value = range b.jar {
		}
		tossed := strings.TrimPrefix(name, "__Host-")
		var junk []string
		for range maxJunk {
			junk = append(junk, tossed+"="+core.RandomToken(24))
		}
		asked := func(cookies ...string) int {
			return w.do("GET", scheme+"://app.a.test/", http.Header{"Cookie": {strings.Join(cookies, "; ")}, "Accept": {"text/html"}}).StatusCode
		}
		as := asked(tossed + "=" + value)
		out := asked(append(junk, name+"="+value)...)
		again := w.do("GET", scheme+"://app.a.test/", http.Header{"Cookie": {strings.Join(junk, "; ")}, "Accept": {"text/html"}})
		if scheme == "http" { // control: where there is no such name, both can be done
			if as != 200 || out != 302 {
				t.Errorf("control: %d, %d", as, out)
			}
			continue
		}
		if as != 302 {
			t.Errorf("a cookie that another host may have set: %d", as)
		}
		for _, space := range []string{"\u2000", "\u00a0", "\u0085", "\u3000", "\v", "\f"} { // to a browser, of no protected name
			if got := asked(space + name + "=" + value); got != 302 {
				t.Errorf("a cookie behind %+q: %d", space, got)
			}
			w.do("GET", scheme+"://app.a.test/", http.Header{"Cookie": {name + "=" + value + "; " + space + name + "=x"}})
			if w.got == nil || strings.Contains(w.got.Header.Get("Cookie"), "authentik") {
				t.Errorf("the application is sent %v", w.got)
			}
		}
		for _, space := range []string{" ", "\t", " \t "} { // control
			if got := asked("a=b;" + space + name + space + "=" + space + value + space); got != 200 {
				t.Errorf("behind %+q: %d", space, got)
			}
		}
		if out != 200 {
			t.Errorf("behind %d cookies of another host: %d", maxJunk, out)
		}
		for _, c := range again.Cookies() {
			if c.MaxAge < 0 {
				t.Errorf("another host's cookies take away %s", c.Name)
			}
		}
	}
}

const maxJunk = 50

// F-11: of many cookies near the one that opens none does: cut, lengthened, changed in a byte, doubled,
// renamed, among others, encoded anew. The same ones each time; POSTERN_TEST_COOKIES says how many.
func TestManyBrokenCookies(t *testing.T) {
	n := 20_000
	if text := os.Getenv("POSTERN_TEST_COOKIES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	b := w.browser()
	b.login(app + "/")
	var name, key string
	for name, key = range b.jar {
	}
	random := rand.New(rand.NewPCG(20, 26)) // the same ones each time
	bytes := func(n int) string {
		out := make([]byte, n)
		for i := range out {
			out[i] = byte(random.IntN(256))
		}
		return string(out)
	}
	spoil := []func(string) string{
		func(s string) string { return s[:random.IntN(len(s))] },
		func(s string) string { return s[1+random.IntN(len(s)-1):] },
		func(s string) string { return s + bytes(1+random.IntN(3)) },
		func(s string) string { i := random.IntN(len(s)); return s[:i] + bytes(1) + s[i:] },
		func(s string) string { i := random.IntN(len(s)); return s[:i] + bytes(1) + s[i+1:] },
		func(s string) string {
			i := random.IntN(len(s))
			return s[:i] + string(s[i]^(1<<random.IntN(8))) + s[i+1:]
		},
		func(s string) string { return s + s },
		func(s string) string { return strings.ToUpper(s) },
		func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		func(s string) string { return url.QueryEscape("\x00" + s) },
		func(s string) string { return `"` + s + `"` },
		func(string) string { return bytes(random.IntN(200)) },
		func(string) string { return core.RandomToken(32) },
	}
	tried := 0
	for tried < n {
		value := key
		for range 1 + random.IntN(3) {
			if value != "" && len(value) > 1 {
				value = spoil[random.IntN(len(spoil))](value)
			}
		}
		cookie := name + "=" + value
		switch random.IntN(4) {
		case 0:
			cookie = "a=b; " + cookie + "; c"
		case 1:
			cookie = name + "=" + bytes(20) + ";" + cookie
		}
		in := false // as FuzzCookie
		for pair := range strings.SplitSeq(cookie, ";") {
			k, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
			in = in || strings.TrimSpace(k) == name && strings.TrimSpace(v) == key
		}
		if in {
			continue
		}
		tried++
		if res := w.do("GET", app+"/", http.Header{"Cookie": {cookie}}); w.got != nil || res.StatusCode != http.StatusFound {
			t.Fatalf("%q: %d", cookie, res.StatusCode)
		}
	}
	// Control: the key itself opens.
	if w.do("GET", app+"/", http.Header{"Cookie": {name + "=" + key}}); w.got == nil {
		t.Error("control: the cookie itself does not open")
	}
}

// no malformed request to any of the guard's own pages, or to a page behind it, is an error of the
// server.
func TestMalformedRequests(t *testing.T) {
	src, err := parser.ParseFile(token.NewFileSet(), "endpoints.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/", "/x/%00", "/%ff", "/outpost.goauthentik.io", "/outpost.goauthentik.io/%00", "/outpost.goauthentik.io/" + strings.Repeat("a", 4000)}
	ast.Inspect(src, func(n ast.Node) bool { // those that endpoint knows: a new one too
		if c, ok := n.(*ast.CaseClause); ok {
			for _, e := range c.List {
				if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					word, _ := strconv.Unquote(lit.Value)
					paths = append(paths, "/outpost.goauthentik.io/"+word)
				}
			}
		}
		return true
	})
	if !slices.Contains(paths, "/outpost.goauthentik.io/sign_out") {
		t.Fatalf("control: the pages are %v", paths)
	}
	bad := []string{
		"", "%", "%zz", "&&===", ";", "rd=%00", "rd=//%ff", "rd=http://%5B", "rd=" + strings.Repeat("a", 9000), "X-authentik-auth-callback=true&code=%zz&state=x", "X-authentik-auth-callback=true&state=%00&error=%ff",
		"X-authentik-auth-callback=true&code=" + strings.Repeat("A", 9000) + "&state=a", "X-authentik-auth-callback", "X-authentik-logout=true&X-authentik-logout", "[]=1", "\xff\xfe", "a#b",
	}
	w := newWorld(t)
	b := w.browser()
	b.login(app + "/")
	for _, path := range paths {
		for _, query := range bad {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE", "X"} {
				for _, cookies := range []string{"", b.cookies(), "authentik_proxy_login_x=" + query} {
					h := http.Header{"Cookie": {cookies}, "Authorization": {"Basic " + query}, "Referer": {"http://%"}, "Accept": {query}}
					if res := w.do(method, app+path+"?"+query, h); res.StatusCode >= 500 {
						t.Errorf("%s %.80q?%.60q: %d", method, path, query, res.StatusCode)
					}
				}
			}
		}
	}
	// Control: an error of the server is seen.
	w.broken = errStore
	w.out.Invalidate("public", core.Change{Kind: "provider"})
	if res := w.do("GET", app+"/", nil); res.StatusCode < 500 {
		t.Errorf("control: a store that is away: %d", res.StatusCode)
	}
}

// F-24: a cookie that opens nothing any more is taken away.
func TestStaleCookieIsCleared(t *testing.T) {
	for _, accept := range []string{"text/html", "application/json"} {
		w := newWorld(t)
		b := w.browser()
		b.login(app + "/")
		if len(b.jar) != 1 {
			t.Fatalf("control: %d cookies", len(b.jar))
		}
		delete(w.logins, "login1")
		b.header.Set("Accept", accept)
		b.get(app + "/")
		for name := range b.jar {
			if !strings.Contains(name, "login") {
				t.Errorf("%s: cookie %s stays", accept, name)
			}
		}
	}
}

// F-26: where no provider is registered, credentials in the Authorization header open no page: they
// are the application's own, and reach it from somebody who is logged in.
func TestAuthorizationIsNoLogin(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.login(app + "/")
	var key string
	for _, key = range b.jar {
	}
	for _, credentials := range []string{
		"Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==", "basic  YWxpY2U6Y29ycmVjdCBob3JzZQ==", "Basic QUxJQ0UgOmNvcnJlY3QgaG9yc2U=", "Basic !!!",
		"Bearer " + key, "Bearer login1", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.", "Negotiate x", "",
	} {
		for _, accept := range []string{"text/html", "application/json"} {
			res := w.do("GET", app+"/", http.Header{"Authorization": {credentials}, "Accept": {accept}})
			w.isRefused(res, credentials)
			if want := map[string]int{"text/html": 302, "application/json": 401}[accept]; res.StatusCode != want {
				t.Errorf("%s: %d, want %d", credentials, res.StatusCode, want)
			}
		}
		// Control: with the cookie the same request is let in, with its header.
		b.header = http.Header{"Authorization": {credentials}}
		if b.get(app + "/"); w.got == nil || w.got.Header.Get("Authorization") != credentials {
			t.Errorf("control: %s: %v", credentials, w.got)
		}
	}
}

// F-30: no cache keeps what a guard answers itself, be it a way to the login, a refusal, or the way back:
// the next one to ask could be somebody else.
func TestNoCacheKeepsARefusal(t *testing.T) {
	w := newWorld(t)
	answers := map[string]func(b *browser) *http.Response{
		"to the login": func(b *browser) *http.Response { return b.get(app + "/style.css") },
		"401": func(b *browser) *http.Response {
			b.header.Set("Accept", "application/json")
			return b.get(app + "/")
		},
		"start":    func(b *browser) *http.Response { return b.get(app + "/outpost.goauthentik.io/start?rd=/") },
		"callback": func(b *browser) *http.Response { return b.get(app + "/outpost.goauthentik.io/callback?state=x&code=y") },
		"back from the login": func(b *browser) *http.Response {
			return b.get(w.approve(b.get(app+"/x").Header.Get("Location"), "login1", "u1"))
		},
		"sign out": func(b *browser) *http.Response {
			b.login(app + "/")
			return b.get(app + "/outpost.goauthentik.io/sign_out")
		},
		"a path that is ambiguous": func(b *browser) *http.Response { return b.get(app + "/public/%2e%2e/admin") },
		"403": func(b *browser) *http.Response {
			b.login(app + "/")
			w.guard = &outpost.Guard{AllowGroups: []string{"nobody"}}
			return b.get(app + "/")
		},
		"503": func(b *browser) *http.Response {
			b.login(app + "/")
			w.broken = errStore
			return b.get(app + "/")
		},
	}
	for what, answer := range answers {
		w.guard, w.broken, w.got = &outpost.Guard{}, nil, nil
		res := answer(w.browser())
		if w.got != nil || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, reached the application: %t, Cache-Control %q", what, res.StatusCode, w.got != nil, res.Header.Get("Cache-Control"))
		}
	}
	// Control: what the application answers is its own to say.
	w.guard, w.broken = &outpost.Guard{}, nil
	w.respond = func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Cache-Control", "public, max-age=60") }
	b := w.browser()
	b.login(app + "/")
	if res := b.get(app + "/"); w.got == nil || res.Header.Get("Cache-Control") != "public, max-age=60" {
		t.Errorf("control: Cache-Control %q", res.Header.Get("Cache-Control"))
	}
}
