package counterparts_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// newPgBouncer puts a PgBouncer before a database's server, which gives each transaction whichever of
// its two connections is free, and gives the database's URL through it.
func newPgBouncer(t *testing.T, database *url.URL) *url.URL {
	t.Helper()
	program, port := counterpart(t, "POSTERN_TEST_PGBOUNCER"), porttest.Free(t)
	config := filepath.Join(t.TempDir(), "pgbouncer.ini")
	users := filepath.Join(filepath.Dir(config), "users")
	for path := filepath.Dir(config); len(path) > len(os.TempDir()); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil { // another user reads it
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		users: fmt.Sprintf("%q %q\n", database.User.Username(), ""),
		config: fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 2
`, database.Hostname(), database.Port(), port, users),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{config}
	if os.Getuid() == 0 { // it refuses to run as root
		args = append([]string{"-u", "postgres"}, args...)
	}
	p := run(t, nil, program, args...)
	through := *database
	through.Host = "127.0.0.1:" + port
	eventually(t, "pgbouncer listens", func() bool {
		select {
		case <-p.done:
			t.Fatalf("pgbouncer ended: %s", p.out.String())
		default:
		}
		c, err := net.Dial("tcp", through.Host)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return &through
}

// Two nodes make their tables, log people in and hear of each other's revocations through a PgBouncer that
// keeps nothing on a connection; neither of them was told of it. A node that is told that there is none does not start.
func TestPgBouncer(t *testing.T) {
	database := newPgBouncer(t, newDatabase(t))
	f := newFleet(t)
	one := f.add(t, database, "", "allow_groups staff")
	two := f.add(t, database, "", "allow_groups staff")
	ran(t, "caddy")
	ran(t, "postgresql")
	ran(t, "pgbouncer")
	staff := one.addGroup(t, "staff")
	for i := range 3 {
		name := fmt.Sprint("bounced-", i)
		pk := one.addUser(t, name, staff)
		p := f.person(t)
		if page := p.login(f.app()+"/", name); page.body != "for "+name {
			t.Fatalf("logged in, the page is %d %q", page.status, page.body)
		}
		if ok, status := p.let(two); !ok {
			t.Fatalf("node two does not let %s in: %d", name, status)
		}
		one.api(t, http.MethodPatch, "/core/users/"+pk+"/", `{"is_active": false}`, http.StatusOK)
		took := eventually(t, "node two refuses", func() bool { ok, _ := p.let(two); return !ok })
		t.Logf("refused after %s", took)
	}

	// Through one it cannot be seen who else is connected, so the master secret stays. By the URL of the database itself
	// it can be: TestCommandsOnPostgreSQL.
	cmd := exec.Command(counterpart(t, "POSTERN_TEST_CADDY"), "postern", "key", "rewrap", "--config", one.caddyfile)
	cmd.Env = append(os.Environ(), one.env...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "a pooler stands before the database") || !strings.Contains(string(out), "`old_secret`") {
		t.Errorf("rewrap through a pooler: %v\n%s", err, tail(string(out), 2000))
	}

	t.Run("control: without the mode", func(t *testing.T) {
		u := *database
		u.RawQuery += "&pgbouncer=false"
		text, err := os.ReadFile(two.caddyfile)
		if err != nil {
			t.Fatal(err)
		}
		caddyfile := filepath.Join(t.TempDir(), "Caddyfile")
		if err := os.WriteFile(caddyfile, []byte(strings.Replace(string(text), database.String(), u.String(), 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		two.stop(t)
		p := run(t, two.env, counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", caddyfile, "--adapter", "caddyfile")
		select {
		case <-p.done:
			if p.cmd.ProcessState.Success() || !strings.Contains(p.out.String(), "pgbouncer=false") {
				t.Errorf("it ended with %s: %s", p.cmd.ProcessState, tail(p.out.String(), 2000))
			}
		case <-time.After(time.Minute):
			t.Errorf("it runs: %s", tail(p.out.String(), 2000))
		}
	})
}
