package counterparts_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// contrast works out how well the text of the worst of some elements can be read, by WCAG 2.2:
// of its colour, on the first ground behind it that is not transparent.
const contrast = `(() => {
	const light = c => { const [r, g, b] = c.match(/[\d.]+/g).map(Number).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
	const clear = c => /, 0\)$|^transparent$/.test(c);
	const ratio = e => {
		let ground = e;
		while (ground && clear(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
		const [a, b] = [getComputedStyle(e).color, ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)"].map(light);
		return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
	};
	const all = [...document.querySelectorAll(%q)].filter(e => e.offsetParent);
	return all.length ? Math.min(...all.map(ratio)) : 0;
})()`

// readable fails the test where the text of an element that there must be is hard to read.
func (c *chromium) readable(name, selector string) {
	c.t.Helper()
	if got := c.evaluate(fmt.Sprintf(contrast, selector)); got < 4.5 {
		c.t.Errorf("%s: the contrast of %s is %.2f", name, selector, got)
	}
}

// scheme is what the system of whoever looks prefers: "light" or "dark".
func (c *chromium) scheme(prefers string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			// And no transition, in whose midst a colour would be read.
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: prefers}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
	if err != nil {
		c.t.Fatal(err)
	}
}

// A host's brand is on all its pages: in the light, in the dark and on a phone, and a colour that
// nobody could read becomes one that is read. Another host of the same tenant has its own.
func TestBrandInTheBrowser(t *testing.T) {
	counterpart(t, "POSTERN_TEST_CHROMIUM")
	p := startPostern(t, bootstrapped()...)
	ran(t, "caddy")
	a := p.seedApplication(t, "wiki", p.url()+"/nowhere", `return {}`)
	consent := p.first(t, "/flows/instances/?slug=default-provider-authorization-explicit-consent")["pk"]
	p.api(t, http.MethodPatch, fmt.Sprintf("/providers/oauth2/%d/", a.provider), jsonText(t, map[string]any{"authorization_flow": consent}), http.StatusOK)
	p.api(t, http.MethodPost, "/core/brands/", jsonText(t, map[string]any{
		"domain": "auth.localhost", "branding_title": "Sunflower Ltd", "branding_logo": "/-/static/favicon.svg",
		"branding_custom_css": ".card { border-top: 6px solid rgb(1, 2, 3) }",
		"attributes":          map[string]any{"settings": map[string]any{"theme": map[string]any{"primary": "#ffe14d"}}},
	}), http.StatusCreated)
	p.api(t, http.MethodPatch, "/admin/settings/", jsonText(t, map[string]any{"footer_links": []any{
		map[string]any{"name": "Imprint", "href": "https://example.com/imprint"}, map[string]any{"name": "Privacy", "href": "/privacy"},
	}}), http.StatusOK)
	at := "http://auth.localhost:" + p.port

	c := openChromium(t)
	looks := func(name string, link string) {
		t.Helper()
		c.shows("Sunflower Ltd")
		c.shows("Imprint")
		for _, size := range []int64{1200, narrow} {
			c.do(chromedp.EmulateViewport(size, 760))
			for _, prefers := range []string{"light", "dark"} {
				c.scheme(prefers)
				what := fmt.Sprintf("brand-%s-%d-%s", name, size, prefers)
				c.screenshot(what)
				c.readable(what, "h1, .links a, .brand span, label, p")
				if link != "" {
					c.readable(what, link)
				}
			}
		}
		c.fits("brand-" + name)
		c.do(chromedp.EmulateViewport(1200, 760))
	}
	c.do(chromedp.Navigate(at + "/if/user/"))
	looks("login", "button[type=submit]")
	if edge := c.evaluate(`parseFloat(getComputedStyle(document.querySelector(".card")).borderTopWidth)`); edge != 6 {
		t.Errorf("the brand's stylesheet does not count: %f", edge)
	}
	if loud := c.evaluate(`getComputedStyle(document.querySelector("button[type=submit]")).backgroundColor === "rgb(255, 225, 77)" ? 1 : 0`); loud != 1 {
		t.Error("the button is not of the brand's colour")
	}
	c.login("akadmin", bootstrapPassword)
	c.waitFor(`/if/user/`)
	looks("applications", "nav a")
	c.do(chromedp.Navigate(at + "/application/o/authorize/?client_id=" + a.clientID + "&response_type=code&scope=openid+email&redirect_uri=" + a.redirect))
	c.shows("wiki")
	looks("consent", "button[type=submit]")
	c.do(chromedp.Navigate(at + "/nothing/"))
	looks("nothing", "")

	// Controls: the tenant's other host has none of it but the links, and what is hard to read is noticed.
	c.do(chromedp.Navigate(p.url() + "/if/user/"))
	c.shows("Postern")
	c.shows("Imprint")
	c.do(chromedp.Navigate(`data:text/html,<body style="background:white"><p style="color:%23ffe14d">hard to read`))
	if got := c.evaluate(fmt.Sprintf(contrast, "p")); got == 0 || got > 2 {
		t.Errorf("control: yellow on white has a contrast of %.2f", got)
	}
}
