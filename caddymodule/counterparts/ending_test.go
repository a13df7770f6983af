package counterparts_test

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// ended waits for the process and returns its exit code.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		t.Fatal("it does not end")
		return 0
	}
}

// L-03: SIGTERM. Readiness is 503 at once while requests are still served; what is under way ends
// well; then it exits with 0. Whatever was handed out until then is stored: after the
// next start every login, code and refresh token works.
func TestSIGTERM(t *testing.T) {
	g := newGuarded(t)
	p := startGuarded(t, g, t.TempDir(), "shutdown_delay 2s\n\tgrace_period 30s")
	c := newCrowd(t, p, "http://app.localhost:"+p.port)
	b := c.person()
	slow := make(chan string, 1)
	go func() {
		resp, err := c.oneShot(b).Get(c.app + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		slow <- fmt.Sprintf("%d %s %v", resp.StatusCode, body, err)
	}()
	<-g.began
	late := newBrowser(t)
	address, values := late.loginForm(p.url()+"/if/user/", "alice")
	client := c.oneShot(late)
	login := halves(t, client, address, p.url(), values)
	c.browse(b)
	c.trade(b)
	c.rotate(b)
	c.enter()
	eventually(t, "the crowd trades", func() bool { return c.refreshes.Load() >= 5 && c.codes.Load() >= 5 })

	ready := func() (int, error) {
		resp, err := client.Get(p.url() + "/-/health/ready/")
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	if status, err := ready(); status != http.StatusOK {
		t.Fatalf("control: before the signal, ready is %d, %v", status, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; {
		if time.Since(began) > time.Minute {
			t.Fatal("for a minute after the signal it is ready")
		}
		status, err := ready()
		if err != nil {
			t.Fatalf("the listener closed before readiness said 503: %v", err)
		}
		if status == http.StatusServiceUnavailable {
			break
		}
	}
	pages := c.pages.Load()
	if resp, err := client.Get(c.app + "/fast"); err != nil {
		t.Errorf("not ready, and a request fails: %v", err)
	} else {
		resp.Body.Close()
	}
	c.ending.Store(true)
	c.wg.Wait() // each met the end of the listener
	t.Logf("%s; %d pages after readiness was 503", c.tell(), c.pages.Load()-pages)

	resp := login()
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound && resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the login under way: %s", resp.Status)
	}
	g.let()
	if got := <-slow; got != "200 for alice <nil>" {
		t.Errorf("the request under way ended with %s", got)
	}
	if code := p.ended(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.start(t)
	if page := late.open(p.url() + "/if/user/"); page.status != http.StatusOK || len(page.forms) > 0 && page.forms[0].password != "" {
		t.Errorf("the login that ended during the shutdown is not stored: %d at %s", page.status, page.url)
	}
	c.inside()
}

// L-09 through the real binary: kill -9 under load. What was handed out works after the next start.
func TestKilledUnderLoad(t *testing.T) {
	g := newGuarded(t)
	p := startGuarded(t, g, t.TempDir(), "")
	c := newCrowd(t, p, "http://app.localhost:"+p.port)
	b := c.person()
	for range times(t, "POSTERN_TEST_KILLS", 5) {
		c.ending.Store(false)
		c.refresh, c.unused, c.stop = nil, nil, make(chan struct{})
		if len(c.people) > 20 {
			c.people = c.people[:1]
		}
		c.trade(b)
		c.rotate(b)
		c.enter()
		seen := c.refreshes.Load()
		eventually(t, "the crowd trades", func() bool { return c.refreshes.Load() >= seen+3 })
		c.ending.Store(true)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.wg.Wait()
		<-p.done
		p.start(t)
		// The newest refresh token of a client whose answer was cut off may be spent: the next start must
		// then give the same answer again for a moment, and it does (RotateRefresh's grace).
		c.inside()
	}
	t.Log(c.tell())
}
