package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/postern-sso/postern/caddymodule/porttest"
	"github.com/postern-sso/postern/storage/disktest"
)

// The test binary is caddy: each script runs the program that people run. While there is a file of the name
// that BROKEN_DISK gives, its database's disk fails: for what the file says, "write" or "read".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"caddy": func() {
		if broken := os.Getenv("BROKEN_DISK"); broken != "" {
			disktest.Set(func(path string, write bool) syscall.Errno {
				how, err := os.ReadFile(broken)
				if err == nil && strings.Contains(path, "/tenants/") && (write && strings.Contains(string(how), "write") || !write && strings.Contains(string(how), "read")) {
					return syscall.EIO
				}
				return 0
			})
		}
		main()
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			s := &script{jars: map[string]*cookiejar.Jar{}}
			env.Values["script"] = s
			for _, name := range []string{"POSTERN_PORT", "ADMIN_PORT", "OTHER_PORT"} {
				env.Setenv(name, porttest.Free(t))
			}
			env.Setenv("POSTERN_ADMIN", "localhost:"+env.Getenv("ADMIN_PORT"))
			env.Setenv("POSTERN_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "xdgconfig"))
			env.Setenv("PORTAL", "http://localhost:"+env.Getenv("POSTERN_PORT"))
			env.Setenv("APP", "http://app.localhost:"+env.Getenv("POSTERN_PORT"))
			example, err := os.ReadFile("../../../Caddyfile.example")
			if err != nil {
				return err
			}
			oldest, err := os.ReadFile("../../../storage/sqldb/testdata/schema-1.backup")
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(env.WorkDir, "schema-1.backup"), oldest, 0o600); err != nil {
				return err
			}
			readme, err := os.ReadFile("../../../README.md")
			if err != nil {
				return err
			}
			for file, title := range map[string]string{
				"people": "People and groups", "keys": "Signing keys and the master secret", "helpdesk": "A helpdesk that sets passwords", "programs": "Programs, and applications with a login of their own",
				"minio": "MinIO", "bindings": "Who may open an application", "backup": "Back up, and move to another machine",
				"tenants": "Tenants", "brands": "Brands and settings", "pictures": "Icons and other pictures",
			} {
				blocks := shell(string(readme), title)
				if len(blocks) == 0 {
					return errors.New("README.md has no recipe: " + title)
				}
				for i, block := range blocks {
					name := file + strings.Repeat("-then", i) + ".sh"
					if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(block), 0o600); err != nil {
						return err
					}
				}
			}
			env.Defer(func() { s.end(syscall.SIGKILL) })
			return os.WriteFile(filepath.Join(env.WorkDir, "Caddyfile.example"), example, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": cmdStart, "shutdown": cmdStop, "wait-for": cmdWaitFor,
			"browse": cmdBrowse, "fill": cmdFill, "login": cmdLogin, "forget": cmdForget,
			"first-start": cmdFirstStart, "raw": cmdRaw, "hold": cmdHold, "release": cmdRelease,
			"mode": cmdMode, "echo": cmdEcho, "fastcgi": cmdFastCGI, "field": cmdField, "handshake": cmdHandshake, "recover": cmdRecover,
		},
	})
}

// shell is what a section of the README says to type, block by block.
func shell(readme, title string) (blocks []string) {
	_, section, _ := strings.Cut(readme, "\n### "+title+"\n")
	section, _, _ = strings.Cut(section, "\n### ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

// script is what one script has going.
type script struct {
	cmd  *exec.Cmd
	done chan error
	log  string
	jars map[string]*cookiejar.Jar
	page *page // the last one browsed
	held *held
}

func of(ts *testscript.TestScript) *script { return ts.Value("script").(*script) }

// start [-tls] [-envfile file] [config] runs caddy in the background until it is ready. Its log goes to
// the file log.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	if s.cmd != nil {
		ts.Fatalf("it runs already")
	}
	config, live := "Caddyfile.example", "http://127.0.0.1:"+ts.Getenv("POSTERN_PORT")+"/-/health/ready/"
	if len(args) > 0 && args[0] == "-tls" {
		args, live = args[1:], "https://auth.localhost:"+ts.Getenv("POSTERN_PORT")+"/-/health/ready/"
	}
	more := []string{}
	if len(args) > 0 && args[0] == "-envfile" {
		more, args = args[:2], args[2:]
		more[0] = "--envfile"
	}
	if len(args) > 0 {
		config = args[0]
	}
	probe := s.client(ts, "probe", nil, false)
	s.log = ts.MkAbs("log")
	log, err := os.Create(s.log)
	ts.Check(err)
	defer log.Close()
	cmd := exec.Command("caddy", append([]string{"run", "--config", config, "--adapter", "caddyfile"}, more...)...)
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, "caddy"); exists(p) {
			cmd.Path, cmd.Err = p, nil
			break
		}
	}
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"PATH", "HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "POSTERN_PORT", "OTHER_PORT", "POSTERN_ADMIN", "POSTERN_DATA",
		"POSTERN_SECRET", "OLD_SECRET", "AUTHENTIK_SECRET_KEY", "AUTHENTIK_BOOTSTRAP_PASSWORD", "AUTHENTIK_BOOTSTRAP_TOKEN", "AUTHENTIK_BOOTSTRAP_EMAIL", "GUARDED_SECRET", "BROKEN_DISK", "TENANTS_KEY",
		"AUTHENTIK_REDIS__HOST", "AUTHENTIK_REDIS__PORT", "AUTHENTIK_REDIS__PASSWORD", "REDIS_PASSWORD"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	s.cmd, s.done = cmd, make(chan error, 1)
	go func() { s.done <- cmd.Wait() }()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		select {
		case err := <-s.done:
			s.cmd = nil
			if neg {
				return
			}
			ts.Fatalf("caddy ended: %v\n%s", err, ts.ReadFile("log"))
		case <-time.After(20 * time.Millisecond):
		}
		res, err := probe.Get(live)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				if neg {
					ts.Fatalf("caddy started\n%s", ts.ReadFile("log"))
				}
				return
			}
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		if time.Now().After(deadline) {
			ts.Fatalf("caddy is not ready: %v\n%s", err, ts.ReadFile("log"))
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// shutdown [-kill] ends caddy as Ctrl-C does, or as a power cut. The name stop is taken: there it ends the script.
func cmdStop(ts *testscript.TestScript, _ bool, args []string) {
	sig := syscall.SIGINT
	if len(args) > 0 && args[0] == "-kill" {
		sig = syscall.SIGKILL
	}
	if err := of(ts).end(sig); err != nil && sig == syscall.SIGINT {
		ts.Fatalf("caddy ended with %v\n%s", err, ts.ReadFile("log"))
	}
}

func (s *script) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case err := <-s.done:
		s.cmd = nil
		return err
	case <-time.After(time.Minute):
		_ = s.cmd.Process.Kill()
		<-s.done
		s.cmd = nil
		return fmt.Errorf("it did not end within a minute")
	}
}

// wait-for <regexp> waits until the log has a line that matches.
func cmdWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	re := regexp.MustCompile("(?m)" + args[0])
	for began := time.Now(); time.Since(began) < time.Minute; {
		if re.MatchString(ts.ReadFile("log")) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("the log never says %q:\n%s", args[0], ts.ReadFile("log"))
}

// first-start <password> opens the link that the log prints on a line of its own and sets the
// administrator's password.
func cmdFirstStart(ts *testscript.TestScript, _ bool, args []string) {
	re := regexp.MustCompile(`(?m)^First start: set the administrator's password at (` + regexp.QuoteMeta(ts.Getenv("PORTAL")) + `/if/flow/initial-setup/\?token=[A-Za-z0-9_-]+)$`)
	cmdWaitFor(ts, false, []string{"^First start: "})
	m := re.FindAllStringSubmatch(ts.ReadFile("log"), -1)
	if len(m) != 1 {
		ts.Fatalf("the log has %d lines with a set-up link:\n%s", len(m), ts.ReadFile("log"))
	}
	s := of(ts)
	s.open(ts, request{jar: "first-start", url: m[0][1], follow: true})
	form := s.page.form(ts)
	form.set(ts, "password", args[0])
	s.submit(ts, "first-start", form)
	if s.page.status != http.StatusOK || strings.Contains(s.page.url, "initial-setup") {
		ts.Fatalf("set-up: %d at %s\n%s", s.page.status, s.page.url, s.page.body)
	}
}

// recover [-jar name] <password> opens the recovery link that the last command printed, and sets the password.
func cmdRecover(ts *testscript.TestScript, neg bool, args []string) {
	jar := "default"
	if args[0] == "-jar" {
		jar, args = args[1], args[2:]
	}
	link := regexp.MustCompile(`https?://\S+/recovery/use-token/\w+/`).FindString(ts.ReadFile("stdout"))
	if link == "" {
		ts.Fatalf("no recovery link was printed")
	}
	s := of(ts)
	s.open(ts, request{jar: jar, url: link, follow: true})
	if s.page.status >= 400 {
		if !neg {
			ts.Fatalf("%s: %d", link, s.page.status)
		}
		return
	}
	form := s.page.form(ts)
	form.set(ts, "password", args[0])
	s.submit(ts, jar, form)
	s.page.print(ts)
	if ok := s.page.status == http.StatusOK && strings.Contains(s.page.url, "/if/user/"); ok == neg {
		ts.Fatalf("recovery: %d at %s\n%s", s.page.status, s.page.url, s.page.body)
	}
}

// mode <file> <octal>: fails unless the file has exactly these permissions.
func cmdMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// echo starts an application on OTHER_PORT that shows the request as it received it, and
// answers as an application that is up to no good: with our cookies and headers.
func cmdEcho(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv("OTHER_PORT"))
	ts.Check(err)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, c := range []string{"authentik_session=x", "authentik_proxy_12345678=x", "__Host-authentik_session=x", "theirs=1"} {
			w.Header().Add("Set-Cookie", c)
		}
		w.Header().Set("X-Authentik-Username", "upstream")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "request %s %s with %d bytes\n", r.Method, r.RequestURI, len(body))
		for _, h := range []http.Header{r.Header, r.Trailer} {
			for k, vs := range h {
				for _, v := range vs {
					fmt.Fprintf(w, "got %s: %s\n", k, v)
				}
			}
		}
	})}
	go srv.Serve(l)
	ts.Defer(func() { srv.Close() })
}

// field <name> <variable> keeps the first field of that name in the JSON that was browsed.
func cmdField(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(`"` + regexp.QuoteMeta(args[0]) + `":\s*"?([^",}]+)`).FindStringSubmatch(of(ts).page.body)
	if m == nil {
		ts.Fatalf("no field %s in %s", args[0], of(ts).page.body)
	}
	ts.Setenv(args[1], m[1])
}
