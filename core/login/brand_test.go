package login_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// looks is the brand of every host of a test.
type looks struct {
	brand    core.Brand
	settings core.Settings
}

func (l *looks) Look(_ context.Context, t *core.Tenant, host string) core.Look {
	l.brand.Default = true
	return core.NewLook(t, host, []core.Brand{l.brand}, &l.settings)
}

var sheetLink = regexp.MustCompile(`href="(/-/static/brand\.[0-9a-f]{16}\.css)"`)

// Every page shows the brand of its host, and what the page's policy lets it load is what
// the brand names and nothing else.
func TestPagesShowTheBrand(t *testing.T) {
	h := newHouse(t)
	u := h.user(tenantA, "alice", "correct horse")
	l := &looks{}
	h.looks = l
	b := h.browser("a.test")
	if page := b.get(loginPath); strings.Contains(page.body, "brand.") || strings.Contains(page.body, "data-theme") || strings.Contains(page.body, `class="links"`) {
		t.Errorf("without a brand: %s", page.body)
	}
	l.brand = core.Brand{
		Title: "Äpfel & Co", Logo: "https://cdn.test/logo.png", Favicon: "https://icons.test:8443/f.ico", Background: `https://img.test/b.png?a="b"\`,
		CSS:        ".card { outline: 1px solid }",
		Attributes: map[string]any{"settings": map[string]any{"theme": map[string]any{"base": "dark", "primary": "#ffdd00"}}},
	}
	l.settings.FooterLinks = []core.FooterLink{{Name: "Imprint", Href: "https://example.com/imprint"}, {Name: "Version <1>"}}
	pages := map[string]answer{"login": b.get(loginPath), "missing": b.get("/if/x"), "recovery": b.get(h.recovery(u, 1<<40))}
	b.mustLogin("alice", "correct horse")
	pages["portal"] = b.get("/if/user/")
	h.need(consent("r", core.ConsentScope{Name: "email", Description: "See your address"}))
	pages["consent"] = b.get(b.get("/need").Header.Get("Location"))
	pages["logout"] = b.get("/if/flow/default-invalidation-flow/")
	sheet := ""
	for name, page := range pages {
		for _, want := range []string{
			"· Äpfel &amp; Co</title>", "<span>Äpfel &amp; Co</span>", `src="https://cdn.test/logo.png"`, `<link rel="icon" href="https://icons.test:8443/f.ico">`,
			`<html lang="en" data-theme="dark">`, `content="dark"`, `<a href="https://example.com/imprint">Imprint</a>`, "<li>Version &lt;1&gt;</li>",
		} {
			if !strings.Contains(page.body, want) {
				t.Errorf("%s has no %s", name, want)
			}
		}
		csp := page.Header.Get("Content-Security-Policy")
		_, images, _ := strings.Cut(csp, "img-src ")
		images, _, _ = strings.Cut(images, ";")
		for _, host := range []string{"https://cdn.test", "https://icons.test:8443", "https://img.test"} {
			images = strings.Replace(images, " "+host, "", 1)
		}
		if images != "'self' data:" || !strings.Contains(csp, "style-src 'self';") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: %s", name, csp)
		}
		if m := sheetLink.FindStringSubmatch(page.body); m == nil {
			t.Errorf("%s has no sheet", name)
		} else {
			sheet = m[1]
		}
		for _, p := range problems(page.body) {
			t.Errorf("%s: %s", name, p)
		}
	}
	css := b.get(sheet)
	want(t, css, http.StatusOK)
	for _, part := range []string{"--pico-primary-background: #ffdd00", "--pico-primary-inverse: #000000", ".card { outline: 1px solid }", `url("https://img.test/b.png?a=%22b%22`} {
		if !strings.Contains(css.body, part) {
			t.Errorf("the sheet lacks %s: %s", part, css.body)
		}
	}
	if css.Header.Get("Content-Type") != "text/css; charset=utf-8" || css.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(css.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%v", css.Header)
	}
	l.brand.CSS = ".card { outline: 2px solid }"
	if old := b.get(sheet); old.StatusCode != http.StatusOK || old.Header.Get("Cache-Control") != "no-cache" || !strings.Contains(old.body, "2px") {
		t.Errorf("the sheet of before: %d %v", old.StatusCode, old.Header)
	}
	// what was let in by another version is not let out.
	l.brand.CSS = "a { background: url(https://evil.test/) }"
	if again := b.get(sheet); strings.Contains(again.body, "evil") {
		t.Errorf("%s", again.body)
	}
	l.brand = core.Brand{Logo: "javascript:alert(1)", Favicon: "/static/dist/assets/icons/icon.png", Background: "data:text/html,x"}
	if page := b.get("/if/user/"); strings.Contains(page.body, "javascript") || strings.Contains(page.body, "static/dist") || strings.Contains(page.body, "brand.") {
		t.Errorf("%s", page.body)
	}
	want(t, b.get(sheet), http.StatusNotFound)
}

// A sheet is made once for a brand as it is: anybody may ask for pages, and a long one takes
// milliseconds.
func TestSheetIsMadeOnce(t *testing.T) {
	h := newHouse(t)
	want(t, h.browser("a.test").get(loginPath), http.StatusOK)
	b := &core.Brand{ID: "b", CSS: "a {}"}
	first := h.SheetOf(tenantA, b)
	if h.SheetOf(tenantA, b) != first {
		t.Error("made again")
	}
	if other := h.SheetOf(tenantB, b); other == first {
		t.Error("another tenant's")
	}
	changed := *b
	changed.CSS = "b {}"
	if h.SheetOf(tenantA, &changed) == first {
		t.Error("of before a change")
	}
}

// External users are led to the brand's default application, where they may open it; all
// others see their applications.
func TestDefaultApplication(t *testing.T) {
	h := newHouse(t)
	l := &looks{}
	h.looks = l
	h.user(tenantA, "inner", "correct horse")
	h.user(tenantA, "outer", "correct horse", func(u *core.User) { u.Type = core.UserExternal })
	h.apps[tenantA] = append(h.apps[tenantA], app("shop", "https://shop.test/"), app("other", "https://other.test/"))
	l.brand.Application = h.apps[tenantA][0].ID
	to := func(name string) string {
		t.Helper()
		b := h.browser("a.test")
		b.mustLogin(name, "correct horse")
		return b.get("/if/user/").Header.Get("Location")
	}
	if got := to("outer"); got != "https://shop.test/" {
		t.Errorf("outer: %q", got)
	}
	if got := to("inner"); got != "" {
		t.Errorf("inner: %q", got)
	}
	h.apps[tenantA][0].AllowGroups = []string{"nobody"}
	if got := to("outer"); got != "" {
		t.Errorf("who may not open it: %q", got)
	}
	l.brand.Application = "gone"
	if got := to("outer"); got != "" {
		t.Errorf("one that is gone: %q", got)
	}
}
