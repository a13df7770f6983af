package sqldb_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
)

// L-08: on a full disk reads go on, writes fail as a whole, and nothing is spoilt.
func TestDiskFull(t *testing.T) {
	var log bytes.Buffer
	db := open(t, sqldb.Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx := t.Context()
	must(t, db.CreateUser(ctx, "public", &core.User{UserName: "before", Active: true}))
	must(t, db.FillDisk(ctx, "public", true))
	// Of a write whose end has no room nothing stays. Control: of two writes the first does.
	for name, apart := range map[string]bool{"whole": false, "by halves": true} {
		if err := db.GroupAndBigOne(ctx, "public", name, apart); !errors.Is(err, core.ErrUnavailable) {
			t.Fatalf("%s: error %v", name, err)
		}
		if _, err := db.Group(ctx, "public", core.GroupID(name)); errors.Is(err, core.ErrNotFound) == apart {
			t.Errorf("%s: the half that had room: %v", name, err)
		}
	}
	var full error
	for i := 0; full == nil && i < 1000; i++ {
		full = db.CreateUser(ctx, "public", &core.User{UserName: fmt.Sprint("user", i), Attributes: map[string]any{"x": strings.Repeat("x", 4000)}})
		if full != nil {
			if _, err := db.UserByName(ctx, "public", fmt.Sprint("user", i)); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("half a user: %v", err)
			}
		}
	}
	var fe *core.FieldError
	if full == nil || errors.As(full, &fe) || errors.Is(full, core.ErrNotFound) || !strings.Contains(full.Error(), "full") {
		t.Fatalf("error %v, want that the disk is full", full)
	}
	if !errors.Is(full, core.ErrUnavailable) {
		t.Errorf("error %v, want one that says that another time will do", full)
	}
	for range 50 {
		if err := db.CreateUser(ctx, "public", &core.User{UserName: "big", Attributes: map[string]any{"x": strings.Repeat("x", 90_000)}}); !errors.Is(err, core.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	// One alarm, however many writes are refused, and one line at the end.
	if n := strings.Count(log.String(), "takes no writes"); n != 1 || strings.Contains(log.String(), "writes again") {
		t.Errorf("%d alarms in the log: %s", n, log.String())
	}
	u, err := db.UserByName(ctx, "public", "before")
	must(t, err)
	// A code is not given out that was not stored.
	must(t, db.FillDisk(ctx, "public", false))
	hash := saveCode(t, db, "code")
	must(t, db.CreateUser(ctx, "public", &core.User{UserName: "after"}))
	if err := db.ConsumeCode(ctx, "public", hash, nil); err != nil {
		t.Error(err)
	}
	must(t, db.SaveGrant(ctx, "public", &oidc.Grant{User: u.ID, ClientID: "c", Expires: time.Now().Add(time.Hour)}))
	if n := strings.Count(log.String(), "writes again"); n != 1 {
		t.Errorf("%d lines tell that it is over: %s", n, log.String())
	}
	must(t, db.Ping(ctx))
	checkFiles(t, db)
}

// A directory that cannot be written to is an error that says so, not a panic.
func TestDirectoryIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	must(t, os.WriteFile(path, nil, 0o600))
	if _, err := sqldb.Open(t.Context(), sqldb.Options{Dir: path, Master: master(t, 'k')}); err == nil {
		t.Error("opened a file as a directory")
	}
	if _, err := sqldb.Open(t.Context(), sqldb.Options{Dir: filepath.Join(path, "below"), Master: master(t, 'k')}); err == nil {
		t.Error("opened a directory below a file")
	}
}

// A file that is no database is refused and left as it is.
func TestNotADatabase(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {})
	path := filepath.Join(dir, "tenants", "public.db")
	garbage := []byte(strings.Repeat("this is no database. ", 500))
	must(t, os.WriteFile(path, garbage, 0o600))
	if _, err := sqldb.Open(t.Context(), sqldb.Options{Dir: dir, Master: master(t, 'k')}); err == nil {
		t.Error("opened garbage")
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != string(garbage) {
		t.Errorf("the file was changed: %v", err)
	}
}

// A path with characters that mean something in a URL is a path like any other.
func TestOddPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%41?mode=memory#x&ü")
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: "alice"}))
	})
	if _, err := os.Stat(filepath.Join(dir, "tenants", "public.db")); err != nil {
		t.Error(err)
	}
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		_, err := db.UserByName(t.Context(), "public", "alice")
		must(t, err)
	})
}
