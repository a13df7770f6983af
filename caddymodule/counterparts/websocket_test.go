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
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// F-22, T-26: through the real proxy, a websocket of a person who is deactivated is
// closed, from the application's side and from the browser's.
func TestWebsocketOfDeactivatedUser(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "page")
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw) // echo
	}))
	defer upstream.Close()
	p := &postern{port: porttest.Free(t), admin: porttest.Free(t), data: t.TempDir()}
	p.caddyfile = filepath.Join(t.TempDir(), "Caddyfile")
	config := fmt.Sprintf("{\n\tadmin localhost:%s\n\tpostern {\n\t\tdata %s\n\t}\n}\n\nhttp://app.localhost:%s {\n\tpostern_auth\n\treverse_proxy %s\n}\n\nhttp://:%s {\n\tpostern\n}\n",
		p.admin, p.data, p.port, upstream.URL, p.port)
	if err := os.WriteFile(p.caddyfile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(bootstrapped(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	p.start(t)
	alice := p.addUser(t, "alice")
	b := newBrowser(t)
	app := "http://app.localhost:" + p.port
	if page := b.login(app+"/", "alice"); page.body != "page" {
		t.Fatalf("logged in, the page is %d %q", page.status, page.body)
	}
	address, _ := url.Parse(app + "/")
	open := func() (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		req, _ := http.NewRequest(http.MethodGet, app+"/ws", nil)
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Sec-WebSocket-Version", "13")
		req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		for _, c := range b.client.Jar.Cookies(address) {
			req.AddCookie(c)
		}
		if err := req.Write(conn); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, req)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("upgrade: %v %v", resp, err)
		}
		return conn, r
	}
	conn, r := open()
	echo := make([]byte, 4)
	fmt.Fprint(conn, "ping")
	if _, err := io.ReadFull(r, echo); err != nil || string(echo) != "ping" {
		t.Fatalf("echo: %q %v", echo, err)
	}
	p.api(t, http.MethodPatch, "/core/users/"+alice+"/", `{"is_active": false}`, http.StatusOK)
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(15 * time.Second))
	if _, err := r.ReadByte(); err == nil || time.Since(began) > 14*time.Second {
		t.Fatalf("the websocket stayed open (%v)", err)
	}
	t.Logf("closed after %v", time.Since(began).Round(time.Millisecond))
}
