package counterparts_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newborn is a server with an empty data directory, that nobody has entered.
func newborn(t *testing.T, p *postern) {
	t.Helper()
	p.data = filepath.Join(t.TempDir(), "data")
	p.env = append([]string{
		"POSTERN_PORT=" + p.port, "POSTERN_ADMIN=localhost:" + p.admin, "POSTERN_DATA=" + p.data,
		"XDG_DATA_HOME=" + t.TempDir(), "XDG_CONFIG_HOME=" + t.TempDir(),
	}, bootstrapped()[:1]...) // the API token, and no password
}

// inventory lists what a first start makes, by its names.
func (p *postern) inventory(t *testing.T) (out []string) {
	t.Helper()
	for path, name := range map[string]string{
		"/core/users/": "username", "/core/groups/": "name", "/core/tokens/": "identifier", "/crypto/certificatekeypairs/": "name",
		"/propertymappings/all/": "name", "/providers/all/": "name", "/core/applications/": "slug", "/rbac/roles/": "name",
	} {
		list := p.api(t, http.MethodGet, path+"?page_size=500", "", http.StatusOK)
		for _, one := range list["results"].([]any) {
			out = append(out, fmt.Sprint(path, one.(map[string]any)[name]))
		}
	}
	files, err := filepath.Glob(filepath.Join(p.data, "tenants", "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		out = append(out, filepath.Base(f))
	}
	slices.Sort(out)
	return out
}

var setupLine = regexp.MustCompile(`(?m)^First start: set the administrator's password at (\S+)$`)

// enter sets the administrator's password by the link that the start printed, and logs in.
func (p *postern) enter(t *testing.T) {
	t.Helper()
	p.tells(t, "First start: ")
	links := setupLine.FindAllStringSubmatch(p.out.String(), -1)
	if len(links) != 1 {
		t.Fatalf("%d set-up links", len(links))
	}
	b := newBrowser(t)
	page := b.submit(b.open(links[0][1]), "", bootstrapPassword)
	if page.status != http.StatusOK {
		t.Fatalf("the set-up link: %d %s", page.status, tail(page.body, 500))
	}
	other := newBrowser(t)
	page = other.open(p.url() + "/if/user/")
	for range 3 {
		if len(page.forms) == 0 || page.forms[0].password == "" && page.forms[0].text == "" {
			break
		}
		page = other.submit(page, "akadmin", bootstrapPassword)
	}
	if page.status != http.StatusOK || page.url.Path != "/if/user/" {
		t.Fatalf("the administrator cannot log in: %d at %s", page.status, page.url)
	}
}

// refusedStart is what a server prints that does not start.
func (p *postern) refusedStart(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", p.caddyfile, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), p.env...)
	timer := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() < 1 {
		t.Fatalf("it started: %v\n%s", err, tail(string(out), 2000))
	}
	return string(out)
}

// L-09: kill -9 at any moment of the very first start of the real binary. The next start needs no
// hand: it makes what is missing, once, and its set-up link works. The secret is there whole or not at
// all, and before anything that it seals.
func TestKilledInTheVeryFirstStart(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("POSTERN_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("POSTERN_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))

	p := startPostern(t, bootstrapped()[:1]...)
	ran(t, "caddy")
	want := p.inventory(t)
	p.enter(t)
	p.stop(t)
	newborn(t, p)
	began := time.Now()
	p.start(t)
	took := time.Since(began)

	// The control: what a second key pair, a short secret and a lost one look like.
	if got := p.inventory(t); !slices.Equal(got, want) {
		t.Fatalf("two first starts make\n%s\nand\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	p.api(t, http.MethodPost, "/crypto/certificatekeypairs/generate/", `{"common_name": "second", "validity_days": 10}`, http.StatusOK)
	if slices.Equal(p.inventory(t), want) {
		t.Error("control: a second key pair was not noticed")
	}
	p.stop(t)
	secret := filepath.Join(p.data, "secret")
	kept, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{nil, kept[:20]} {
		if err := os.WriteFile(secret, part, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := p.refusedStart(t); !strings.Contains(out, secret+" holds "+strconv.Itoa(len(part))+" bytes") || !strings.Contains(out, "copy of your backup") {
			t.Errorf("control: with a secret of %d bytes it says %s", len(part), tail(out, 800))
		}
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	if out := p.refusedStart(t); !strings.Contains(out, secret+" is missing") {
		t.Errorf("control: without its secret it says %s", tail(out, 800))
	}

	seen := map[string]int{}
	kills := 0
	for n := times(t, "POSTERN_TEST_KILLS", 25); kills < n; {
		newborn(t, p)
		var made []byte // the secret, once it is there
		for range 1 + r.IntN(3) {
			p.process = run(t, p.env, counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", p.caddyfile, "--adapter", "caddyfile")
			time.Sleep(time.Duration(r.Int64N(int64(took)))) // the moment of the kill
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-p.done
			kills++
			data, _ := filepath.Glob(filepath.Join(p.data, "tenants", "*"))
			now, err := os.ReadFile(filepath.Join(p.data, "secret"))
			switch {
			case err != nil && len(data) > 0:
				t.Fatalf("%v are there without a secret", data)
			case err == nil && len(now) < 32:
				t.Fatalf("a secret of %d bytes", len(now))
			case made != nil && string(now) != string(made):
				t.Fatal("the secret was made again")
			}
			made = now
			switch {
			case strings.Contains(p.out.String(), "First start: "):
				seen["greeted"]++
			case len(data) > 0:
				seen["with data"]++
			case made != nil:
				seen["with a secret"]++
			default:
				seen["with nothing"]++
			}
		}
		p.start(t)
		if got := p.inventory(t); !slices.Equal(got, want) {
			t.Fatalf("after kills there is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		p.enter(t)
		p.stop(t)
	}
	t.Logf("%d kills within %s: %v", kills, took.Round(time.Millisecond), seen)
	if seen["greeted"] == kills || seen["with nothing"] == kills {
		t.Error("all kills met the same moment")
	}
	p.start(t)
	if strings.Contains(p.out.String(), "First start") {
		t.Error("the set-up link comes back")
	}
}
