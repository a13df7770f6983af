package counterparts_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStart measures, from the start of the process to the first answer, a
// second start of Caddyfile.example, beside its ceiling: the same binary with
// one `respond`. It also reports the resident memory a second after,
// before anything that the start needed was given back.
func BenchmarkStart(b *testing.B) {
	program := os.Getenv("POSTERN_TEST_CADDY")
	if program == "" {
		program, _ = filepath.Abs("../../bin/caddy")
	}
	if _, err := os.Stat(program); err != nil {
		b.Skipf("no binary: run make build first (%v)", err)
	}
	for _, c := range []struct{ name, config, path string }{
		{"plain", "{\n\tadmin off\n\tauto_https off\n}\nhttp://:{$POSTERN_PORT} {\n\trespond hello\n}\n", "/"},
		{"postern", "", "/-/health/ready/"},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			file, _ := filepath.Abs("../../Caddyfile.example")
			if c.config != "" {
				file = filepath.Join(dir, "Caddyfile")
				if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			startOnce(b, program, file, dir, c.path) // the first start makes keys and databases
			var memory, took float64
			for b.Loop() {
				t, m := startOnce(b, program, file, dir, c.path)
				took, memory = took+t, memory+m
			}
			b.ReportMetric(took/float64(b.N), "ms/start")
			b.ReportMetric(memory/float64(b.N), "MB-resident")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func startOnce(b *testing.B, program, file, dir, path string) (ms, mb float64) {
	b.Helper()
	const port, admin = "19480", "19419"
	cmd := exec.Command(program, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "POSTERN_PORT="+port, "POSTERN_ADMIN=localhost:"+admin, "POSTERN_DATA="+filepath.Join(dir, "data"),
		"XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "AUTHENTIK_BOOTSTRAP_PASSWORD="+bootstrapPassword)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	for time.Since(began) < 30*time.Second {
		resp, err := http.Get("http://127.0.0.1:" + port + path)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				ms = float64(time.Since(began).Microseconds()) / 1000
				time.Sleep(time.Second)
				return ms, resident(b, cmd.Process.Pid)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	b.Fatal("no answer within 30 s")
	return 0, 0
}

// resident is the process's VmRSS in MB.
func resident(t testing.TB, pid int) float64 { return memory(t, pid, "VmRSS") }

// memory is one line of the process's status (proc(5)), in MB.
func memory(t testing.TB, pid int, name string) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024 / 1e6
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// The process rests below 70 MB: what a busy moment took, a login's 19 MB among it, is given back when it is
// over, and the pages of the program that the start alone needed before that.
func TestMemoryAtRest(t *testing.T) {
	p := startPostern(t, bootstrapped()...)
	ran(t, "caddy")
	pid := p.cmd.Process.Pid
	below := func(limit float64) (whole float64) {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
			if whole = resident(t, pid); whole < limit || time.Now().After(deadline) {
				return whole
			}
		}
	}
	started := below(30)
	newBrowser(t).login(p.url()+"/if/user/", "akadmin")
	whole := below(60)
	allocated, most := memory(t, pid, "RssAnon"), memory(t, pid, "VmHWM")
	t.Logf("%.1f MB after the start, %.1f MB after a login, of which %.1f MB are allocated; %.1f MB at most", started, whole, allocated, most)
	if started >= 60 {
		t.Errorf("a minute after the start %.1f MB are in memory", started)
	}
	if whole >= 60 {
		t.Errorf("a minute after a login %.1f MB are in memory", whole)
	}
	if allocated >= 25 {
		t.Errorf("a minute after a login %.1f MB are allocated", allocated)
	}
	if most < 70 {
		t.Errorf("control: there was nothing to give back: %.1f MB at most", most)
	}
}

// The binary stays below 75 MB (plain Caddy, built with the same flags, has 52).
func TestBinarySize(t *testing.T) {
	info, err := os.Stat(counterpart(t, "POSTERN_TEST_CADDY"))
	if err != nil {
		t.Fatal(err)
	}
	if size := info.Size(); size >= 75_000_000 {
		t.Errorf("the binary has %d bytes", size)
	}
}
