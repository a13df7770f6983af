package login_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

func app(slug, launch string, change ...func(*core.Application)) core.Application {
	a := core.Application{ID: core.ApplicationID("id-" + slug), Slug: slug, Name: slug, LaunchURL: launch}
	for _, c := range change {
		c(&a)
	}
	return a
}

func TestMyApplications(t *testing.T) {
	h := newHouse(t)
	u := h.user(tenantA, "alice", "correct horse")
	h.join(u, core.Group{Name: "staff"})
	h.apps[tenantA] = []core.Application{
		app("Wiki", "https://wiki.test/", func(a *core.Application) { a.Description, a.OpenInNewTab = "All we know", true }),
		app("grafana", "https://grafana.test/?user=%(username)s", func(a *core.Application) { a.Group = "Tools" }),
		app("Alerts", "https://alerts.test/", func(a *core.Application) { a.Group = "Tools" }),
		app("Secret", "https://secret.test/", func(a *core.Application) { a.AllowGroups = []string{"board"} }),
		app("Staff", "https://staff.test/", func(a *core.Application) { a.AllowGroups = []string{"staff"} }),
		app("Nowhere", ""),
		app("Hidden", "blank://blank"),
	}
	b := h.browser("a.test")
	wantTo(t, b.get("/if/user/"), http.StatusFound, loginPath+"?next=%2Fif%2Fuser%2F")
	wantTo(t, b.get("/"), http.StatusFound, "/if/user/")
	b.mustLogin("alice", "correct horse")
	page := b.get("/if/user")
	want(t, page, http.StatusOK)
	var names []string
	for _, m := range regexp.MustCompile(`<h2>([^<]+)</h2>|<strong>([^<]+)</strong>`).FindAllStringSubmatch(page.body, -1) {
		names = append(names, m[1]+m[2])
	}
	if got := strings.Join(names, " "); got != "Staff Wiki Tools Alerts grafana" {
		t.Errorf("shown: %s", got)
	}
	for _, part := range []string{
		`href="https://wiki.test/" target="_blank" rel="noopener noreferrer"`, `href="https://grafana.test/?user=alice"`,
		"All we know", "(opens in a new tab)", "Alice", "Log out",
	} {
		if !strings.Contains(page.body, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	if strings.Contains(page.body, "/if/admin/") || strings.Contains(page.body, `type="search"`) {
		t.Error("it has what this user does not need")
	}
	found := b.get("/if/user/?search=KNOW")
	if !strings.Contains(found.body, "Wiki") || strings.Contains(found.body, "grafana") {
		t.Error("the search does not find")
	}
	if none := b.get("/if/user/?search=xyz"); !strings.Contains(none.body, "No application fits “xyz”") {
		t.Error(none.body)
	}
	h.apps[tenantA] = nil
	if empty := b.get("/if/user/"); !strings.Contains(empty.body, "There is no application for you yet.") {
		t.Error(empty.body)
	}
}

func TestAdminPageIsForSuperusers(t *testing.T) {
	h := newHouse(t)
	u := h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	want(t, b.get("/if/admin/"), http.StatusForbidden)
	h.join(u, core.Group{Name: "admins", Superuser: true})
	if page := b.get("/if/admin/"); page.StatusCode != http.StatusOK || !strings.Contains(page.body, `href="/api/v3/"`) {
		t.Error(page.body)
	}
	if !strings.Contains(b.get("/if/user/").body, `href="/if/admin/"`) {
		t.Error("no way there")
	}
}

// a launch URL that would run in our page is not shown and not followed.
func TestLaunchURLs(t *testing.T) {
	const raw = "https://app.test/"
	h := newHouse(t)
	u := h.user(tenantA, "alice", "correct horse", func(u *core.User) { u.Email = "a+b&c@corp.test" })
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	for _, tt := range []struct{ url, to string }{
		{raw, raw},
		{"http://app.test:8080/a?b=c#d", "http://app.test:8080/a?b=c#d"},
		{"/if/admin/", "/if/admin/"},
		{"https://%(username)s.app.test/", "https://alice.app.test/"},
		{"https://app.test/?u=%(email)s&n=%(name)s&i=%(uuid)s&p=%(pk)s", "https://app.test/?u=a%2Bb%26c%40corp.test&n=Alice&i=UUID&p=PK"},
		{"https://app.test/100%%?u=%(username)s", "https://app.test/100%?u=alice"},
		{"https://app.test/?u=%(nope)s", "https://app.test/?u=%(nope)s"}, // unknown: as it is
		{"https://app.test/%20?u=%(name)s", "https://app.test/%20?u=Alice"},
		{"javascript:alert(1)", ""},
		{"JaVaScRiPt:alert(1)", ""},
		{" javascript:alert(1)", ""},
		{"java\nscript:alert(1)", ""},
		{"data:text/html,<script>alert(1)</script>", ""},
		{"vbscript:x", ""},
		{"file:///etc/passwd", ""},
		{"//evil.test/", ""},
		{`/\evil.test/`, ""},
		{"https:evil.test", ""},
		{"https://", ""},
		{"https://a b/", ""},
		{"blank://blank", ""},
		{"app.test", ""},
	} {
		tt.to = strings.NewReplacer("UUID", string(u.ID), "PK", strconv.FormatInt(u.PK, 10)).Replace(tt.to)
		h.apps[tenantA] = []core.Application{app("x", tt.url)}
		res := b.get("/application/launch/x/")
		shown := strings.Contains(b.get("/if/user/").body, "<strong>x</strong>")
		// 100% cannot be written in a URL; what comes out is refused.
		if tt.url == "https://app.test/100%%?u=%(username)s" {
			tt.to = ""
		}
		if tt.to == "" {
			if res.StatusCode != http.StatusNotFound || shown {
				t.Errorf("%q: %d to %q, shown %v", tt.url, res.StatusCode, res.Header.Get("Location"), shown)
			}
			continue
		}
		if res.StatusCode != http.StatusFound || res.Header.Get("Location") != tt.to || !shown {
			t.Errorf("%q: %d to %q, shown %v", tt.url, res.StatusCode, res.Header.Get("Location"), shown)
		}
	}
}

func TestLaunchURLIsGuessed(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.provider[1] = &core.Client{RedirectURIs: []core.RedirectURI{{URL: "https://rp.test:8443/oauth/cb?x=1"}}}
	h.provider[2] = &core.Client{RedirectURIs: []core.RedirectURI{{Mode: core.MatchRegex, URL: `https://.*\.rp\.test/cb`}, {URL: "com.example.app:/cb"}}}
	h.provider[6] = &core.Client{RedirectURIs: append(h.provider[2].(*core.Client).RedirectURIs, core.RedirectURI{Mode: core.MatchStrict, URL: "https://third.test/cb"})}
	h.provider[3] = &core.Client{}
	h.provider[4] = &core.ProxyProvider{ExternalHost: "https://proxied.test"}
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	for id, to := range map[core.ProviderID]string{1: "https://rp.test:8443?x=1", 2: "", 3: "", 4: "https://proxied.test", 5: "", 6: "https://third.test"} {
		h.apps[tenantA] = []core.Application{app("x", "", func(a *core.Application) { a.Provider = id })}
		if got := b.get("/application/launch/x/").Header.Get("Location"); got != to {
			t.Errorf("provider %d leads to %q", id, got)
		}
	}
}

func TestLaunchAsksThePolicy(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.apps[tenantA] = []core.Application{app("x", "https://app.test/", func(a *core.Application) { a.AllowGroups = []string{"board"} })}
	h.apps[tenantB] = []core.Application{app("other", "https://app.test/")}
	b := h.browser("a.test")
	wantTo(t, b.get("/application/launch/x/"), http.StatusFound, loginPath+"?next=%2Fapplication%2Flaunch%2Fx%2F")
	b.mustLogin("alice", "correct horse")
	res := b.get("/application/launch/x/")
	want(t, res, http.StatusForbidden)
	e := h.wantEvent(tenantA, core.EventDenied)
	if e.Application != "id-x" || e.Message == "" || !strings.Contains(res.body, e.Message) || !strings.Contains(fmt.Sprint(e.Context["rules"]), "board") {
		t.Errorf("%+v", e)
	}
	want(t, b.get("/application/launch/other/"), http.StatusNotFound) // another tenant's
	want(t, b.get("/application/launch/nope"), http.StatusNotFound)
}

// an icon is a picture, from where the page's policy lets it come.
func TestIcons(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	for _, tt := range []struct{ icon, host string }{
		{"https://cdn.test/i.png", "https://cdn.test"},
		{"https://CDN.test:8443/i.png", "https://cdn.test:8443"},
		{"/media/public/i.png", "self"},
		{"data:image/png;base64,AAAA", "data"},
		{"data:image/svg+xml,%3Csvg/%3E", "data"},
		{"data:text/html,<script>", ""},
		{"data:image/pngx,x", ""},
		{"data:image/png", ""},
		{"javascript:alert(1)", ""},
		{"//evil.test/i.png", ""},
		{"https://cdn.test;script-src *", ""},
		{"https://cdn.test *", ""},
		{"https://*.test/i.png", ""},
		{"fa://fa-github", ""},
		{"icons/x.png", ""},
		{"", ""},
	} {
		h.apps[tenantA] = []core.Application{app("My First App", "https://app.test/", func(a *core.Application) { a.Icon = tt.icon })}
		page := b.get("/if/user/")
		policy := page.Header.Get("Content-Security-Policy")
		images := regexp.MustCompile(`img-src ([^;]*);`).FindStringSubmatch(policy)[1]
		shown := strings.Contains(page.body, `loading="lazy"`)
		if shown != (tt.host != "") {
			t.Errorf("%q: shown %v", tt.icon, shown)
		}
		if !shown && !strings.Contains(page.body, ">MF</span>") {
			t.Errorf("%q: no initials", tt.icon)
		}
		expect := "'self' data:"
		if strings.HasPrefix(tt.host, "https") {
			expect += " " + tt.host
		}
		if images != expect || strings.Count(policy, ";") != 5 {
			t.Errorf("%q: %s", tt.icon, policy)
		}
	}
}
