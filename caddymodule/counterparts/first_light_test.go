package counterparts_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A person starts Postern for the first time: the set-up link, a guarded page by
// its deep link, a restart, and a reload while the login form is open.
func TestFirstLight(t *testing.T) {
	counterpart(t, "POSTERN_TEST_CHROMIUM")
	p := startPostern(t)
	ran(t, "caddy")
	p.tells(t, "First start: ")
	link := regexp.MustCompile(`(?m)^First start: set the administrator's password at (\S+)$`).FindStringSubmatch(p.out.String())
	if link == nil {
		t.Fatalf("no set-up link in:\n%s", p.out)
	}
	if want := p.url() + "/if/flow/initial-setup/?token="; !strings.HasPrefix(link[1], want) {
		t.Fatalf("the link is %s, want %s…", link[1], want)
	}

	c := openChromium(t)
	c.do(chromedp.Navigate(link[1]))
	c.screenshot("setup")
	c.login("", bootstrapPassword)
	c.waitFor(`/if/user/`)
	c.screenshot("applications")

	// The guarded page, by a deep link, in the same browser: no second login.
	deep := "http://app.localhost:" + p.port + "/reports/2026?month=11&sort=a%20b"
	c.do(chromedp.Navigate(deep))
	c.shows("akadmin")
	if got := c.location(); got != deep {
		t.Errorf("the deep link became %s", got)
	}
	c.screenshot("guarded")

	// Stopped and started again: still logged in, and no new set-up link.
	p.stop(t)
	p.start(t)
	c.do(chromedp.Navigate(deep))
	c.shows("akadmin")
	if strings.Contains(p.out.String(), "First start:") {
		t.Error("the second start prints a set-up link")
	}

	// Another person opens the guarded page; the server is reloaded while the
	// login form is open; the form still works and leads to the deep link.
	other := openChromium(t)
	other.do(chromedp.Navigate(deep))
	other.do(chromedp.WaitVisible(chromedp.CSS(`input[type=password]`)))
	other.screenshot("login")
	p.reload(t)
	other.login("akadmin", "not the password")
	other.screenshot("wrong-password")
	other.login("", bootstrapPassword)
	other.shows("akadmin")
	if got := other.location(); got != deep {
		t.Errorf("the deep link became %s", got)
	}
	c.do(chromedp.Reload())
	c.shows("akadmin")
}
