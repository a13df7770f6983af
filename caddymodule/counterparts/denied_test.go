package counterparts_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Somebody whom a policy refuses is told so in a browser, in the policy's own words and
// with a decision that the administrator can look up; logging in as somebody else, from there,
// leads on to the application.
func TestRefusedInTheBrowser(t *testing.T) {
	counterpart(t, "POSTERN_TEST_CHROMIUM")
	p := startPostern(t, bootstrapped()...)
	p.addUser(t, "alice")
	p.addUser(t, "bob", p.addGroup(t, "staff"))
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("arrived")) }))
	t.Cleanup(client.Close)
	a := p.seedApplication(t, "wiki", client.URL+"/callback", "return {}")
	rule := p.api(t, http.MethodPost, "/policies/expression/", jsonText(t, map[string]any{
		"name": "staff only", "expression": "ak_message(\"Carol, room 12, lets people in.\")\nreturn ak_is_group_member(request.user, name=\"staff\")",
	}), http.StatusCreated)
	p.api(t, http.MethodPost, "/policies/bindings/", jsonText(t, map[string]any{
		"target": p.api(t, http.MethodGet, "/core/applications/wiki/", "", http.StatusOK)["pk"], "policy": rule["pk"], "order": 0,
	}), http.StatusCreated)

	c := openChromium(t)
	c.do(chromedp.Navigate(p.url() + "/application/o/authorize/?" + url.Values{
		"client_id": {a.clientID}, "redirect_uri": {a.redirect}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
	}.Encode()))
	c.login("alice", password("alice"))
	c.shows("Carol, room 12, lets people in.")
	c.shows("alice")
	c.screenshot("denied")
	c.do(chromedp.EmulateViewport(390, 800, chromedp.EmulateMobile))
	if wide := c.evaluate("document.documentElement.scrollWidth"); wide > 390 {
		t.Errorf("the page is %v pixels wide on a phone of 390", wide)
	}
	c.screenshot("denied-phone")
	decision := regexp.MustCompile(`this decision: (\w+)`).FindStringSubmatch(c.text())
	if decision == nil {
		t.Fatalf("no decision on the page:\n%s", c.text())
	}
	if why := p.online(t, "explain", decision[1]); !strings.Contains(why, "staff only") || !strings.Contains(why, "alice") {
		t.Errorf("explain: %s", why)
	}
	c.press() // log in as somebody else
	c.login("bob", password("bob"))
	c.waitFor("^" + regexp.QuoteMeta(a.redirect) + `\?code=`)
	c.shows("arrived")
}
