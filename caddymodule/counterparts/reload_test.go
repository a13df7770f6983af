package counterparts_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// times is how often a test does something: the number that a variable gives, or so many
// as a build has time for.
func times(t *testing.T, variable string, few int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// guarded is an application: pages that say for whom they are, one that is slow, a websocket that
// echoes.
type guarded struct {
	*httptest.Server
	began   chan struct{}
	release chan struct{}
	once    sync.Once
}

func newGuarded(t *testing.T) *guarded {
	g := &guarded{began: make(chan struct{}, 1), release: make(chan struct{})}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			_ = rw.Flush()
			_, _ = io.Copy(conn, rw)
			return
		}
		if r.URL.Path == "/slow" {
			g.began <- struct{}{}
			<-g.release
		}
		fmt.Fprintf(w, "for %s", r.Header.Get("X-authentik-username"))
	}))
	t.Cleanup(g.Close)
	t.Cleanup(g.let) // else a test that failed before would wait for ever
	return g
}

// let lets the slow page go on.
func (g *guarded) let() { g.once.Do(func() { close(g.release) }) }

// startGuarded runs the real binary with one guarded site and global options of the test's.
func startGuarded(t *testing.T, g *guarded, data, options string) *postern {
	t.Helper()
	p := &postern{port: porttest.Free(t), admin: porttest.Free(t), data: data}
	p.caddyfile = filepath.Join(t.TempDir(), "Caddyfile")
	// Without keepalive: the connections that Caddy keeps to an application outlive its reloads by two
	// minutes, and would be counted as leaks.
	config := fmt.Sprintf("{\n\tadmin localhost:%s\n\t%s\n\tpostern {\n\t\tdata %s\n\t}\n}\n\n"+
		"http://app.localhost:%s {\n\tpostern_auth\n\treverse_proxy %s {\n\t\tstream_close_delay 1h\n\t\ttransport http {\n\t\t\tkeepalive off\n\t\t}\n\t}\n}\n\nhttp://:%s {\n\tpostern\n}\n",
		p.admin, options, p.data, p.port, g.URL, p.port)
	if err := os.WriteFile(p.caddyfile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(bootstrapped(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	p.start(t)
	ran(t, "caddy")
	return p
}

// load gives the running server a configuration, as `caddy reload` does, without a process for it.
func (p *postern) load(t testing.TB, i int) {
	t.Helper()
	config, err := os.ReadFile(p.caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(config), "postern_auth\n", fmt.Sprintf("postern_auth\n\theader X-Load %d\n", i), 1)
	resp, err := http.Post("http://localhost:"+p.admin+"/load", "text/caddyfile", strings.NewReader(changed))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("load %d: %s %s", i, resp.Status, body)
	}
}

// socket opens a websocket through the guard; what it returns sends a word and expects it back.
func (b *browser) socket(p *postern) (echo func(word string) error, end func()) {
	b.t.Helper()
	var conn net.Conn
	var r *bufio.Reader
	var resp *http.Response
	var err error
	for range 5 { // as patient does
		if conn, err = net.Dial("tcp", "127.0.0.1:"+p.port); err != nil {
			b.t.Fatal(err)
		}
		req, _ := http.NewRequest(http.MethodGet, "http://app.localhost:"+p.port+"/ws", nil)
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Sec-WebSocket-Version", "13")
		req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		for _, c := range b.client.Jar.Cookies(req.URL) {
			req.AddCookie(c)
		}
		r = bufio.NewReader(conn)
		if err = req.Write(conn); err == nil {
			resp, err = http.ReadResponse(r, req)
		}
		if err == nil {
			break
		}
		conn.Close()
	}
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.t.Fatalf("upgrade: %v %v", resp, err)
	}
	return func(word string) error {
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, word); err != nil {
			return err
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != word {
			return fmt.Errorf("echo of %q: %q %w", word, got, err)
		}
		return nil
	}, func() { conn.Close() }
}

// halves sends a form's first half at once and the rest when it is told to.
func halves(t *testing.T, client *http.Client, address, origin string, form url.Values) (finish func() *http.Response) {
	t.Helper()
	text := form.Encode()
	body, half := io.Pipe()
	type answer struct {
		resp *http.Response
		err  error
	}
	sent := make(chan answer, 1)
	req, err := http.NewRequest(http.MethodPost, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(text))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", origin)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	go func() {
		resp, err := client.Do(req)
		sent <- answer{resp, err}
	}()
	if _, err := io.WriteString(half, text[:len(text)/2]); err != nil {
		t.Fatal(err)
	}
	return func() *http.Response {
		t.Helper()
		if _, err := io.WriteString(half, text[len(text)/2:]); err != nil {
			t.Fatal(err)
		}
		half.Close()
		a := <-sent
		if a.err != nil {
			t.Fatal(a.err)
		}
		return a.resp
	}
}

// loginForm opens a login form, fills it in and gives its address and values.
func (b *browser) loginForm(address, user string) (string, url.Values) {
	b.t.Helper()
	page := b.open(address)
	if len(page.forms) == 0 {
		b.t.Fatalf("no login form: %d %s", page.status, tail(page.body, 500))
	}
	f := page.forms[0]
	f.values.Set(f.text, user)
	f.values.Set(f.password, password(user))
	action, err := page.url.Parse(f.action)
	if err != nil {
		b.t.Fatal(err)
	}
	return action.String(), f.values
}

// L-01: while the configuration is loaded a hundred times, no request fails and nobody is logged
// out; what spans the reloads ends as it would have: a slow page, a login that takes its
// time, a token exchange, an open websocket.
func TestReloadUnderLoad(t *testing.T) {
	g := newGuarded(t)
	p := startGuarded(t, g, t.TempDir(), "")
	app := "http://app.localhost:" + p.port
	c := newCrowd(t, p, app)
	b := c.person()

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
	<-g.began
	echo, end := b.socket(p)
	defer end()
	if err := echo("before"); err != nil {
		t.Fatal(err)
	}
	other := newBrowser(t)
	address, values := other.loginForm(app+"/deep?x=1", "alice")
	login := halves(t, other.client, address, p.url(), values)
	client := c.oneShot(b)
	code, err := c.code(client)
	if err != nil {
		t.Fatal(err)
	}
	form := traded(code)
	form.Set("client_id", c.op.clientID)
	form.Set("client_secret", c.op.secret)
	exchange := halves(t, client, p.url()+"/application/o/token/", "", form)

	c.browse(b)
	c.browse(b)
	c.trade(b)
	c.rotate(b)
	c.enter()
	n := times(t, "POSTERN_TEST_RELOADS", 100)
	done := 0
	for i := 0; i < n || c.logins.Load() < 3 && i < 10*n; i++ {
		pages, refreshes := c.pages.Load(), c.refreshes.Load()
		p.load(t, i)
		for deadline := time.Now().Add(time.Minute); c.pages.Load() < pages+5 || c.refreshes.Load() <= refreshes; {
			if time.Now().After(deadline) || t.Failed() {
				t.Fatalf("after %d reloads nothing goes through any more", i+1)
			}
			time.Sleep(time.Millisecond)
		}
		done++
		if i == n/4 {
			if tok, err := readToken(exchange()); err != nil {
				t.Errorf("the token exchange: %v", err)
			} else {
				c.mu.Lock()
				c.refresh = append(c.refresh, tok.RefreshToken)
				c.mu.Unlock()
			}
		}
		if err := echo(fmt.Sprint("word ", i)); err != nil {
			t.Fatalf("the websocket after %d reloads: %v", i+1, err)
		}
	}
	c.end()
	t.Logf("%d reloads: %s", done, c.tell())
	for what, count := range map[string]int64{"pages": c.pages.Load(), "logins": c.logins.Load(), "codes": c.codes.Load(), "refreshes": c.refreshes.Load()} {
		if count < 3 {
			t.Errorf("only %d %s went through", count, what)
		}
	}
	g.let()
	if got := <-slow; got != "200 for alice <nil>" {
		t.Errorf("the request under way ended with %s", got)
	}
	resp := login()
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "for alice" || resp.Request.URL.String() != app+"/deep?x=1" {
		t.Errorf("the login ended at %s: %d %s %v", resp.Request.URL, resp.StatusCode, tail(string(body), 500), err)
	}
	c.inside()
}
