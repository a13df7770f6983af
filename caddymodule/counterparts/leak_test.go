package counterparts_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// footprint is what a process holds.
type footprint struct{ goroutines, files, heap int }

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB of heap", f.goroutines, f.files, f.heap>>10)
}

// footprint asks the process itself, after a collection.
func (p *postern) footprint(t *testing.T) (f footprint) {
	t.Helper()
	p.profile(t, "heap?gc=1&debug=1", `# HeapAlloc = (\d+)`) // what finalizers let go of is collected by the next
	f.heap = p.profile(t, "heap?gc=1&debug=1", `# HeapAlloc = (\d+)`)
	f.goroutines = p.goroutines(t)
	files, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	if err != nil {
		t.Skip("did not run: there is no /proc here")
	}
	f.files = len(files)
	return f
}

func (p *postern) goroutines(t *testing.T) int {
	t.Helper()
	return p.profile(t, "goroutine?debug=1", `total (\d+)`)
}

// profile finds a number in what Caddy's admin endpoint tells of the process.
func (p *postern) profile(t *testing.T, path, pattern string) int {
	t.Helper()
	// A connection of its own each: an idle one would be counted.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get("http://localhost:" + p.admin + "/debug/pprof/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s says no number: %s", path, tail(string(text), 300))
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// settled waits until the process holds no more than before, or gives what it holds in the end.
func (p *postern) settled(t *testing.T, before footprint, n int) (f footprint, grown string) {
	t.Helper()
	for range 40 {
		f = p.footprint(t)
		if grown = f.grown(before, n); grown == "" {
			return f, ""
		}
		time.Sleep(250 * time.Millisecond)
	}
	return f, grown
}

// grown says what grew with n reloads. A few more than before is chance; something for each
// reload is a leak.
func (f footprint) grown(before footprint, n int) string {
	switch {
	case f.goroutines > before.goroutines+n/10+3:
		return "goroutines"
	case f.files > before.files+n/10+3:
		return "files"
	case f.heap > before.heap+2<<20+n*2<<10:
		return "heap"
	}
	return ""
}

// L-01: reloads leave nothing behind. The control is a leak of the same size: a connection that is
// kept open over each reload keeps its configuration.
func TestReloadLeak(t *testing.T) {
	g := newGuarded(t)
	p := startGuarded(t, g, t.TempDir(), "")
	c := newCrowd(t, p, "http://app.localhost:"+p.port)
	b := c.person()
	b.client.Transport = c.fresh(b)
	use := func() {
		if page := b.open(c.app + "/fast"); page.body != "for alice" {
			t.Fatalf("%d %s", page.status, tail(page.body, 300))
		}
	}
	warm := 20
	for i := range warm {
		p.load(t, i)
		use()
	}
	before := p.footprint(t)
	n := times(t, "POSTERN_TEST_RELOADS", 100)
	for i := range n {
		p.load(t, warm+i)
		use()
	}
	after, grown := p.settled(t, before, n)
	t.Logf("before: %v; after %d reloads: %v", before, n, after)
	if grown != "" {
		t.Errorf("%s grow with reloads", grown)
	}

	const kept = 60
	for i := range kept {
		p.load(t, warm+n+i)
		_, end := b.socket(p)
		defer end()
	}
	leaking := p.footprint(t)
	t.Logf("with a connection kept over each of %d reloads: %v", kept, leaking)
	if leaking.grown(after, kept) == "" {
		t.Error("control: a leak for each reload was not noticed")
	}
}
