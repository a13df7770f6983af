package login_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/media"
)

// Icons, logos and backgrounds that are files are shown by signed URLs of this origin, which the page's
// policy lets it load without another word.
func TestPagesShowFiles(t *testing.T) {
	h := newHouse(t)
	master, err := keys.NewMaster([]byte("an installation's secret of 32 bytes or more"))
	h.ok(err)
	h.Signer = &media.Signer{Master: master, Now: h.now.now}
	h.user(tenantA, "alice", "correct horse")
	l := &looks{brand: core.Brand{Logo: "brand/logo.png", Favicon: "brand/icon.ico", Background: "brand/lake.jpg"}}
	h.looks = l
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	h.apps[tenantA] = []core.Application{app("My First App", "https://app.test/", func(a *core.Application) { a.Icon = "application-icons/x.png" })}
	page := b.get("/if/user/")
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self' data:;") {
		t.Errorf("the policy is %s", policy)
	}
	sheet := sheetLink.FindStringSubmatch(page.body)
	if sheet == nil {
		t.Fatalf("no stylesheet in %s", page.body)
	}
	style := b.get(sheet[1])
	for name, text := range map[string]string{"brand/logo.png": page.body, "brand/icon.ico": page.body, "application-icons/x.png": page.body, "brand/lake.jpg": style.body} {
		at := regexp.MustCompile(`/files/media/` + string(tenantA) + `/` + name + `\?token=[-_A-Za-z0-9]{52}`).FindString(text)
		u, err := url.Parse(at)
		if err != nil || at == "" {
			t.Errorf("%s is at %q in %s", name, at, text)
			continue
		}
		if _, _, err := h.Signer.Verify(tenants()["a.test"], name, u.Query().Get("token")); err != nil {
			t.Errorf("%s is at %s: %v", name, at, err)
		}
	}
	if !strings.Contains(page.body, `alt="MF"`) { // what is shown where the file is not there
		t.Errorf("no initials in %s", page.body)
	}
	// The stylesheet goes with the signature of its background.
	if again := sheetLink.FindStringSubmatch(b.get("/if/user/").body); again == nil || again[1] != sheet[1] {
		t.Errorf("it is %v, and was %v", again, sheet)
	}
	h.now.add(media.DefaultLife)
	later := sheetLink.FindStringSubmatch(b.get("/if/user/").body)
	if later == nil || later[1] == sheet[1] {
		t.Fatalf("a quarter of an hour later it is still %v", later)
	}
	want(t, b.get(later[1]), http.StatusOK)
}

// A picture with variants is that for light pages or dark ones as the brand says, and as the browser does where the brand
// does not.
func TestPagesShowVariants(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	l := &looks{}
	h.looks = l
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	h.apps[tenantA] = []core.Application{app("App", "https://app.test/", func(a *core.Application) { a.Icon = "https://cdn.test/icon-%(theme)s.png" })}
	const source = `<picture><source media="(prefers-color-scheme: dark)" srcset="`
	for base, c := range map[string]struct{ logo, dark string }{"": {"light", "dark"}, "light": {"light", ""}, "dark": {"dark", ""}} {
		l.brand = core.Brand{ID: core.BrandID("of-" + base), Logo: "https://pictures.test/logo-%(theme)s.png", Attributes: map[string]any{"settings": map[string]any{"theme": map[string]any{"base": base}}}}
		page := b.get("/if/user/")
		for _, at := range []string{"https://pictures.test/logo-", "https://cdn.test/icon-"} {
			if !strings.Contains(page.body, `<img `) || !strings.Contains(page.body, at+c.logo+`.png"`) || strings.Contains(page.body, source+at+"dark.png") != (c.dark != "") || strings.Contains(page.body, "%(theme)") {
				t.Errorf("theme %q: %s in\n%s", base, at, page.body)
			}
		}
		if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "https://pictures.test") || !strings.Contains(policy, "https://cdn.test") {
			t.Errorf("theme %q: %s", base, policy)
		}
	}
}
