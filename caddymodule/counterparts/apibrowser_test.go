package counterparts_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// An administrator looks for an operation in a browser, reads what it takes and
// sends it; on a desktop and on a phone, with scripts switched off by our policy.
func TestAPIBrowser(t *testing.T) {
	counterpart(t, "POSTERN_TEST_CHROMIUM")
	p := startPostern(t, bootstrapped()...)
	ran(t, "caddy")
	p.addGroup(t, "Friends & <b>Family</b>")

	c := openChromium(t)
	c.do(chromedp.Navigate(p.url() + "/api/v3/"))
	c.shows("REST API")
	c.screenshot("index")
	c.do(chromedp.Click(chromedp.CSS(`nav a[href*="next="]`)))
	c.login("akadmin", bootstrapPassword)
	c.waitFor(`/api/v3/$`) // back where the reader came from
	c.shows("Admin")

	c.do(chromedp.SendKeys(chromedp.CSS(`input[type=search]`), "group"))
	c.press()
	c.waitFor(`search=group`)
	c.shows("match “group”")
	if strings.Contains(c.text(), "/root/config/") {
		t.Error("the search finds what it should not")
	}
	c.screenshot("search")
	c.do(chromedp.Click(chromedp.CSS(`a[href="/api/v3/?operation=core_groups_list"]`)))
	c.shows("members_by_username")
	c.screenshot("operation")
	c.do(chromedp.SendKeys(chromedp.CSS(`#p-search`), "friends"))
	c.do(chromedp.Click(chromedp.CSS(`form.try button`)))
	c.waitFor(`send=true`)
	c.shows("Friends & <b>Family</b>")
	c.shows("200 OK")
	c.screenshot("result")
	c.do(chromedp.Navigate(p.url() + "/api/v3/?operation=providers_oauth2_create"))
	c.shows("OAuth2ProviderRequest")
	c.screenshot("body")

	c.do(chromedp.EmulateViewport(390, 844))
	for name, query := range map[string]string{
		"phone-index": "", "phone-operation": "?operation=providers_oauth2_create", "phone-nothing": "?search=tenantless",
		"phone-result": "?operation=core_groups_list&send=true",
	} {
		c.do(chromedp.Navigate(p.url() + "/api/v3/" + query))
		c.shows("REST API")
		if wide := c.evaluate(`document.documentElement.scrollWidth - window.innerWidth`); wide > 0 {
			t.Errorf("%s is %.0f pixels wider than a phone", name, wide)
		}
		c.screenshot(name)
	}
	// By keyboard: the first stop skips the head line, and every control has a name.
	if n := c.evaluate(`[...document.querySelectorAll("a,button,input:not([type=hidden]),select")].filter(e => !(e.textContent.trim() || e.labels?.length || e.getAttribute("aria-label"))).length`); n > 0 {
		t.Errorf("%.0f controls have no name", n)
	}
	if n := c.evaluate(`document.querySelectorAll("h1").length`); n != 1 {
		t.Errorf("the page has %.0f first headings", n)
	}
}
