package counterparts_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// ownPostgres is a PostgreSQL server that a test may stop and change.
type ownPostgres struct {
	t        *testing.T
	bin, dir string
	port     string
	as       *syscall.Credential // nil: as ourselves
}

// under makes what fails the failure of a subtest.
func (s *ownPostgres) under(t *testing.T) {
	before := s.t
	s.t = t
	t.Cleanup(func() { s.t = before })
}

// startOwnPostgres makes a server with few connections. POSTERN_TEST_POSTGRES_BIN names the directory of
// initdb and pg_ctl.
func startOwnPostgres(t *testing.T) *ownPostgres {
	t.Helper()
	s := &ownPostgres{t: t, bin: counterpart(t, "POSTERN_TEST_POSTGRES_BIN"), port: porttest.Free(t)}
	parent, err := os.MkdirTemp("", "postern-pg-") //nolint:usetesting // PostgreSQL's user has to get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	s.dir = filepath.Join(parent, "data")
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := errors.Join(os.Chown(parent, uid, gid), os.Chmod(parent, 0o711)); err != nil {
			t.Fatal(err)
		}
	}
	s.run("initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-U", "postgres", "-D", s.dir)
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(s.dir, "postmaster.pid")); err == nil {
			s.stop("immediate")
		}
	})
	s.start()
	return s
}

func (s *ownPostgres) run(program string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	// The server keeps what it inherits: a pipe would be waited for as long as it runs.
	out, err := os.CreateTemp(s.t.TempDir(), "out")
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		s.t.Fatalf("%s: %v\n%s\n%s", program, err, said, tail(string(log), 3000))
	}
}

func (s *ownPostgres) start() {
	s.t.Helper()
	s.run("pg_ctl", "-s", "-w", "-t", "60", "-D", s.dir, "-l", filepath.Join(s.dir, "log"),
		"-o", "-c listen_addresses=127.0.0.1 -p "+s.port+" -c unix_socket_directories='' -c fsync=off -c max_connections=30", "start")
}

func (s *ownPostgres) stop(mode string) {
	s.t.Helper()
	s.run("pg_ctl", "-s", "-w", "-t", "60", "-D", s.dir, "-m", mode, "stop")
}

// signal reaches every process of the server: each has a process group of its own.
func (s *ownPostgres) signal(sig syscall.Signal) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "postmaster.pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		s.t.Skip("did not run: /proc does not tell whose child is whose")
	}
	for _, p := range append(strings.Fields(string(children)), pid) {
		n, err := strconv.Atoi(p)
		if err == nil {
			err = syscall.Kill(n, sig)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			s.t.Fatal(err)
		}
	}
}

func (s *ownPostgres) url() *url.URL {
	return &url.URL{Scheme: "postgres", User: url.User("postgres"), Host: "127.0.0.1:" + s.port, Path: "/postgres", RawQuery: "sslmode=disable"}
}

// execute runs SQL past Postern, also where the server says that it is read-only.
func execute(t *testing.T, database *url.URL, statements ...string) {
	t.Helper()
	u := *database
	u.RawQuery += "&default_transaction_read_only=off"
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// exhaust takes every connection that the server gives, those of the nodes too, until release is called.
func (s *ownPostgres) exhaust() (release func()) {
	s.t.Helper()
	db, err := sql.Open("pgx", s.url().String()+"&application_name=exhaust")
	if err != nil {
		s.t.Fatal(err)
	}
	db.SetMaxIdleConns(-1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.t.Cleanup(cancel)
	var taken []*sql.Conn
	giveBack := func() {
		for _, c := range taken {
			c.Close()
		}
		taken = nil
		db.Close()
	}
	s.t.Cleanup(giveBack)
	for {
		c, err := db.Conn(ctx)
		if err == nil {
			taken = append(taken, c)
			continue
		}
		if !strings.Contains(err.Error(), "53300") { // too_many_connections
			s.t.Fatal(err)
		}
		var others int
		if err := taken[0].QueryRowContext(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND application_name <> 'exhaust'`).Scan(&others); err != nil {
			s.t.Fatal(err)
		}
		if others == 0 {
			return giveBack
		}
		time.Sleep(5 * time.Millisecond)
	}
}
