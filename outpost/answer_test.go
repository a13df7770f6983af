package outpost_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

// F-12: a store that fails, or a panic, never lets anyone in, also with a cookie that was good
// and with an identity that is still in memory.
func TestFailClosed(t *testing.T) {
	for what, fail := range map[string]func(w *world){
		"error": func(w *world) { w.broken = errStore },
		"panic": func(w *world) { w.panics = true },
	} {
		w := newWorld(t)
		b := w.browser()
		b.login(app + "/")
		if b.get(app + "/"); w.got == nil {
			t.Fatal("control: not in")
		}
		fail(w)
		res := b.get(app + "/")
		w.isRefused(res, what)
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", what, res.StatusCode)
		}
		if page := read(t, res); strings.Contains(page, "fire") || strings.Contains(page, "nil map") || !strings.Contains(page, "req-1") {
			t.Errorf("%s: the page shows a cause, or no ID: %s", what, page)
		}
		if len(b.jar) == 0 {
			t.Errorf("%s: the cookie was taken away: the browser has to log in again for nothing", what)
		}
		w.broken, w.panics = nil, false
		if b.get(app + "/"); w.got == nil {
			t.Errorf("%s: not in again afterwards", what)
		}
	}
}

// F-17: rd leads to this host or to the application's own, and nowhere else.
func TestStartReturnsHere(t *testing.T) {
	w := newWorld(t)
	w.apps = []core.ProxyApplication{proxyApp("a", app)}
	for rd, want := range map[string]string{
		"":                                app + "/",
		"/deep?x=1":                       app + "/deep?x=1",
		app + "/deep?x=1&y=2":             app + "/deep?x=1&y=2",
		url.QueryEscape(app + "/d?x=1&y"): app + "/d?x=1&y",
		"https://APP.a.test:443/x":        app + "/x",
		"https://evil.test":               app + "/",
		"//evil.test":                     app + "/",
		"https://app.a.test.evil.test/":   app + "/",
		"https://evil.test/.app.a.test":   app + "/",
		"https://app.a.test@evil.test/":   app + "/",
		"https://evil.test#app.a.test":    app + "/",
		`\\evil.test`:                     app + "/",
		`/\evil.test`:                     app + "/",
		`https:\\evil.test`:               app + "/",
		"http://app.a.test/":              app + "/", // another scheme
		"https://app.a.test:8443/":        app + "/", // another port
		"https://notapp.a.test/":          app + "/",
		"javascript:alert(1)":             app + "/",
		"%0d%0aSet-Cookie:x=y":            app + "/",
		"https:evil.test":                 app + "/",
		"/%09/evil.test":                  app + "/%09/evil.test", // a path of this host
		app + "/outpost.goauthentik.io/start?rd=" + app + "/": app + "/",
	} {
		b := w.browser()
		if got := b.login(app + "/outpost.goauthentik.io/start?rd=" + rd); got != want {
			t.Errorf("rd=%s: %s, want %s", rd, got, want)
		}
		// With a login there is nothing to do but to go there.
		res := b.get(app + "/outpost.goauthentik.io/start?rd=" + rd)
		if res.StatusCode != 302 || res.Header.Get("Location") != want {
			t.Errorf("rd=%s with a login: %d %s", rd, res.StatusCode, res.Header.Get("Location"))
		}
	}
	// Control: comparing by prefix or suffix accepts some.
	if !strings.HasPrefix("https://app.a.test.evil.test/", app) || !strings.HasSuffix("https://evil.test/.app.a.test", "app.a.test") {
		t.Error("control")
	}
}

// F-19: an application sees none of our cookies, and its own as they were sent.
func TestOurCookiesStayHere(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.login(app + "/")
	var name, value string
	for name, value = range b.jar {
	}
	for sent, want := range map[string][]string{
		"":                      nil,
		"; authentik_session=1": nil,
		"; a=1; b=2":            {"a=1; b=2"},
		`; a="x y"; __Host-authentik_session=1; b=; AUTHENTIK_CSRF=2; __host-AUTHENTIK_x=1; authentik_proxy_login_1_2=3; c`: {`a="x y"; b=; c`},
	} {
		w.do("GET", app+"/", http.Header{"Cookie": {name + "=" + value + sent}})
		if w.got == nil {
			t.Fatalf("%q: not in", sent)
		}
		if got := w.got.Header["Cookie"]; strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q: the application got %q, want %q", sent, got, want)
		}
	}
}

// F-21: an application cannot speak in our name.
func TestUpstreamCannotSetIdentity(t *testing.T) {
	w := newWorld(t)
	w.guard = &outpost.Guard{SkipPath: skip(t, "/*")}
	evil := func(rw http.ResponseWriter) {
		rw.Header().Set("X-Authentik-Username", "admin")
		rw.Header()["x_authentik_groups"] = []string{"admins"}
		rw.Header().Add("Set-Cookie", "authentik_session=stolen; Path=/")
		rw.Header().Add("Set-Cookie", "theirs=1")
		rw.Header().Add("Set-Cookie", " __Host-authentik_session =stolen")
	}
	for what, respond := range map[string]func(rw http.ResponseWriter, r *http.Request){
		"a status": func(rw http.ResponseWriter, _ *http.Request) { evil(rw); rw.WriteHeader(201) },
		"a body":   func(rw http.ResponseWriter, _ *http.Request) { evil(rw); fmt.Fprint(rw, "x") },
		"nothing":  func(rw http.ResponseWriter, _ *http.Request) { evil(rw) },
		"a copy":   func(rw http.ResponseWriter, _ *http.Request) { evil(rw); _, _ = io.Copy(rw, strings.NewReader("x")) },
		"a flush":  func(rw http.ResponseWriter, _ *http.Request) { evil(rw); rw.(http.Flusher).Flush() },
		"a flush by controller": func(rw http.ResponseWriter, _ *http.Request) {
			evil(rw)
			_ = http.NewResponseController(rw).Flush()
		},
		"early hints": func(rw http.ResponseWriter, _ *http.Request) {
			evil(rw)
			rw.WriteHeader(103)
			evil(rw)
			rw.WriteHeader(200)
		},
		"a trailer": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, "x")
			rw.Header().Set(http.TrailerPrefix+"X-Authentik-Username", "admin")
			rw.Header().Add("Set-Cookie", "theirs=1")
		},
	} {
		w.respond = respond
		rec := httptest.NewRecorder()
		info := &core.RequestInfo{Tenant: w.tenant, Scheme: "https", Host: "app.a.test", URI: "/"}
		r := httptest.NewRequest("GET", "/", nil)
		w.out.Serve(rec, r, info, w.guard, func(rw http.ResponseWriter, r *http.Request, _ *outpost.Identity) { respond(rw, r) })
		for _, h := range []http.Header{rec.Header(), rec.Result().Header, rec.Result().Trailer} {
			for name := range h {
				if strings.Contains(strings.ToLower(name), "authentik") {
					t.Errorf("%s: %s came through", what, name)
				}
			}
			if strings.Contains(strings.Join(h["Set-Cookie"], " "), "authentik") {
				t.Errorf("%s: cookies %q", what, h["Set-Cookie"])
			}
		}
		if !strings.Contains(strings.Join(rec.Header()["Set-Cookie"], " "), "theirs=1") {
			t.Errorf("%s: its own cookie was taken away", what)
		}
	}
	// Control: without the guard the recorder shows them.
	rec := httptest.NewRecorder()
	evil(rec)
	rec.WriteHeader(200)
	if rec.Result().Header.Get("X-Authentik-Username") == "" {
		t.Error("control")
	}
}

// F-27: no value breaks out of its header, no group is read as two, and the size is
// bounded.
func TestHeaderValues(t *testing.T) {
	w := newWorld(t)
	w.users["u1"].DisplayName = "Zoë\r\nX-Authentik-Groups: admins\x00\u2028 " + strings.Repeat("é", 2000)
	w.users["u1"].Email = "a@b.test\r\nBcc: x"
	groups := []core.Group{{Name: "a|admins"}, {Name: "b\r\nX-Evil: 1"}, {Name: ""}, {Name: " admins"}, {Name: "good"}, {Name: "\xff"}}
	for i := range 3000 {
		groups = append(groups, core.Group{Name: fmt.Sprintf("group %04d", i)})
	}
	w.groups["u1"] = append(groups, core.Group{Name: "last"})
	b := w.browser()
	b.login(app + "/")
	b.get(app + "/")
	if w.got == nil {
		t.Fatal("not in")
	}
	var wire bytes.Buffer
	size := 0
	for name, values := range w.got.Header {
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				t.Errorf("%s: %q", name, v)
			}
			size += len(v)
		}
	}
	if err := w.got.Header.Write(&wire); err != nil || strings.Contains(wire.String(), "\nX-Evil") || strings.Contains(wire.String(), "\nBcc") {
		t.Errorf("on the wire: %s", wire.String())
	}
	if size > 12<<10 {
		t.Errorf("%d bytes of headers", size)
	}
	got := strings.Split(w.got.Header.Get("X-Authentik-Groups"), "|")
	for _, g := range got {
		if g == "admins" || g == "a" || strings.TrimSpace(g) != g {
			t.Errorf("the application reads group %q, which the user is not in", g)
		}
	}
	if got[0] != "good" || len(got) < 500 {
		t.Errorf("%d groups, the first %q", len(got), got[0])
	}
	if name := w.got.Header.Get("X-Authentik-Name"); !strings.HasPrefix(name, "Zoë") {
		t.Errorf("name %q", name)
	}
	if w.got.Header.Get("X-Authentik-Email") != "" {
		t.Error("half an address is another's")
	}
	// Control: joined as they are, the groups read as others.
	if !strings.Contains("|"+strings.Join([]string{"a|admins"}, "|")+"|", "|admins|") {
		t.Error("control")
	}
}
