package sqldb_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// startPgBouncer puts a PgBouncer before the server, which gives each transaction whichever
// connection is free. more are lines of its configuration.
func startPgBouncer(t *testing.T, s *storagetest.Postgres, more string) (through func(address string) string) {
	t.Helper()
	program := os.Getenv("POSTERN_TEST_PGBOUNCER")
	if program == "" {
		t.Skip("did not run: set POSTERN_TEST_PGBOUNCER to the program pgbouncer")
	}
	server, err := url.Parse(s.URL)
	must(t, err)
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	must(t, os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", server.User.Username(), "any"), 0o644))
	for path := dir; len(path) > len(os.TempDir()); path = filepath.Dir(path) {
		must(t, os.Chmod(path, 0o755))
	}
	config, socket := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, ".s.PGSQL.6432")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%s
[pgbouncer]
listen_port = 6432
unix_socket_dir = %s
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
%s
`, server.Hostname(), server.Port(), dir, users, more), 0o644))
	args := []string{config}
	if os.Getuid() == 0 { // it refuses to run as root
		args = append([]string{"-u", "postgres"}, args...)
		u, err := user.Lookup("postgres")
		must(t, err)
		uid, err := strconv.Atoi(u.Uid)
		must(t, err)
		must(t, os.Chown(dir, uid, -1))
	}
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if err == nil {
			must(t, c.Close())
			break
		}
		select {
		case <-ended:
			t.Fatalf("pgbouncer ended: %s", out.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return func(address string) string {
		u, err := url.Parse(address)
		must(t, err)
		u.Host = ""
		q := u.Query()
		q.Set("host", dir)
		q.Set("port", "6432")
		u.RawQuery = q.Encode()
		return u.String()
	}
}

// A PgBouncer that gives each transaction another connection is noticed, and what every backend
// must do is done through it, from the first table on.
func TestPgBouncerContention(t *testing.T) { storagetest.TestContention(t, bouncer(t)) }
func TestPgBouncerTenants(t *testing.T)    { storagetest.TestTenants(t, bouncer(t)) }
func TestPgBouncerDirectory(t *testing.T)  { storagetest.TestDirectory(t, bouncer(t)) }
func TestPgBouncerTokens(t *testing.T)     { storagetest.TestTokens(t, bouncer(t)) }
func TestPgBouncerSessions(t *testing.T)   { storagetest.TestSessions(t, bouncer(t)) }

func bouncer(t *testing.T) storagetest.Open {
	t.Helper()
	s := storagetest.StartPostgres(t)
	return postgresThrough(t, s, startPgBouncer(t, s, ""))
}

// through PgBouncer, a tenant sees its own tables and no other's, also where it says
// nothing of what it leaves out. The control does as if there were none.
func TestPgBouncerKeepsTenantsApart(t *testing.T) {
	s := storagetest.StartPostgres(t)
	through := startPgBouncer(t, s, "ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout,jit\ndefault_pool_size = 1")
	address := through(s.Create(t))
	ctx := t.Context()
	db := open(t, sqldb.Options{URL: address})
	for _, id := range []core.TenantID{"t_a", "t_b"} {
		_, err := db.CreateTenant(ctx, id, string(id))
		must(t, err)
		must(t, db.CreateUser(ctx, id, &core.User{UserName: "of " + string(id)}))
	}
	strays := func() int {
		var n atomic.Int64
		var wg sync.WaitGroup
		for _, id := range []core.TenantID{"t_a", "t_b"} {
			wg.Go(func() {
				for i := range 200 {
					of := []string{"t_a", "t_b"}[i%2]
					if _, err := db.UserByName(ctx, id, "of "+of); (string(id) == of) != (err == nil) {
						n.Add(1)
					}
				}
			})
		}
		wg.Wait()
		return int(n.Load())
	}
	if n := strays(); n != 0 {
		t.Errorf("%d users of one tenant were seen in the other, or not in their own", n)
	}
	db.WithoutPooler()
	if strays() == 0 {
		t.Error("control: without the mode, nothing strays: the test shows nothing")
	}
	// Who says that there is none is told.
	if _, err := sqldb.Open(ctx, sqldb.Options{URL: address + "&pgbouncer=false", Master: master(t, 'k')}); err == nil || !strings.Contains(err.Error(), "pgbouncer=false") {
		t.Errorf("pgbouncer=false: %v", err)
	}
	strict := startPgBouncer(t, s, "")(s.Create(t))
	if _, err := sqldb.Open(ctx, sqldb.Options{URL: strict + "&pgbouncer=false", Master: master(t, 'k')}); err == nil || !strings.Contains(err.Error(), "pgbouncer=false") {
		t.Errorf("pgbouncer=false: %v", err)
	}
}

// What one node changes is heard by another through PgBouncer, which carries no notifications.
func TestPgBouncerNodesFollow(t *testing.T) {
	s := storagetest.StartPostgres(t)
	address := startPgBouncer(t, s, "")(s.Create(t))
	one, two := open(t, sqldb.Options{URL: address}), open(t, sqldb.Options{URL: address + "&pgbouncer=true"})
	heard := make(chan core.Change, 100)
	two.OnChange = func(_ core.TenantID, changes []core.Change) {
		for _, c := range changes {
			heard <- c
		}
	}
	defer two.Follow(t.Context())()
	must(t, two.Ping(t.Context()))
	u := &core.User{UserName: "alice"}
	must(t, one.CreateUser(t.Context(), "public", u))
	deadline := time.After(time.Minute)
	for {
		select {
		case c := <-heard:
			if c.ID == string(u.ID) {
				return
			}
		case <-deadline:
			t.Fatal(errors.New("nothing was heard of the user"))
		}
	}
}
