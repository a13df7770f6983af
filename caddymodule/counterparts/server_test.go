package counterparts_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
	"github.com/postern-sso/postern/core/api/apitest"
)

// output collects what a program prints while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a server that a test started.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// run starts a program, and stops it when the test ends.
func run(t testing.TB, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), out: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(program), tail(p.out.String(), 8000))
		}
	})
	return p
}

// stop ends a program as Ctrl-C does, and waits for it.
func (p *process) stop(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("%s did not stop within a minute", filepath.Base(p.cmd.Path))
	}
}

// answers waits until a URL gives one of the statuses.
func (p *process) answers(t testing.TB, url string, statuses ...int) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	var last string
	for time.Now().Before(deadline) {
		select {
		case <-p.done:
			t.Fatalf("%s ended:\n%s", filepath.Base(p.cmd.Path), tail(p.out.String(), 8000))
		default:
		}
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			for _, s := range statuses {
				if resp.StatusCode == s {
					return
				}
			}
			last = resp.Status
		} else {
			last = err.Error()
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s did not answer: %s\n%s", url, last, tail(p.out.String(), 8000))
}

// tells waits until the program has printed a text: what it prints comes by a pipe, and may
// be later than its answer.
func (p *process) tells(t testing.TB, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.out.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s did not print %q", filepath.Base(p.cmd.Path), text)
			return
		}
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

const (
	bootstrapToken    = "token-0123456789-abcdefghijklmnopqrstuvwxyz"
	bootstrapPassword = "correct horse battery staple"
)

// postern is the real binary with Caddyfile.example, or another Caddyfile.
type postern struct {
	*process
	port, admin, data string
	caddyfile         string
	env               []string
	host, token       string            // of another tenant's API; empty: the default tenant's
	contract          *apitest.Contract // see published
}

func (p *postern) url() string { return "http://" + cmp.Or(p.host, "localhost") + ":" + p.port }

// startPostern runs Caddyfile.example on free ports with an empty data
// directory, akadmin's password and an API token set by environment.
func startPostern(t testing.TB, env ...string) *postern {
	t.Helper()
	p := &postern{port: porttest.Free(t), admin: porttest.Free(t), data: t.TempDir(), caddyfile: "../../Caddyfile.example"}
	p.env = append([]string{
		"POSTERN_PORT=" + p.port, "POSTERN_ADMIN=localhost:" + p.admin, "POSTERN_DATA=" + p.data,
		"XDG_DATA_HOME=" + t.TempDir(), "XDG_CONFIG_HOME=" + t.TempDir(),
	}, env...)
	p.start(t)
	return p
}

func bootstrapped() []string {
	return []string{"AUTHENTIK_BOOTSTRAP_TOKEN=" + bootstrapToken, "AUTHENTIK_BOOTSTRAP_PASSWORD=" + bootstrapPassword}
}

func (p *postern) start(t testing.TB) {
	t.Helper()
	p.process = run(t, p.env, counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", p.caddyfile, "--adapter", "caddyfile")
	p.answers(t, p.url()+"/-/health/ready/", http.StatusOK)
}

// reload does what `caddy reload` does for the operator.
func (p *postern) reload(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, counterpart(t, "POSTERN_TEST_CADDY"), "reload", "--force", "--config", p.caddyfile, "--adapter", "caddyfile", "--address", "localhost:"+p.admin)
	cmd.Env = append(os.Environ(), p.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("caddy reload: %v\n%s", err, out)
	}
}

// api calls the REST API with the bootstrap token and decodes the answer.
func (p *postern) api(t testing.TB, method, path string, body string, want int) map[string]any {
	t.Helper()
	req, _ := http.NewRequest(method, p.url()+"/api/v3"+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+cmp.Or(p.token, bootstrapToken))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s %s: %s, want %d\n%s", method, path, resp.Status, want, tail(string(raw), 2000))
	}
	if err := p.published(t).Check(apitest.Exchange{
		Method: method, URL: req.URL, Header: req.Header, Body: []byte(body), Status: resp.StatusCode, Answer: resp.Header, Result: raw,
	}); err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return decode(t, raw)
}

// client finds the tenant's host.
func (p *postern) client(t testing.TB) *http.Client {
	if p.host == "" {
		return http.DefaultClient
	}
	return newBrowser(t).client
}

// published is the server's own description of its API.
func (p *postern) published(t testing.TB) *apitest.Contract {
	t.Helper()
	if p.contract != nil {
		return p.contract
	}
	resp, err := p.client(t).Get(p.url() + "/api/v3/schema/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if p.contract, err = apitest.New(raw); err != nil {
		t.Fatal(err)
	}
	return p.contract
}

// first returns the first result of a list.
func (p *postern) first(t testing.TB, path string) map[string]any {
	t.Helper()
	list := p.api(t, http.MethodGet, path, "", http.StatusOK)
	results, _ := list["results"].([]any)
	if len(results) == 0 {
		t.Fatalf("%s is empty: %v", path, list)
	}
	return results[0].(map[string]any)
}

func (p *postern) addUser(t testing.TB, name string, groups ...string) string {
	t.Helper()
	u := p.api(t, http.MethodPost, "/core/users/", jsonText(t, map[string]any{
		"username": name, "name": "The " + name, "email": name + "@example.com", "groups": append([]string{}, groups...),
	}), http.StatusCreated)
	pk := fmt.Sprintf("%.0f", u["pk"])
	p.api(t, http.MethodPost, "/core/users/"+pk+"/set_password/", jsonText(t, map[string]any{"password": password(name)}), http.StatusNoContent)
	return pk
}

func (p *postern) addGroup(t testing.TB, name string) string {
	t.Helper()
	return p.api(t, http.MethodPost, "/core/groups/", jsonText(t, map[string]any{"name": name}), http.StatusCreated)["pk"].(string)
}

func password(user string) string { return user + "-has-a-long-password" }
