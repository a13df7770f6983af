package counterparts_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// neighbours are two tenants of one server: the default one is quiet, the other one is not.
const neighbours = `{
	admin {$POSTERN_ADMIN}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	postern {
		data {$POSTERN_DATA}
		{$NEIGHBOURS_DATABASE}
	}
}
http://app.localhost:{$POSTERN_PORT} {
	postern_auth
	respond hello
}
http://:{$POSTERN_PORT} {
	postern
}
`

// floodEnv makes the test binary a crowd that asks a server for one thing for ever.
const floodEnv = "POSTERN_TEST_FLOOD"

// BenchmarkNeighbour measures what people of one tenant wait for while another tenant's
// people flood the server: a guarded page, a login, a code's exchange. The flood comes from
// a process of its own that has the processors when nobody else wants them, as if it were
// on another machine; the goal is twice the time of a quiet server.
func BenchmarkNeighbour(b *testing.B) {
	if what := os.Getenv(floodEnv); what != "" {
		flood(what, os.Getenv("POSTERN_TEST_FLOOD_AT"), os.Getenv("POSTERN_TEST_FLOOD_TOKEN"))
	}
	needBinary(b)
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			database := ""
			if engine == "postgres" {
				database = "database " + newDatabase(b).String()
			}
			benchmarkNeighbour(b, "NEIGHBOURS_DATABASE="+database)
		})
	}
}

func benchmarkNeighbour(b *testing.B, env ...string) {
	p := startConfig(b, neighbours, "/-/health/ready/", append(env, bootstrapped()...)...)
	app := "http://app.localhost:" + p.port
	crowd := newCrowd(b, p, app)
	inside := newBrowser(b)
	if got := inside.login(app+"/", "alice"); got.body != "hello" {
		b.Fatalf("%d %s", got.status, tail(got.body, 500))
	}
	p.postern(b, "tenant", "create", "t_loud", "--domain", "loud.localhost", "--address", "localhost:"+p.admin)
	token := strings.TrimSpace(p.postern(b, "user", "api-token", "akadmin", "--tenant", "t_loud", "--address", "localhost:"+p.admin))
	loud := &postern{process: p.process, port: p.port, host: "loud.localhost", token: token}
	other := loud.seedApplication(b, "other", callback, bomb)

	for i := range 500 { // a list has no more rows
		loud.api(b, http.MethodPost, "/core/users/", fmt.Sprintf(`{"username": "user-%d", "name": "User %[1]d"}`, i), http.StatusCreated)
	}
	turns := []string{"quiet", "passwords", "tokens", "bombs", "lists", "bodies"}
	at := map[string]string{
		"passwords": loud.url() + "/if/flow/default-authentication-flow/",
		"tokens":    loud.url() + "/application/o/token/",
		"lists":     loud.url() + "/api/v3/core/users/?page_size=500",
		"bodies":    loud.url() + "/api/v3/core/users/",
		"bombs":     fmt.Sprintf("%s/api/v3/providers/oauth2/%d/preview_user/", loud.url(), other.provider),
	}
	took := map[string]map[string][]time.Duration{}
	measure := func(turn, what string, f func()) {
		began := time.Now()
		f()
		if took[turn] == nil {
			took[turn] = map[string][]time.Duration{}
		}
		took[turn][what] = append(took[turn][what], time.Since(began))
	}
	b.ResetTimer()
	for range b.N {
		for _, turn := range turns {
			stop := func() {}
			if turn != "quiet" {
				stop = startFlood(b, turn, at[turn], token)
			}
			for range 5 {
				for range 20 {
					measure(turn, "guarded", func() {
						if got := inside.open(app + "/"); got.body != "hello" {
							b.Fatalf("%d %s", got.status, tail(got.body, 500))
						}
					})
				}
				form := newBrowser(b)
				page := form.open(app + "/")
				measure(turn, "login", func() {
					if got := form.submit(page, "alice", password("alice")); got.body != "hello" {
						b.Fatalf("%d %s", got.status, tail(got.body, 500))
					}
				})
				code, err := crowd.code(follow(form))
				if err != nil {
					b.Fatal(err)
				}
				measure(turn, "exchange", func() {
					if _, err := crowd.token(follow(form), traded(code)); err != nil {
						b.Fatal(err)
					}
				})
			}
			stop()
		}
	}
	b.StopTimer()
	median := func(turn, what string) float64 {
		all := took[turn][what]
		slices.Sort(all)
		return float64(all[len(all)/2].Microseconds()) / 1000
	}
	for _, what := range []string{"guarded", "login", "exchange"} {
		for _, turn := range turns {
			b.ReportMetric(median(turn, what), "ms-"+what+"-"+turn)
			if turn != "quiet" {
				b.ReportMetric(median(turn, what)/median("quiet", what), "x-"+what+"-"+turn)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// startFlood starts the crowd, and waits until it has come.
func startFlood(b *testing.B, what, at, token string) (stop func()) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("nice", "-n", "19", self, "-test.run=^$", "-test.bench=^BenchmarkNeighbour$")
	cmd.Env = append(os.Environ(), floodEnv+"="+what, "POSTERN_TEST_FLOOD_AT="+at, "POSTERN_TEST_FLOOD_TOKEN="+token)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out.String(), "it floods"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("the flood does not begin: %s", out)
		}
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if said := out.String(); strings.Contains(said, "unexpected") {
			b.Error(tail(said, 1000))
		}
	}
}

// flood asks for ever, 64 at a time.
func flood(what, at, token string) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: dialLocalhost}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var once sync.Once
	for range 64 {
		go func() {
			for {
				status, err := floodOnce(client, what, at, token)
				if err != nil || status >= 500 && status != http.StatusServiceUnavailable || status == http.StatusNotFound {
					fmt.Println("unexpected", status, err)
				}
				once.Do(func() { fmt.Println("it floods") })
			}
		}()
	}
	select {}
}

func floodOnce(client *http.Client, what, at, token string) (int, error) {
	ctx := context.Background()
	address := fmt.Sprintf("198.51.%d.%d", rand.IntN(256), rand.IntN(256))
	send := func(method, body string, header ...string) (*http.Response, string, error) {
		req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		req.Header.Set("X-Forwarded-For", address)
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return resp, string(text), err
	}
	var resp *http.Response
	var err error
	switch what {
	case "passwords":
		var text string
		if resp, text, err = send(http.MethodGet, ""); err != nil {
			return 0, err
		}
		_, after, _ := strings.Cut(text, `name="token" value="`)
		hidden, _, _ := strings.Cut(after, `"`)
		form := url.Values{"token": {hidden}, "username": {fmt.Sprint("nobody", rand.IntN(1_000_000))}, "password": {"a wrong guess"}}
		var cookies []string
		for _, c := range resp.Cookies() {
			cookies = append(cookies, c.Name+"="+c.Value)
		}
		resp, _, err = send(http.MethodPost, form.Encode(), "Cookie", strings.Join(cookies, "; "))
	case "tokens":
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"a guess"}, "client_id": {"other"}, "client_secret": {"other-secret-0123456789"}}
		resp, _, err = send(http.MethodPost, form.Encode())
	case "bodies": // as long as may be, and of many parts
		body := `{"username": "x", "attributes": {` + strings.Repeat(`"a":[[[[]]]],`, 70_000) + `"z": 0}}`
		resp, _, err = send(http.MethodPost, body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	case "bombs", "lists":
		resp, _, err = send(http.MethodGet, "", "Authorization", "Bearer "+token)
	}
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}
