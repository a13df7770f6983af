package login_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// O-27: next leads to a path of this host, or to the list of applications.
func TestNextStaysOnThisHost(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	in := h.browser("a.test")
	in.mustLogin("alice", "correct horse")
	for _, tt := range []struct {
		next string
		ok   bool
	}{
		{"/application/o/authorize/?client_id=a&redirect_uri=https%3A%2F%2Fother.test%2F%2Fcb", true},
		{"/if/user/", true},
		{"/a/b%20c?x=%2F%2Fy", true},
		{"//evil.test", false},
		{"///evil.test", false},
		{`/\evil.test`, false},
		{`\\evil.test`, false},
		{"/\t/evil.test", false},
		{"/\n/evil.test", false},
		{"\t//evil.test", false},
		{" //evil.test", false},
		{"https:evil.test", false},
		{"https://evil.test/", false},
		{"https:/evil.test", false},
		{"HTTPS://evil.test", false},
		{"javascript:alert(1)", false},
		{"data:text/html,x", false},
		{"/%09/evil.test", false},
		{"/%2f%2fevil.test", false},
		{"/%2F/evil.test", false},
		{"/%5cevil.test", false},
		{"/..//evil.test", false},
		{"/.//evil.test", false},
		{"/a//evil.test", false},
		{"evil.test", false},
		{"@evil.test", false},
		{"?next=//evil.test", false},
		{"/%0d%0aSet-Cookie:a=b", false},
		{"/a\r\nSet-Cookie: a=b", false},
		{"/%zz", false},
		{"/" + strings.Repeat("a", 20<<10), false},
		{"", false},
	} {
		expect := "/if/user/"
		if tt.ok {
			expect = tt.next
		}
		query := "?next=" + url.QueryEscape(tt.next)
		for _, path := range []string{"/", loginPath, "/flows/-/cancel/"} {
			if res := in.get(path + query); res.Header.Get("Location") != expect {
				t.Errorf("%s%s leads to %q", path, query, res.Header.Get("Location"))
			}
		}
		out := h.browser("a.test")
		if res := out.submit(loginPath+query, "username", "alice", "password", "correct horse"); res.Header.Get("Location") != expect {
			t.Errorf("a login with %s leads to %q", query, res.Header.Get("Location"))
		}
		if !tt.ok {
			expect = loginPath + "?left=1"
		}
		if res := out.submit("/if/flow/default-invalidation-flow/" + query); res.Header.Get("Location") != expect {
			t.Errorf("a logout with %s leads to %q", query, res.Header.Get("Location"))
		}
	}
	// The control: a check by prefix accepts what a browser takes for another
	// host.
	naive := func(next string) bool { return strings.HasPrefix(next, "/") && !strings.HasPrefix(next, "//") }
	if !naive(`/\evil.test`) || !naive("/\t/evil.test") {
		t.Error("control")
	}
}

// O-25: no other site can send our forms, whatever a browser says about it.
func TestFormsFromOtherSites(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	victim := h.browser("a.test")
	page := victim.get(loginPath)
	form := url.Values{"username": {"alice"}, "password": {"correct horse"}, "token": {inputs.FindStringSubmatch(page.body)[2]}}
	try := func(b *browser, header http.Header, form url.Values) int {
		b.header = header
		defer func() { b.header = http.Header{} }()
		return b.post(loginPath, form).StatusCode
	}
	for what, header := range map[string]http.Header{
		"cross-site":                   {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.test"}},
		"cross-site without Origin":    {"Sec-Fetch-Site": {"cross-site"}, "Origin": nil},
		"same-site":                    {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://x.a.test"}},
		"old browser":                  {"Sec-Fetch-Site": nil, "Origin": {"https://evil.test"}},
		"Origin null":                  {"Sec-Fetch-Site": nil, "Origin": {"null"}},
		"Origin null, says same":       {"Sec-Fetch-Site": {"same-origin"}, "Origin": {"null"}},
		"Origin empty":                 {"Sec-Fetch-Site": nil, "Origin": {""}},
		"two origins":                  {"Sec-Fetch-Site": nil, "Origin": {"https://a.test", "https://evil.test"}},
		"another port":                 {"Sec-Fetch-Site": nil, "Origin": {"https://a.test:8443"}},
		"name is a prefix":             {"Sec-Fetch-Site": nil, "Origin": {"https://a.test.evil.test"}},
		"user info":                    {"Sec-Fetch-Site": nil, "Origin": {"https://a.test@evil.test"}},
		"file":                         {"Sec-Fetch-Site": nil, "Origin": {"file://a.test"}},
		"two values of Sec-Fetch-Site": {"Sec-Fetch-Site": {"same-origin", "cross-site"}},
		"unknown Sec-Fetch-Site":       {"Sec-Fetch-Site": {"x"}},
	} {
		if status := try(victim, header, form); status != http.StatusForbidden {
			t.Errorf("%s: %d", what, status)
		}
	}
	if victim.session() != "" {
		t.Fatal("a form of another site logged in")
	}
	// What says nothing of where it comes from has the token to show.
	quiet := http.Header{"Sec-Fetch-Site": nil, "Origin": nil}
	with := func(token string) url.Values {
		return url.Values{"username": {"alice"}, "password": {"correct horse"}, "token": {token}}
	}
	attacker := h.browser("a.test")
	foreign := inputs.FindStringSubmatch(attacker.get(loginPath).body)[2]
	other := h.browser("b.test")
	elsewhere := inputs.FindStringSubmatch(other.get(loginPath).body)[2]
	good := form.Get("token")
	for what, token := range map[string]string{
		"none": "", "garbage": "x", "another browser's": foreign, "another tenant's": elsewhere,
		"changed": good[:len(good)-2] + "AA", "cut": good[:len(good)-4], "huge": strings.Repeat("A", 40<<10),
	} {
		if status := try(victim, quiet, with(token)); status != http.StatusForbidden {
			t.Errorf("token %s: %d", what, status)
		}
	}
	// A browser that lost its cookie.
	bare := h.browser("a.test")
	if status := try(bare, quiet, form); status != http.StatusForbidden {
		t.Errorf("without the cookie: %d", status)
	}
	// The token of one form does not send another.
	login := h.browser("a.test")
	login.mustLogin("alice", "correct horse")
	if res := login.post("/if/flow/default-invalidation-flow/", url.Values{"token": {good}}); res.StatusCode != http.StatusForbidden || login.session() == "" {
		t.Errorf("a logout with the login's token: %d", res.StatusCode)
	}
	// The control: it is the right form, and it works.
	for what, header := range map[string]http.Header{
		"none given": quiet, "typed address": {"Sec-Fetch-Site": {"none"}, "Origin": nil},
		"own origin": {"Sec-Fetch-Site": nil, "Origin": {"https://a.test"}}, "own origin, default port": {"Sec-Fetch-Site": nil, "Origin": {"https://A.test:443"}},
	} {
		if status := try(victim, header, form); status != http.StatusSeeOther {
			t.Errorf("control, %s: %d", what, status)
		}
	}
}

// O-25: the token of a form inside a login is bound to that login.
func TestTokenIsBoundToTheSession(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.user(tenantA, "bob", "battery staple")
	const path = "/if/flow/default-invalidation-flow/"
	b := h.browser("a.test")
	tab := b.get(loginPath)
	b.mustLogin("alice", "correct horse")
	page := b.get(path)
	// Bob logs in in a tab that was open: the same browser, the same cookie.
	want(t, b.send(loginPath, tab, "username", "bob", "password", "battery staple"), http.StatusSeeOther)
	want(t, b.send(path, page), http.StatusForbidden)
	want(t, b.get("/if/user/"), http.StatusOK)
	want(t, b.submit(path), http.StatusSeeOther) // the control: its own token works
}

// R-30, O-23, O-24: the headers of every page.
func TestHeaders(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	pages := map[string]answer{"login": b.get(loginPath), "missing": b.get("/if/flow/nope/")}
	b.header = http.Header{"Accept": {"application/json"}}
	pages["problem"] = b.get("/if/flow/nope/")
	b.header = http.Header{}
	b.mustLogin("alice", "correct horse")
	for _, path := range []string{"/if/user/", "/if/admin/", "/if/flow/default-invalidation-flow/", "/recovery/use-token/x/"} {
		pages[path] = b.get(path)
	}
	for name, res := range pages {
		for header, value := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
			"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000",
		} {
			if res.Header.Get(header) != value {
				t.Errorf("%s: %s is %q", name, header, res.Header.Get(header))
			}
		}
		if name == "problem" {
			continue
		}
		policy := res.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self';", "script-src 'self';"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy lacks %s: %s", name, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "form-action") || strings.Contains(policy, "*") {
			t.Errorf("%s: %s", name, policy)
		}
		if kind := res.Header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
			t.Errorf("%s: %s", name, kind)
		}
		// O-23: nothing of another host, and nothing that the policy stops.
		for _, bad := range []string{`src="http`, `href="http`, " style=", "<style", "javascript:", " onclick=", " onerror="} {
			if name != "/if/admin/" && strings.Contains(res.body, bad) {
				t.Errorf("%s: holds %s", name, bad)
			}
		}
	}
	b.header = http.Header{"Test-Scheme": {"http"}}
	if v := b.get(loginPath).Header.Get("Strict-Transport-Security"); v != "" {
		t.Errorf("over http: HSTS %q", v)
	}
	for _, c := range pages["login"].Cookies() {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("%s", c)
		}
	}
}

// O-06, O-07, R-26: whatever is shown is text.
func TestWhatIsShownIsText(t *testing.T) {
	h := newHouse(t)
	const script = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	h.user(tenantA, "alice", "correct horse", func(u *core.User) { u.DisplayName, u.Email = "<a href=//evil.test>", script })
	h.apps[tenantA] = []core.Application{{ID: "1", Slug: "x", Name: script, Group: script, Description: script, Publisher: script, LaunchURL: "https://app.test/?" + script}}
	b := h.browser("a.test")
	pages := []answer{b.login(script, "x"), b.get(loginPath + "?next=" + url.QueryEscape("/"+script) + "&left=" + url.QueryEscape(script))}
	b.mustLogin("alice", "correct horse")
	pages = append(pages, b.get("/if/user/"), b.get("/if/user/?search="+url.QueryEscape(script)), b.get("/recovery/use-token/"+url.PathEscape(script)+"/"))
	h.require = func(w http.ResponseWriter, r *http.Request) { h.Refuse(w, r, http.StatusBadRequest, script, script) }
	pages = append(pages, b.get("/need?"+url.QueryEscape(script)))
	for i, page := range pages {
		for _, bad := range []string{"<script>", "<img src=x", "<a href=//evil"} {
			if strings.Contains(page.body, bad) {
				t.Errorf("page %d holds %s", i, bad)
			}
		}
	}
	if !strings.Contains(pages[2].body, "&lt;script&gt;") {
		t.Error("control: the name is not on the page")
	}
	if !strings.Contains(pages[5].body, "&lt;script&gt;") {
		t.Error("control: the message is not on the page")
	}
}
