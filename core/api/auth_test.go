package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

func verify(u *core.User) error { u.EmailVerified = true; return nil }

// TestCredentials: only a live API token of an active user opens the API.
func TestCredentials(t *testing.T) {
	e := open(t)
	root, err := e.db.UserByName(t.Context(), e.tenant.ID, "root")
	e.must(err)
	expiring := core.RandomAlphanumeric(60)
	e.must(e.db.CreateToken(t.Context(), e.tenant.ID, &core.Token{
		Identifier: "short", Intent: core.IntentAPI, User: root.ID, Expiring: true, Expires: e.now.Add(time.Minute),
	}, core.Secret(expiring)))
	const invalid, scheme, none = "Token invalid/expired", "Unsupported authentication type", "Authentication credentials were not provided."
	check := func(name, header, want string) {
		t.Helper()
		r := e.request("GET", "core/users/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		a := e.serve(r)
		if want == "" && a.status != 200 || want != "" && (a.status != 403 || string(a.body) != `{"detail":"`+want+`"}`) {
			t.Errorf("%s: %d %s, want %q", name, a.status, a.body, want)
		}
		if a.header.Get("WWW-Authenticate") != "" || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	check("nothing", "", none)
	check("a token", "Bearer "+e.root, "")
	check("another case of the scheme", "bearer "+e.root, "")
	check("Basic", "Basic cm9vdDpyb290", scheme)
	check("no scheme", e.root, scheme)
	check("an empty token", "Bearer ", invalid)
	check("an unknown token", "Bearer "+core.RandomAlphanumeric(60), invalid)
	check("a token with something behind it", "Bearer "+e.root+"x", invalid)
	check("a live token", "Bearer "+expiring, "")
	// T-19: what opens something else does not open the API.
	check("a JWT", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.", invalid)
	for _, intent := range []core.TokenIntent{core.IntentAppPassword, core.IntentRecovery, core.IntentVerification} {
		check(string(intent), "Bearer "+e.token(root, intent, "t-"+strings.ReplaceAll(string(intent), "_", "-")), invalid)
	}
	e.now = e.now.Add(time.Minute)
	check("a token at the moment of its end", "Bearer "+expiring, invalid)

	// a deactivated user is refused at the next request, and logged out.
	pk, token := e.person("leaver", root.Groups...)
	check("before", "Bearer "+token, "")
	leaver, err := e.db.UserByPK(t.Context(), e.tenant.ID, pk)
	e.must(err)
	e.want(200, "PATCH", "core/users/"+itoa(pk)+"/", map[string]any{"is_active": false})
	check("deactivated", "Bearer "+token, invalid)
	if len(e.logins.ended) != 1 || e.logins.ended[0] != leaver.ID {
		t.Errorf("sessions ended: %v", e.logins.ended)
	}
	e.want(204, "DELETE", "core/users/"+itoa(pk)+"/", nil)
	check("deleted", "Bearer "+token, invalid)
	if len(e.logins.ended) != 2 {
		t.Errorf("sessions ended: %v", e.logins.ended)
	}

	r := e.request("GET", "core/users/", nil)
	r.Header.Add("Authorization", "Bearer "+e.root)
	r.Header.Add("Authorization", "Bearer "+e.plain)
	if a := e.serve(r); a.status != 403 {
		t.Errorf("two Authorization headers: %d", a.status)
	}
}

// with the browser's cookie, a change must come from a page of our own.
func TestCrossSiteRequests(t *testing.T) {
	e := open(t)
	root, err := e.db.UserByName(t.Context(), e.tenant.ID, "root")
	e.must(err)
	e.logins.live = map[string]*core.Session{
		"yes":   {ID: "s1", User: root.ID},
		"child": {ID: "s2", User: root.ID, Parent: "s1", Application: "a"},
	}
	post := func(cookie string, headers map[string]string) int {
		r := e.request("POST", "core/groups/", map[string]any{"name": core.RandomAlphanumeric(8)})
		r.AddCookie(&http.Cookie{Name: "login", Value: cookie})
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		return e.serve(r).status
	}
	for name, v := range map[string]struct {
		headers map[string]string
		status  int
	}{
		"cross-site":                   {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}, 403},
		"same-site":                    {map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://app.test:9080"}, 403},
		"typed by hand":                {map[string]string{"Sec-Fetch-Site": "none"}, 403},
		"Origin only, foreign":         {map[string]string{"Origin": "http://evil.test"}, 403},
		"Origin only, another port":    {map[string]string{"Origin": "http://auth.test"}, 403},
		"Origin null":                  {map[string]string{"Origin": "null"}, 403},
		"Origin null, with the header": {map[string]string{"Origin": "null", "X-authentik-CSRF": "x"}, 403},
		"nothing that proves it":       {nil, 403},
		"text/plain":                   {map[string]string{"Content-Type": "text/plain", "Sec-Fetch-Site": "cross-site"}, 403},
		"a form":                       {map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 403},
		"our page, not JSON":           {map[string]string{"Content-Type": "text/plain", "Sec-Fetch-Site": "same-origin"}, 415},
		// The controls: the same request, from our own page.
		"same-origin":       {map[string]string{"Sec-Fetch-Site": "same-origin"}, 201},
		"our Origin":        {map[string]string{"Origin": origin}, 201},
		"the header":        {map[string]string{"X-authentik-CSRF": "x"}, 201},
		"all of our page's": {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": origin, "X-authentik-CSRF": "x"}, 201},
	} {
		if got := post("yes", v.headers); got != v.status {
			t.Errorf("%s: %d, want %d", name, got, v.status)
		}
	}
	own := map[string]string{"Sec-Fetch-Site": "same-origin"}
	if got := post("child", own); got != 403 {
		t.Errorf("the session of a guarded application opens the API: %d", got)
	}
	leaver, _ := e.person("leaver", root.Groups...)
	gone, err := e.db.UserByPK(t.Context(), e.tenant.ID, leaver)
	e.must(err)
	e.logins.live["leaver"] = &core.Session{ID: "s3", User: gone.ID}
	if got := post("leaver", own); got != 201 {
		t.Errorf("another superuser's session: %d", got)
	}
	_, err = e.db.UpdateUser(t.Context(), e.tenant.ID, leaver, func(u *core.User) error { u.Active = false; return nil })
	e.must(err)
	if got := post("leaver", own); got != 403 {
		t.Errorf("an inactive user's session: %d", got)
	}
	r := e.request("GET", "root/config/", nil)
	r.AddCookie(&http.Cookie{Name: "login", Value: "leaver"})
	if a := e.serve(r); a.status != 200 {
		t.Errorf("what is public, with an inactive user's session: %d", a.status)
	}
	if got := post("none", own); got != 403 {
		t.Errorf("an unknown cookie opens the API: %d", got)
	}
	// A GET that claims in a header to be something else stays a GET.
	r = e.request("GET", "core/groups/", nil)
	r.AddCookie(&http.Cookie{Name: "login", Value: "yes"})
	r.Header.Set("X-HTTP-Method-Override", "POST")
	if a := e.serve(r); a.status != 200 {
		t.Errorf("method override: %d", a.status)
	}
	// no other way to name a method counts, and a method that reads changes
	// nothing: with the cookie alone a GET, HEAD or OPTIONS of every operation leaves
	// the directory as it was.
	before := len(e.events.list)
	for _, op := range e.api.Operations() {
		if op.Method == "GET" || strings.Contains(op.Pattern, "view_") {
			continue
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			r := e.request(method, strings.ReplaceAll(op.Pattern, "{}", itoa(e.plainPK))+"?_method="+op.Method, nil)
			r.AddCookie(&http.Cookie{Name: "login", Value: "yes"})
			for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
				r.Header.Set(name, op.Method)
			}
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			if a := e.serve(r); a.status == 201 || a.status >= 500 {
				t.Errorf("%s %s that claims to be %s: %d", method, op.Pattern, op.Method, a.status)
			}
		}
	}
	if len(e.events.list) != before {
		t.Errorf("reading changed something: %v", e.events.list[before:])
	}
	if _, err := e.db.UserByPK(t.Context(), e.tenant.ID, e.plainPK); err != nil {
		t.Errorf("the user is gone: %v", err)
	}
	// The control: the same call by its own name is noted.
	r = e.request("DELETE", "core/users/"+itoa(leaver)+"/", nil)
	r.AddCookie(&http.Cookie{Name: "login", Value: "yes"})
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if a := e.serve(r); a.status != 204 || len(e.events.list) == before {
		t.Errorf("a change from our page: %d, %d events", a.status, len(e.events.list)-before)
	}
	// A wrong token is not made good by a cookie.
	r = e.request("GET", "core/groups/", nil)
	r.AddCookie(&http.Cookie{Name: "login", Value: "yes"})
	r.Header.Set("Authorization", "Bearer wrong")
	if a := e.serve(r); a.status != 403 {
		t.Errorf("a wrong token beside a cookie: %d", a.status)
	}
	// Who sets their own password keeps this session; another user keeps none.
	for i, v := range []struct {
		pk   int64
		kept core.SessionID
	}{{e.rootPK, "s1"}, {e.plainPK, ""}} {
		r = e.request("POST", "core/users/"+itoa(v.pk)+"/set_password/", map[string]any{"password": "long enough"})
		r.AddCookie(&http.Cookie{Name: "login", Value: "yes"})
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if a := e.serve(r); a.status != 204 || len(e.passwords.kept) != i+1 || e.passwords.kept[i] != v.kept {
			t.Errorf("password of %d: %d, kept %v", v.pk, a.status, e.passwords.kept)
		}
	}
}

// shared tells what an answer lets other origins, caches or guessing browsers do.
func shared(path string, header http.Header) []string {
	var out []string
	for name := range header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Cross-Origin-Resource-Policy" && header.Get(name) == "cross-origin" {
			out = append(out, name)
		}
	}
	for _, name := range []string{"Authorization", "Cookie"} {
		if !strings.Contains(header.Get("Vary"), name) {
			out = append(out, "Vary lacks "+name)
		}
	}
	// The document is the same for everybody; all else stays with who asked.
	if want := map[bool]string{true: "no-cache", false: "no-store"}[path == "schema/"]; header.Get("Cache-Control") != want {
		out = append(out, "Cache-Control: "+header.Get("Cache-Control"))
	}
	if header.Get("X-Content-Type-Options") != "nosniff" {
		out = append(out, "no nosniff")
	}
	return out
}

// no other origin may read an answer, with a token or without, and no cache
// keeps one.
func TestNoCORS(t *testing.T) {
	e := open(t)
	for _, o := range []string{"https://evil.test", "null", "http://sub.auth.test:9080", "http://auth.test:9080.evil.test", origin} {
		for _, path := range []string{"core/users/", "core/users/me/", "root/config/", "schema/", "", "nothing/"} {
			for _, method := range []string{"GET", "OPTIONS", "POST"} {
				r := e.request(method, path, nil)
				r.Header.Set("Origin", o)
				r.Header.Set("Access-Control-Request-Method", "POST")
				r.Header.Set("Access-Control-Request-Headers", "authorization, x-authentik-csrf")
				r.Header.Set("Authorization", "Bearer "+e.root)
				a := e.serve(r)
				if got := shared(path, a.header); got != nil && (path != "schema/" || method == "GET") {
					t.Errorf("%s %s from %s: %v", method, path, o, got)
				}
			}
		}
	}
	// The control: each header that would let somebody in is found.
	good := e.send(e.root, "GET", "core/users/me/", nil).header
	for name, value := range map[string]string{"Access-Control-Allow-Origin": "*", "Cache-Control": "public", "Vary": "Accept", "X-Content-Type-Options": ""} {
		weak := good.Clone()
		weak.Set(name, value)
		if shared("core/users/me/", weak) == nil {
			t.Errorf("%s: %s was not found", name, value)
		}
	}
}
