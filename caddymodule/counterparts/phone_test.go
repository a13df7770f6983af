package counterparts_test

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// narrow is the width of a small phone, in CSS pixels.
const narrow = 360

// fits fails the test where a page has to be moved sideways on a phone, where something is too small to be
// touched (WCAG 2.5.8), or where a field is so small that a phone enlarges the page.
func (c *chromium) fits(name string) {
	c.t.Helper()
	c.screenshot("phone-" + name)
	if wide := c.evaluate(`document.documentElement.scrollWidth`); wide > narrow {
		c.t.Errorf("%s is %.0f pixels wide on a phone of %d", name, wide, narrow)
	}
	const seen = `.filter(e => e.offsetParent && !e.classList.contains("away"))`
	if n := c.evaluate(`[...document.querySelectorAll("button, input:not([type=hidden])")]` + seen + `.filter(e => e.offsetHeight < 24 || e.offsetWidth < 24).length`); n > 0 {
		c.t.Errorf("%s: %.0f fields or buttons are too small to be touched", name, n)
	}
	if n := c.evaluate(`[...document.querySelectorAll("input:not([type=hidden])")]` + seen + `.filter(e => parseFloat(getComputedStyle(e).fontSize) < 16).length`); n > 0 {
		c.t.Errorf("%s: %.0f fields have small print", name, n)
	}
}

// From the set-up link to an application and out again on a phone whose browser runs no script: each step is a
// form, and fits.
func TestPhoneWithoutScript(t *testing.T) {
	counterpart(t, "POSTERN_TEST_CHROMIUM")
	p := startPostern(t, "AUTHENTIK_BOOTSTRAP_TOKEN="+bootstrapToken)
	ran(t, "caddy")
	p.tells(t, "First start: ")
	link := regexp.MustCompile(`(?m)^First start: .* at (\S+)$`).FindStringSubmatch(p.out.String())
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/red.svg" {
			w.Header().Set("Content-Type", "image/svg+xml")
			fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9" fill="red"/></svg>`)
			return
		}
		fmt.Fprintf(w, "arrived by %s with a code: %t", r.Method, r.FormValue("code") != "")
	}))
	defer client.Close()
	a := p.seedApplication(t, "wiki", client.URL+"/callback", `return {"policy": "readwrite"}`)
	consent := p.first(t, "/flows/instances/?slug=default-provider-authorization-explicit-consent")["pk"]
	p.api(t, http.MethodPatch, fmt.Sprintf("/providers/oauth2/%d/", a.provider), jsonText(t, map[string]any{"authorization_flow": consent}), http.StatusOK)
	ask := p.url() + "/application/o/authorize/?" + url.Values{
		"client_id": {a.clientID}, "redirect_uri": {a.redirect}, "response_type": {"code"}, "response_mode": {"form_post"},
		"scope": {"openid email profile"}, "state": {"s"},
	}.Encode()

	c := openChromium(t)
	c.do(chromedp.EmulateViewport(narrow, 740, chromedp.EmulateMobile))
	c.scripts(false)
	c.do(chromedp.Navigate(link[1]))
	c.fits("set-up")
	c.login("", bootstrapPassword)
	c.waitFor(`/if/user/`)
	c.shows("wiki")
	c.fits("applications")
	// A picture that cannot be loaded leaves the initials on their colour; one that can is alone.
	for icon, want := range map[string]bool{client.URL + "/broken": true, client.URL + "/red.svg": false, "": true} {
		p.api(t, http.MethodPatch, "/core/applications/wiki/", jsonText(t, map[string]any{"meta_icon": icon}), http.StatusOK)
		c.do(chromedp.Navigate(p.url() + "/if/user/"))
		eventually(t, fmt.Sprintf("with the icon %q initials are shown: %t", icon, want), func() bool { // once it was loaded, or was not
			got := c.colour(".tile[target] .icon")
			return (got == color.NRGBA{0xff, 0, 0, 0xff}) != want && got != color.NRGBA{0xff, 0xff, 0xff, 0xff} // of the tile
		})
	}

	c.do(chromedp.Navigate(ask))
	c.shows("Email address")
	c.fits("consent")
	c.press()
	c.shows("You are on your way to wiki")
	c.fits("form-post")
	c.press()
	c.shows("arrived by POST with a code: true")

	c.do(chromedp.Navigate(p.url() + "/if/user/"))
	c.press() // log out
	c.shows("logged out")
	c.fits("logged-out")
	c.do(chromedp.Navigate(p.url() + "/if/user/"))
	c.fits("login")
	c.login("akadmin", "not the password")
	c.fits("wrong-password")
	c.login("", bootstrapPassword)
	c.waitFor(`/if/user/`)
	c.do(chromedp.Navigate(p.url() + "/nothing/here/"))
	c.fits("nothing")

	// The control: with scripts the form of the answer sends itself, so none ran before; and what is wide is noticed.
	c.scripts(true)
	c.do(chromedp.Navigate(ask))
	c.shows("arrived by POST with a code: true")
	c.do(chromedp.Navigate("data:text/html,<meta name=viewport content='width=device-width'><div style='width:900px'>wide</div>"))
	if wide := c.evaluate(`document.documentElement.scrollWidth`); wide <= narrow {
		t.Errorf("control: a wide page has %.0f pixels", wide)
	}
}

// colour is the one that most of the middle of an element has.
func (c *chromium) colour(selector string) (most color.NRGBA) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		c.t.Fatal(err)
	}
	shown, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		c.t.Fatal(err)
	}
	edge := func(name string) int {
		return int(c.evaluate(`document.querySelector("` + selector + `").getBoundingClientRect().` + name + ` * devicePixelRatio`))
	}
	left, top, width, height := edge("left"), edge("top"), edge("width"), edge("height")
	seen := map[color.NRGBA]int{}
	for y := top + height/4; y < top+height*3/4; y++ {
		for x := left + width/4; x < left+width*3/4; x++ {
			one := color.NRGBAModel.Convert(shown.At(x, y)).(color.NRGBA)
			if seen[one]++; seen[one] > seen[most] {
				most = one
			}
		}
	}
	return most
}

// scripts switches the scripts of pages on or off; the test's own go on.
func (c *chromium) scripts(on bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
	if err != nil {
		c.t.Fatal(err)
	}
}
