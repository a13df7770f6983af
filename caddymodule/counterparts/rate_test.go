package counterparts_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// BenchmarkRate measures requests a second over sockets, as an application's users
// make them: sixteen connections that are kept open, one request at a time on each. The
// ceiling is the same binary with one `respond` and without Postern; each target is
// measured in turn, over and over in slices, so that what else the machine does hits all
// alike. The figure is each target's median slice, and beside it the server's processor time for a
// request, which leaves out what the clients take. A guarded request carries cookies: what reading
// them takes is told apart by those that the guard does not see, "carrying". Caddy tries the sites by
// the length of their names, and each that it tries costs something: so both are measured at a site
// before the guarded one and at one after it, and the guarded one is compared with their mean.
//
// Then requests one at a time, with and without the guard by turns: what it adds to the time that a
// browser waits, at the median and at the 99th percentile, each the median of the rounds'.
func BenchmarkRate(b *testing.B) {
	needBinary(b)
	const sites = `
http://unguarded.localhost:{$POSTERN_PORT} {
	respond hello
}
http://app.localhost:{$POSTERN_PORT} {
	postern_auth
	respond hello
}
http://a.localhost:{$POSTERN_PORT} {
	respond hello
}
http://:{$POSTERN_PORT} {
	postern
}
`
	plain := startConfig(b, "{\n\tadmin {$POSTERN_ADMIN}\n\tauto_https off\n}\nhttp://:{$POSTERN_PORT} {\n\trespond hello\n}\n", "/")
	p := startConfig(b, "{\n\tadmin {$POSTERN_ADMIN}\n\tpostern {\n\t\tdata {$POSTERN_DATA}\n\t}\n}\n"+sites, "/-/health/ready/", bootstrapped()...)
	p.addUser(b, "alice")
	wiki := p.seedApplication(b, "wiki", "http://127.0.0.1:1/callback", "return {}")
	person := newBrowser(b)
	app := "http://app.localhost:" + p.port
	if got := person.login(app+"/", "alice"); got.status != http.StatusOK || got.body != "hello" {
		b.Fatalf("the guarded page: %d %s", got.status, tail(got.body, 500))
	}
	at, err := url.Parse(app)
	if err != nil {
		b.Fatal(err)
	}
	var cookies []string
	for _, c := range person.client.Jar.Cookies(at) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	_, token := authorize(b, wiki, "alice")
	path := "/application/o/wiki/"
	cookie := "Cookie: " + strings.Join(cookies, "; ") + "\r\n"
	targets := []*target{
		{name: "respond", port: plain.port, host: "plain.localhost", path: "/"},
		{name: "unguarded", port: p.port, host: "unguarded.localhost", path: "/"},
		{name: "carrying", port: p.port, host: "unguarded.localhost", path: "/", header: cookie},
		{name: "guarded", port: p.port, host: "app.localhost", path: "/", header: cookie},
		{name: "unguarded-after", port: p.port, host: "a.localhost", path: "/"},
		{name: "carrying-after", port: p.port, host: "a.localhost", path: "/", header: cookie},
		{name: "discovery", port: p.port, host: "localhost", path: path + ".well-known/openid-configuration"},
		{name: "jwks", port: p.port, host: "localhost", path: path + "jwks/"},
		{name: "userinfo", port: p.port, host: "localhost", path: "/application/o/userinfo/", header: "Authorization: Bearer " + token.AccessToken + "\r\n"},
	}
	for _, t := range targets {
		t.of = p.process
		if t.port == plain.port {
			t.of = plain.process
		}
		t.open(b)
		defer t.close()
	}
	var added waits
	b.ResetTimer()
	for range b.N {
		for _, t := range targets {
			t.slice(b, 200*time.Millisecond)
		}
		added.round(b, targets[2], targets[3])
	}
	b.StopTimer()
	ceiling := targets[0].median()
	for _, t := range targets {
		b.ReportMetric(t.median(), t.name+"/s")
		b.ReportMetric(100*t.median()/ceiling, t.name+"-%of-respond")
		b.ReportMetric(t.used.Seconds()*1e6/float64(t.answered), t.name+"-cpu-µs")
	}
	unguarded := (targets[1].median() + targets[4].median()) / 2
	carrying := (targets[2].median() + targets[5].median()) / 2
	b.ReportMetric(100*targets[3].median()/unguarded, "guarded-%of-unguarded")
	b.ReportMetric(100*targets[3].median()/carrying, "guarded-%of-carrying")
	added.report(b)
	b.ReportMetric(0, "ns/op")
}

// target is one address under load.
type target struct {
	name, port, host, path, header string
	conns                          []net.Conn
	length                         int // of an answer
	rates                          []float64
	of                             *process
	used                           time.Duration // of the process's processor time, in all slices
	answered                       int64         // requests in them
}

func (t *target) request() []byte {
	return []byte("GET " + t.path + " HTTP/1.1\r\nHost: " + t.host + ":" + t.port + "\r\n" + t.header + "\r\n")
}

// open connects, and learns how long an answer is.
func (t *target) open(b *testing.B) {
	b.Helper()
	for range 16 {
		c, err := net.Dial("tcp", "127.0.0.1:"+t.port)
		if err != nil {
			b.Fatal(err)
		}
		t.conns = append(t.conns, c)
		if _, err := c.Write(t.request()); err != nil {
			b.Fatal(err)
		}
		var seen bytes.Buffer
		resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c, &seen)), nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%s: %s, %v", t.name, resp.Status, err)
		}
		resp.Body.Close()
		if resp.ContentLength < 0 {
			b.Fatalf("%s does not tell the length of its answer", t.name)
		}
		t.length = seen.Len()
	}
}

func (t *target) close() {
	for _, c := range t.conns {
		c.Close()
	}
}

// slice loads the target for a while.
func (t *target) slice(b *testing.B, d time.Duration) {
	b.Helper()
	var done atomic.Int64
	var wg sync.WaitGroup
	used, began := t.of.processorTime(), time.Now()
	end := began.Add(d)
	for _, c := range t.conns {
		wg.Go(func() {
			request, answer := t.request(), make([]byte, t.length)
			for time.Now().Before(end) && t.ask(b, c, request, answer) {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	t.rates = append(t.rates, float64(done.Load())/time.Since(began).Seconds())
	t.used += t.of.processorTime() - used
	t.answered += done.Load()
}

// ask sends one request and reads its answer. False: it failed.
func (t *target) ask(b *testing.B, c net.Conn, request, answer []byte) bool {
	b.Helper()
	if _, err := c.Write(request); err != nil {
		b.Errorf("%s: %v", t.name, err)
		return false
	}
	if _, err := io.ReadFull(c, answer); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		b.Errorf("%s: %v\n%s", t.name, err, tail(string(answer), 1000))
		return false
	}
	return true
}

func (t *target) median() float64 {
	rates := slices.Sorted(slices.Values(t.rates))
	return rates[len(rates)/2]
}

// needBinary finds the binary that `make build` made, where `make test` did not name one.
func needBinary(b testing.TB) {
	b.Helper()
	if os.Getenv("POSTERN_TEST_CADDY") != "" {
		return
	}
	program, err := filepath.Abs("../../bin/caddy")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		b.Skipf("no binary: run make build first (%v)", err)
	}
	b.Setenv("POSTERN_TEST_CADDY", program)
}

// startConfig runs the binary with a Caddyfile of the test's own.
func startConfig(b testing.TB, caddyfile, ready string, env ...string) *postern {
	b.Helper()
	p := &postern{port: porttest.Free(b), admin: porttest.Free(b), data: b.TempDir(), caddyfile: filepath.Join(b.TempDir(), "Caddyfile")}
	if err := os.WriteFile(p.caddyfile, []byte(caddyfile), 0o600); err != nil {
		b.Fatal(err)
	}
	p.env = append([]string{
		"POSTERN_PORT=" + p.port, "POSTERN_ADMIN=localhost:" + p.admin, "POSTERN_DATA=" + p.data,
		"XDG_DATA_HOME=" + b.TempDir(), "XDG_CONFIG_HOME=" + b.TempDir(),
	}, env...)
	p.process = run(b, p.env, counterpart(b, "POSTERN_TEST_CADDY"), "run", "--config", p.caddyfile, "--adapter", "caddyfile")
	p.answers(b, fmt.Sprintf("http://127.0.0.1:%s%s", p.port, ready), http.StatusOK)
	return p
}
