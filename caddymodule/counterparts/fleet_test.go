package counterparts_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/postern-sso/postern/caddymodule/porttest"
	"github.com/postern-sso/postern/core"
)

const fleetSecret = "one secret for every node of the fleet, long enough"

// newDatabase makes an empty database on the server of make test, and gives its URL.
func newDatabase(t testing.TB) *url.URL {
	t.Helper()
	base := os.Getenv("POSTERN_TEST_POSTGRES")
	if base == "" {
		t.Skip("POSTERN_TEST_POSTGRES is not set: make test sets it")
	}
	return createDatabase(t, base)
}

func createDatabase(t testing.TB, base string) *url.URL {
	t.Helper()
	db, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	name := "postern_fleet_" + strings.ToLower(core.RandomAlphanumeric(12))
	if _, err := db.Exec(`CREATE DATABASE ` + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(`DROP DATABASE ` + name + ` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
		db.Close()
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u
}

// fleet is nodes that share a database: all at one host and port, each at an address
// of its own, as behind a load balancer.
type fleet struct {
	port     string
	upstream string // an application; it says for whom it is, and echoes on a websocket
	nodes    []*fleetNode
}

type fleetNode struct {
	*postern
	address string
	fleet   *fleet
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprintf(w, "for %s", r.Header.Get("X-authentik-username"))
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
		_, _ = io.Copy(conn, rw)
	}))
	t.Cleanup(upstream.Close)
	return &fleet{port: porttest.Free(t), upstream: upstream.URL}
}

// add starts a node. options are more lines of its postern block, guard those of its
// postern_auth.
func (f *fleet) add(t *testing.T, database *url.URL, options, guard string) *fleetNode {
	t.Helper()
	n := &fleetNode{fleet: f, address: fmt.Sprintf("127.0.0.%d", len(f.nodes)+1)}
	n.postern = &postern{port: f.port, admin: porttest.Free(t), data: t.TempDir()}
	n.caddyfile = filepath.Join(t.TempDir(), "Caddyfile")
	config := fmt.Sprintf(`{
	admin localhost:%s
	postern {
		data %s
		database %s
		secret {env.FLEET_SECRET}
		%s
	}
}

http://app.localhost:%s {
	bind %s
	postern_auth {
		%s
	}
	reverse_proxy %s
}

http://:%[5]s {
	bind %[6]s
	postern
}
`, n.admin, n.data, database, options, f.port, n.address, guard, f.upstream)
	if err := os.WriteFile(n.caddyfile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n.env = append(bootstrapped(), "FLEET_SECRET="+fleetSecret, "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	f.nodes = append(f.nodes, n)
	n.begin(t)
	return n
}

func (n *fleetNode) begin(t *testing.T) {
	t.Helper()
	n.process = run(t, n.env, counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", n.caddyfile, "--adapter", "caddyfile")
	n.answers(t, n.at("/-/health/ready/"), http.StatusOK)
}

func (n *fleetNode) at(path string) string { return "http://" + n.address + ":" + n.port + path }

// get asks the node for a path of the portal's host.
func (n *fleetNode) get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.at(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "localhost:" + n.port
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp
}

func (n *fleetNode) status(t *testing.T, path string, header ...string) int {
	t.Helper()
	return n.get(t, path, header...).StatusCode
}

// app is the address of the guarded application, on every node.
func (f *fleet) app() string { return "http://app.localhost:" + f.port }

// person is a browser whose requests a test sends to one node or another.
type person struct {
	*browser
	node *fleetNode
}

func (f *fleet) person(t testing.TB) *person {
	p := &person{browser: newBrowser(t), node: f.nodes[0]}
	transport := p.client.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(p.node.address, f.port))
	}
	return p
}

// let reports whether a node lets the person through to the application.
func (p *person) let(n *fleetNode) (bool, int) {
	p.t.Helper()
	p.node = n
	req, _ := http.NewRequest(http.MethodGet, n.fleet.app()+"/", nil)
	req.Header.Set("Accept", "application/json") // so that a refusal is one, and no way to the login
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode == http.StatusOK && strings.HasPrefix(string(body), "for "), resp.StatusCode
}

// socket opens a websocket through a node.
func (p *person) socket(n *fleetNode) (net.Conn, *bufio.Reader) {
	p.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(n.address, n.port))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	address, _ := url.Parse(n.fleet.app() + "/")
	req, _ := http.NewRequest(http.MethodGet, n.fleet.app()+"/ws", nil)
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	for _, c := range p.client.Jar.Cookies(address) {
		req.AddCookie(c)
	}
	if err := req.Write(conn); err != nil {
		p.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("upgrade: %v %v", resp, err)
	}
	return conn, r
}

// soon is far more than the second in which nodes hear of each other: a machine that has other things to do is given
// that, an interval of a dozen seconds is not.
const soon = 10 * time.Second

// eventually waits until something holds, and returns how long that took.
func eventually(t *testing.T, what string, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > time.Minute {
			t.Fatalf("after a minute, %s does not hold", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began).Round(time.Millisecond)
}
