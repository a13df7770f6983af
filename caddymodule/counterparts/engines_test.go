package counterparts_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command runs `caddy postern …` on a Caddyfile, for a server that is stopped.
func (p *postern) command(t testing.TB, args ...string) string {
	t.Helper()
	return p.postern(t, append(args, "--config", p.caddyfile)...)
}

// online is command, for the server that runs.
func (p *postern) online(t testing.TB, args ...string) string {
	t.Helper()
	return p.postern(t, append(args, "--address", "localhost:"+p.admin)...)
}

func (p *postern) postern(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, counterpart(t, "POSTERN_TEST_CADDY"), append([]string{"postern"}, args...)...)
	cmd.Env = append(os.Environ(), p.env...)
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("caddy postern %s: %v\n%s%s", strings.Join(args, " "), err, out, failed.String())
	}
	return string(out)
}

// An installation moves from SQLite to PostgreSQL and back, as the README says: the same
// people, keys and logins, and not a row that differs.
func TestFromSQLiteToPostgreSQLAndBack(t *testing.T) {
	database := newDatabase(t)
	files := startPostern(t, bootstrapped()...)
	ran(t, "caddy")
	ran(t, "postgresql")
	files.addUser(t, "alice", files.addGroup(t, "staff"))
	wiki := files.seedApplication(t, "wiki", "http://127.0.0.1:1/callback", `return {"policy": "readwrite"}`)
	before, _ := logIn(t, wiki, "alice", "profile", "minio")
	files.stop(t)
	dump := files.command(t, "dump")
	if !strings.Contains(dump, `username="alice"`) {
		t.Fatal("the dump does not hold alice")
	}
	backup := filepath.Join(t.TempDir(), "files.backup")
	files.command(t, "backup", "-o", backup)

	// The same machine, ports and secret; another database.
	shared := *files
	shared.caddyfile = filepath.Join(t.TempDir(), "Caddyfile")
	config, err := os.ReadFile(files.caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(string(config), "\tpostern {\n", "\tpostern {\n\t\tdatabase "+database.String()+"\n", 1)
	if moved == string(config) {
		t.Fatal("the example has no postern block")
	}
	if err := os.WriteFile(shared.caddyfile, []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	shared.command(t, "restore", backup)
	if got := shared.command(t, "dump"); got != dump {
		t.Error("PostgreSQL holds something else than SQLite did")
	}
	shared.start(t)
	after, _ := logIn(t, wiki, "alice", "profile", "minio")
	if before.Subject != after.Subject || before.Issuer != after.Issuer {
		t.Errorf("subject %q of %q was %q of %q", after.Subject, after.Issuer, before.Subject, before.Issuer)
	}
	shared.api(t, http.MethodPost, "/core/groups/", `{"name": "made on PostgreSQL"}`, http.StatusCreated)
	shared.stop(t)
	dump = shared.command(t, "dump")
	backup = filepath.Join(t.TempDir(), "shared.backup")
	shared.command(t, "backup", "-o", backup)

	files.command(t, "restore", backup, "--replace")
	if got := files.command(t, "dump"); got != dump {
		t.Error("SQLite holds something else than PostgreSQL did")
	}
	files.start(t)
	logIn(t, wiki, "alice")
	if got := files.first(t, "/core/groups/?name=made+on+PostgreSQL"); got["name"] != "made on PostgreSQL" {
		t.Errorf("%v", got)
	}
}
