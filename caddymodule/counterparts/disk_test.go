//go:build linux

package counterparts_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of some megabytes, in memory.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("did not run: only root can mount a file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("did not run: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes what space is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for {
			if n, err := f.Write(make([]byte, size)); err != nil || n < size {
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
				break
			}
		}
	}
}

// L-08: the disk is full. Whoever is inside stays inside, and reads go on; a code and a
// change of the directory are refused with what says that it will pass, and the log has one alarm. With room
// again everything works, without a restart.
func TestFullDisk(t *testing.T) {
	g := newGuarded(t)
	disk := smallDisk(t, "32m")
	p := startGuarded(t, g, filepath.Join(disk, "data"), "")
	c := newCrowd(t, p, "http://app.localhost:"+p.port)
	b := c.person()
	client := c.oneShot(b)
	code, err := c.code(client)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := c.token(client, traded(code))
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) *http.Response {
		t.Helper()
		resp, err := client.Get(p.url() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body = io.NopCloser(strings.NewReader(string(body)))
		return resp
	}
	create := func(name string) *http.Response {
		t.Helper()
		body := jsonText(t, map[string]any{"username": name, "name": name, "attributes": map[string]any{"x": strings.Repeat("x", 100_000)}})
		req, _ := http.NewRequest(http.MethodPost, p.url()+"/api/v3/core/users/", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+bootstrapToken)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	taken := map[string]bool{"before": true} // whether each was created
	if resp := create("before"); resp.StatusCode != http.StatusCreated {
		t.Fatalf("control: with room: %s", resp.Status)
	}
	fill(t, filepath.Join(disk, "ballast"))
	// What the log of the database has room for still fits: go on until nothing does.
	refused := 0
	for i := 0; refused < 20; i++ {
		if i > 2000 {
			t.Fatal("a full disk takes everything")
		}
		name := fmt.Sprint("user", i)
		resp := create(name)
		taken[name] = resp.StatusCode == http.StatusCreated
		switch resp.StatusCode {
		case http.StatusCreated:
		case http.StatusServiceUnavailable:
			refused++
			if resp.Header.Get("Retry-After") == "" {
				t.Error("a 503 without Retry-After")
			}
		default:
			t.Fatalf("user %d: %s", i, resp.Status)
		}
	}
	fill(t, filepath.Join(disk, "ballast"))
	var last string
	for i := 0; last == ""; i++ { // one that needs room, until the disk has none for it
		if i > 2000 {
			t.Fatal("a full disk lets everybody in")
		}
		got := c.tryCode(client)
		if !strings.Contains(got.text, "?code=") {
			last = got.text
		}
	}
	if !strings.Contains(last, "error=temporarily_unavailable") {
		t.Errorf("a code that cannot be stored is answered with %s", last)
	}
	if page := b.open(c.app + "/fast"); page.status != http.StatusOK || page.body != "for alice" {
		t.Errorf("a page of somebody who is inside: %d", page.status)
	}
	for _, path := range []string{"/application/o/crowd/.well-known/openid-configuration", "/application/o/crowd/jwks/", "/-/health/live/"} {
		if resp := get(path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	p.tells(t, "takes no writes")
	if n := strings.Count(p.out.String(), "takes no writes"); n != 1 {
		t.Errorf("%d alarms in the log", n)
	}

	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); get("/-/health/ready/").StatusCode != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("there is room again, and it is not ready")
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.tells(t, "takes writes again")
	for name, want := range taken {
		page := p.api(t, http.MethodGet, "/core/users/?username="+name, "", http.StatusOK)
		if got := len(page["results"].([]any)) == 1; got != want {
			t.Errorf("%s: there is %v, and created was %v", name, got, want)
		}
	}
	if resp := create("afterwards"); resp.StatusCode != http.StatusCreated {
		t.Errorf("afterwards: %s", resp.Status)
	}
	if _, err := c.token(client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}); err != nil {
		t.Errorf("the refresh token of before: %v", err)
	}
	c.person()
	if dir := os.Getenv("POSTERN_TEST_RAN"); dir != "" && !t.Failed() {
		_ = os.WriteFile(filepath.Join(dir, "full-disk"), nil, 0o600)
	}
}

// L-08: a data directory that cannot be written to is refused at the start, by its name.
func TestReadOnlyDisk(t *testing.T) {
	g := newGuarded(t)
	disk := smallDisk(t, "32m")
	p := startGuarded(t, g, filepath.Join(disk, "data"), "")
	p.stop(t)
	if err := syscall.Mount("none", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", p.caddyfile, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), p.env...)
	done := make(chan []byte, 1)
	go func() {
		out, _ := cmd.CombinedOutput()
		done <- out
	}()
	select {
	case out := <-done:
		if cmd.ProcessState.ExitCode() == 0 || !strings.Contains(string(out), "read-only file system") || !strings.Contains(string(out), disk) {
			t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), tail(string(out), 800))
		}
	case <-time.After(60 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("it starts on a read-only disk, or does not end")
	}
}
