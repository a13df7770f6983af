package counterparts_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// L-01: while the configuration is reloaded again and again, no request of a
// person with a login fails, one that is under way when the reload comes ends as it
// would have, and a login form that is being sent is taken.
func TestReloadUnderLoad(t *testing.T) {
	began, release := make(chan struct{}, 1), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			began <- struct{}{}
			<-release
		}
		fmt.Fprintf(w, "for %s", r.Header.Get("X-authentik-username"))
	}))
	defer upstream.Close()

	p := &postern{port: freePort(t), admin: freePort(t), data: t.TempDir()}
	p.caddyfile = filepath.Join(t.TempDir(), "Caddyfile")
	config := fmt.Sprintf(`{
	admin localhost:%s
	postern {
		data %s
	}
}

http://app.localhost:%s {
	postern_auth
	reverse_proxy %s
}

http://:%s {
	postern
}
`, p.admin, p.data, p.port, upstream.URL, p.port)
	if err := os.WriteFile(p.caddyfile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(bootstrapped(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	p.start(t)
	ran(t, "caddy")
	p.addUser(t, "alice")
	app := "http://app.localhost:" + p.port
	b := newBrowser(t)
	if page := b.login(app+"/", "alice"); page.body != "for alice" {
		t.Fatalf("logged in, the page is %d %q", page.status, page.body)
	}

	// A request that is under way.
	slow := make(chan string, 1)
	go func() {
		resp, err := b.client.Get(app + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		slow <- fmt.Sprintf("%d %s %v", resp.StatusCode, body, err)
	}()
	<-began

	// A login whose form is sent in two halves, the second after the reloads.
	other := newBrowser(t)
	form := other.open(app + "/deep?x=1")
	if len(form.forms) == 0 {
		t.Fatalf("no login form: %d %s", form.status, tail(form.body, 500))
	}
	values := form.forms[0].values
	values.Set(form.forms[0].text, "alice")
	values.Set(form.forms[0].password, password("alice"))
	text := values.Encode()
	body, half := io.Pipe()
	sent := make(chan *page, 1)
	action, _ := url.Parse(form.forms[0].action)
	go func() {
		req, _ := http.NewRequest(http.MethodPost, form.url.ResolveReference(action).String(), body)
		req.ContentLength = int64(len(text))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", p.url())
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		sent <- other.do(req)
	}()
	if _, err := io.WriteString(half, text[:len(text)/2]); err != nil {
		t.Fatal(err)
	}

	// Many requests, all the time.
	stop := make(chan struct{})
	var requests atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := b.client.Get(app + "/fast")
				if err != nil {
					t.Errorf("request %d: %v", requests.Load(), err)
					return
				}
				got, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || string(got) != "for alice" {
					t.Errorf("request %d: %s %q", requests.Load(), resp.Status, tail(string(got), 300))
					return
				}
				requests.Add(1)
			}
		})
	}
	for i := range 10 {
		changed := strings.Replace(config, "postern_auth\n", fmt.Sprintf("postern_auth\n\theader X-Load %d\n", i), 1)
		if err := os.WriteFile(p.caddyfile, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		p.reload(t)
		time.Sleep(50 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	if n := requests.Load(); n < 100 {
		t.Errorf("only %d requests went through", n)
	}
	close(release)
	if got := <-slow; got != "200 for alice <nil>" {
		t.Errorf("the request under way ended with %s", got)
	}
	if _, err := io.WriteString(half, text[len(text)/2:]); err != nil {
		t.Error(err)
	}
	half.Close()
	if page := <-sent; page.body != "for alice" || page.url.String() != app+"/deep?x=1" {
		t.Errorf("the login ended at %s: %d %s", page.url, page.status, tail(page.body, 500))
	}
}
