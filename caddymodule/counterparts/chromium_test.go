package counterparts_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromium is a real browser with an empty profile.
type chromium struct {
	t   *testing.T
	ctx context.Context
}

func openChromium(t *testing.T) *chromium {
	t.Helper()
	program := counterpart(t, "POSTERN_TEST_CHROMIUM")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1200, 900), chromedp.WSURLReadTimeout(60*time.Second))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	c := &chromium{t: t, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			c.screenshot("failed")
		}
		cancel()
		stop()
	})
	// The browser lives as long as the context of the first call: no time limit on it.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	ran(t, "chromium")
	return c
}

func (c *chromium) do(actions ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 45*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		c.t.Fatalf("%v, at %s:\n%s", err, c.location(), tail(c.text(), 1500))
	}
}

// login fills in the form that is shown and presses its first button.
func (c *chromium) login(user, password string) {
	c.t.Helper()
	c.do(chromedp.WaitVisible(chromedp.CSS(`input[type=password]`)))
	if user != "" {
		c.do(chromedp.SendKeys(chromedp.CSS(`form input:not([type=hidden]):not([type=password])`), user))
	}
	c.do(chromedp.SendKeys(chromedp.CSS(`form input[type=password]`), password))
	c.press()
}

// press clicks the first submit button and waits for the next page.
func (c *chromium) press() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 45*time.Second)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(`form button[type=submit], form input[type=submit], form button:not([type])`)))
	if err != nil {
		c.t.Fatal(err)
	}
}

// waitFor waits until the address matches.
func (c *chromium) waitFor(address string) {
	c.t.Helper()
	want := regexp.MustCompile(address)
	deadline := time.Now().Add(time.Minute)
	for !want.MatchString(c.location()) {
		if time.Now().After(deadline) {
			c.t.Fatalf("the browser is at %s, want %s\n%s", c.location(), address, tail(c.text(), 1500))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// shows waits until the page has a text.
func (c *chromium) shows(text string) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(c.text(), text) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s does not show %q:\n%s", c.location(), text, tail(c.text(), 1500))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *chromium) location() string {
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	s, _ := chromedp.Run(ctx, chromedp.Location())
	return s
}

func (c *chromium) text() string {
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	s, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	return s
}

// evaluate works out a number in the page, for the tests' own eyes.
func (c *chromium) evaluate(script string) float64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	n, err := chromedp.Run(ctx, chromedp.Evaluate[float64](script))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// screenshot keeps a picture where POSTERN_TEST_SCREENSHOTS names a directory.
func (c *chromium) screenshot(name string) {
	dir := os.Getenv("POSTERN_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		c.t.Logf("screenshot: %v", err)
		return
	}
	file := filepath.Join(dir, strings.ReplaceAll(c.t.Name(), "/", "-")+"-"+name+".png")
	if err := os.WriteFile(file, png, 0o600); err != nil {
		c.t.Log(err)
	}
}
