package sqldb_test

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// L-09 on PostgreSQL: our process is killed, the server lives.
func TestPostgresKilled(t *testing.T) {
	k := newKiller(t, "", storagetest.StartPostgres(t).Create(t))
	k.prepare()
	k.rounds(kills(t, 20))
}

// L-09: killed in its first start, while it migrates the schemas in place.
func TestPostgresKilledInFirstStart(t *testing.T) {
	s := storagetest.StartPostgres(t)
	k := newKiller(t, "", "")
	for range max(1, kills(t, 12)/4) { // making a database takes most of the time
		k.opt.URL = s.Create(t)
		var promised []string
		for range 1 + k.rand.IntN(3) {
			k.round("found", 250, sigkill)
			promised = append(promised, k.lines...)
		}
		k.founded(promised)
	}
}

// L-09: the database server itself ends without a warning, in turn by an immediate shutdown and
// by kill -9, while our process writes; the server has fsync on. Our process finds it again.
func TestPostgresServerKilled(t *testing.T) {
	storagetest.StartPostgres(t) // says that it did not run where there is none
	s := ownPostgres(t)
	k := newKiller(t, "", s.address)
	k.outage = true
	k.prepare()
	for i := range max(2, kills(t, 10)/5) {
		names := k.round("write", 0, func(cmd *exec.Cmd) {
			s.crash(i%2 == 0)
			sigkill(cmd)
		})
		s.start()
		k.use(func(db *sqldb.DB) { k.report(k.lost(db, names)) })
	}
	k.all()

	// A directory that stays open over the crash works again as soon as the server does.
	k.use(func(db *sqldb.DB) {
		s.crash(true)
		if err := db.CreateUser(t.Context(), "public", &core.User{UserName: "while-away", Active: true}); err == nil {
			t.Error("control: a write succeeded without a server")
		}
		s.start()
		g, err := db.Text(t.Context(), "public", `SELECT id FROM groups WHERE name = $1`, staff)
		must(t, err)
		must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: "back", Active: true, Groups: []core.GroupID{core.GroupID(g)}}))
		if _, err := db.UserByName(t.Context(), "public", "back"); err != nil {
			t.Error(err)
		}
		k.report(db.Broken(t.Context(), "public", true))
	})
}

// serverOfOurs is a PostgreSQL server that a test may crash.
type serverOfOurs struct {
	t        *testing.T
	bin, dir string
	port     int
	address  string
	as       *syscall.Credential // nil: as ourselves
	pid      int
}

func ownPostgres(t *testing.T) *serverOfOurs {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	must(t, err)
	slices.Sort(found)
	s := &serverOfOurs{t: t}
	if path, err := exec.LookPath("initdb"); err == nil {
		s.bin = filepath.Dir(path)
	} else if len(found) > 0 {
		s.bin = found[len(found)-1]
	} else {
		t.Skip("did not run: there is no initdb")
	}
	parent, err := os.MkdirTemp("", "postern-pg-") //nolint:usetesting // PostgreSQL's user has to get there
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(parent)) })
	s.dir = filepath.Join(parent, "data")
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("did not run: root cannot run PostgreSQL, and there is no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		must(t, os.Chown(parent, uid, gid))
		must(t, os.Chmod(parent, 0o711))
	}
	s.run("initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-U", "postgres", "-D", s.dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.port = l.Addr().(*net.TCPAddr).Port
	must(t, l.Close())
	s.address = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	t.Cleanup(func() { s.crash(false) })
	s.start()
	return s
}

func (s *serverOfOurs) run(program string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// start waits until the server takes connections: after a crash, until it has recovered.
func (s *serverOfOurs) start() {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.dir, "-c", "listen_addresses=127.0.0.1", "-c", fmt.Sprint("port=", s.port),
		"-c", "unix_socket_directories=", "-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "shared_buffers=16MB")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	log, err := os.OpenFile(filepath.Join(s.t.TempDir(), "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(s.t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	// A postmaster that was killed leaves children that go a moment later; until then a new one refuses.
	for range 200 {
		must(s.t, cmd.Start())
		s.pid = cmd.Process.Pid
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if s.answers(ended) {
			return
		}
		again := exec.Command(cmd.Path, cmd.Args[1:]...)
		again.Dir, again.SysProcAttr, again.Stdout, again.Stderr = cmd.Dir, cmd.SysProcAttr, log, log
		cmd = again
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	s.t.Fatalf("PostgreSQL does not start: %s", strings.TrimSpace(string(text)))
}

// answers reports false where the server ended instead.
func (s *serverOfOurs) answers(ended <-chan error) bool {
	db, err := sql.Open("pgx", s.address)
	must(s.t, err)
	defer db.Close()
	for range 1200 {
		select {
		case <-ended:
			return false
		case <-time.After(25 * time.Millisecond):
		}
		if db.PingContext(s.t.Context()) == nil {
			return true
		}
	}
	return false
}

// crash ends the server at once: its children by an immediate shutdown, or the postmaster by kill -9.
func (s *serverOfOurs) crash(immediate bool) {
	sig := syscall.SIGKILL
	if immediate {
		sig = syscall.SIGQUIT
	}
	_ = syscall.Kill(s.pid, sig)
	for range 400 {
		if syscall.Kill(s.pid, 0) != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
