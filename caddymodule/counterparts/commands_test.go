package counterparts_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each command that needs no server works on a PostgreSQL database while no node runs, and what it did is there
// when one does.
func TestCommandsOnPostgreSQL(t *testing.T) {
	database := newDatabase(t)
	f := newFleet(t)
	n := f.add(t, database, "origin http://localhost:"+f.port, "allow_groups staff")
	ran(t, "caddy")
	ran(t, "postgresql")
	staff := n.addGroup(t, "staff")
	n.addUser(t, "alice", staff)
	n.addUser(t, "outsider")
	p := f.person(t)
	refused := p.login(f.app()+"/", "outsider")
	id := regexp.MustCompile(`<code>([A-Za-z0-9-]{8,})</code>`).FindStringSubmatch(refused.body)
	if id == nil {
		t.Fatalf("no decision on the page: %d %s", refused.status, tail(refused.body, 2000))
	}

	dir := t.TempDir()
	env := append(os.Environ(), n.env...)
	try := func(stdin string, args ...string) (string, error) {
		t.Helper()
		cmd := exec.Command(counterpart(t, "POSTERN_TEST_CADDY"), append([]string{"postern"}, args...)...)
		cmd.Env, cmd.Stdin, cmd.Dir = env, strings.NewReader(stdin), dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	does := func(want, stdin string, args ...string) {
		t.Helper()
		args = append(args, "--config", n.caddyfile)
		out, err := try(stdin, args...)
		if err != nil || !regexp.MustCompile("(?m)"+want).MatchString(out) {
			t.Errorf("caddy postern %s: %v, want %q\n%s", strings.Join(args, " "), err, want, tail(out, 2000))
		}
	}
	const anew = "the new secret of the fleet, which is long enough"
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte(fleetSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serving := env
	rewrap := []string{"key", "rewrap", "--old-secret-file", old}
	// What a node seals after another process has sealed everything anew would be lost: while one serves, the secret
	// stays. Control: it changes below, where none does.
	env = append(serving, "FLEET_SECRET="+anew)
	if out, err := try("", append(rewrap, "--config", n.caddyfile)...); err == nil || !strings.Contains(out, "stop every node") || !strings.Contains(out, "old_secret") {
		t.Errorf("rewrap beside a node: %v\n%s", err, tail(out, 2000))
	}
	env = serving
	n.stop(t)

	const pair = "authentik Self-signed Certificate"
	does(`^alice .*staff`, "", "user", "list")
	does(``, "bobs long password\nbobs long password\n", "user", "create", "bob", "--email", "bob@example.com")
	does(``, "", "user", "add-to-group", "bob", "staff")
	does(``, password("bob")+"\n"+password("bob")+"\n", "user", "set-password", "bob")
	does(``, "", "user", "deactivate", "alice")
	does(`^http://.*/recovery/use-token/`, "", "user", "recovery-link", "bob")
	does(``, "", "group", "create", "made here")
	does(`^made here `, "", "group", "list")
	does(pair, "", "key", "list")
	does(``, "", "key", "rotate", pair)
	does(`^Who +outsider$`, "", "explain", id[1])
	does(``, "", "backup", "-o", "before.backup")
	does(`bob@example.com`, "", "dump")

	// A database that nobody serves is replaced by what it was before.
	does(``, "", "user", "remove-from-group", "bob", "staff")
	does(``, "", "restore", filepath.Join(dir, "before.backup"), "--replace")
	does(`^bob .*staff`, "", "user", "list")

	// The secret changes, and the node begins with the new one.
	env = append(serving, "FLEET_SECRET="+anew)
	if out, err := try("", "user", "list", "--config", n.caddyfile); err == nil {
		t.Errorf("control: the new secret opens what the old one sealed: %s", out)
	}
	does(`sealed anew`, "", rewrap...)
	does(``, "", "key", "revoke", pair)

	n.env = append(n.env, "FLEET_SECRET="+anew)
	n.begin(t)
	if page := f.person(t).login(f.app()+"/", "bob"); page.body != "for bob" {
		t.Errorf("bob, whom a command made, is at %s: %d %s", page.url, page.status, tail(page.body, 500))
	}
	if got := n.status(t, "/api/v3/core/users/", "Authorization", "Bearer "+bootstrapToken); got != http.StatusOK {
		t.Error(fmt.Sprint("the API: ", got))
	}
}
