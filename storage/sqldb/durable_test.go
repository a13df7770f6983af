package sqldb_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
)

// childDir tells a copy of the test binary to be the process that is killed.
const childDir = "POSTERN_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Println(child(dir))
		os.Exit(1) // only a kill ends it otherwise
	}
	os.Exit(m.Run())
}

// child writes users and ends sessions without end, and says what is done.
func child(dir string) error {
	m, err := keys.NewMaster(bytes.Repeat([]byte{'k'}, keys.MinSecret))
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := sqldb.Open(ctx, sqldb.Options{Dir: dir, Master: m})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		u := &core.User{UserName: fmt.Sprintf("%s-%d-%d", "user", os.Getpid(), i), Active: true}
		if err := db.CreateUser(ctx, "public", u); err != nil {
			return err
		}
		fmt.Println("user", u.UserName)
		id := core.SessionID(fmt.Sprint("s-", u.UserName))
		if err := db.SaveSession(ctx, "public", core.Hash(string(id)), &core.Session{ID: id, User: u.ID, Expires: time.Now().Add(time.Hour)}); err != nil {
			return err
		}
		fmt.Println("session", id)
		if i%2 == 0 {
			if _, err := db.DeleteSession(ctx, "public", id); err != nil {
				return err
			}
			fmt.Println("ended", id)
		}
	}
}

// L-09: what was acknowledged survives kill -9, the store opens again at once, and
// its invariants hold.
func TestKilled(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	dir := t.TempDir()
	acked := map[string]string{} // what, to the last thing said of it
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() }) // of a test that failed: else it is dead already
		lines := make(chan string, 1<<16)
		go func() {
			defer close(lines)
			for s := bufio.NewScanner(out); s.Scan(); {
				lines <- s.Text()
			}
		}()
		select {
		case line := <-lines:
			note(t, acked, line)
		case <-time.After(20 * time.Second):
			t.Fatal("the process wrote nothing")
		}
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		must(t, cmd.Process.Kill())
		for line := range lines {
			note(t, acked, line)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the process ended by itself")
		}
	}
	start := time.Now()
	db := open(t, sqldb.Options{Dir: dir})
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("opening took %v", d)
	}
	users := 0
	for what, last := range acked {
		switch last {
		case "user":
			users++
			if _, err := db.UserByName(t.Context(), "public", what); err != nil {
				t.Errorf("acknowledged user %s: %v", what, err)
			}
		case "session":
			_, err := db.SessionByID(t.Context(), "public", core.SessionID(what))
			if err != nil && (!errors.Is(err, core.ErrNotFound) || !endedUnsaid(acked, what)) {
				t.Errorf("acknowledged session %s: %v", what, err)
			}
		case "ended":
			if _, err := db.SessionByID(t.Context(), "public", core.SessionID(what)); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("session %s, whose end was acknowledged, lives: %v", what, err)
			}
		}
	}
	if users < rounds {
		t.Errorf("%d users were acknowledged in %d rounds", users, rounds)
	}
	checkFiles(t, db)
	all, n, err := db.ListUsers(t.Context(), "public", api.Query{Limit: 1000})
	must(t, err)
	pks := map[int64]bool{}
	for _, u := range all {
		if pks[u.PK] {
			t.Errorf("PK %d twice", u.PK)
		}
		pks[u.PK] = true
	}
	t.Logf("%d rounds, %d users acknowledged, %d there", rounds, users, n)
}

func note(t *testing.T, acked map[string]string, line string) {
	t.Helper()
	kind, what, ok := strings.Cut(line, " ")
	if !ok || kind != "user" && kind != "session" && kind != "ended" {
		t.Errorf("the process said %q", line)
		return
	}
	acked[what] = kind
}

// endedUnsaid allows for a session whose end was done but not yet said.
func endedUnsaid(acked map[string]string, id string) bool {
	i, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	return err == nil && i%2 == 0 && acked[id] == "session"
}

func checkFiles(t *testing.T, db *sqldb.DB) {
	t.Helper()
	for _, q := range []string{`SELECT integrity_check FROM pragma_integrity_check`, `SELECT coalesce(min("table"), 'ok') FROM pragma_foreign_key_check`} {
		if got, err := db.Text(t.Context(), "public", q); got != "ok" || err != nil {
			t.Errorf("%s: %s, %v", q, got, err)
		}
	}
}

func saveCode(t *testing.T, db *sqldb.DB, plain string) [32]byte {
	t.Helper()
	ctx := t.Context()
	u, err := db.UserByName(ctx, "public", "akadmin")
	must(t, err)
	g := &oidc.Grant{User: u.ID, ClientID: "c", Created: time.Now(), Expires: time.Now().Add(time.Hour)}
	must(t, db.SaveGrant(ctx, "public", g))
	hash := core.Hash(plain)
	must(t, db.SaveCode(ctx, "public", &oidc.Code{Hash: hash, Grant: g.ID, Expires: time.Now().Add(time.Minute)}))
	return hash
}

// A crash while a tenant was being made leaves scraps: the next start clears them
// away, and never takes the log of a file that is gone for that of its successor.
func TestScrapsOfACrash(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {})
	scraps := []string{"tenants/public.db-123.tmp", "template.db-9.tmp"}
	for _, name := range scraps {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600))
	}
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {})
	for _, name := range scraps {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "tenants/t_x.db-wal"), []byte("a stale log"), 0o600))
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		_, err := db.CreateTenant(t.Context(), "t_x", "x")
		must(t, err)
	})
}
