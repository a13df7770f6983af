package sqldb_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/backup"
	"github.com/postern-sso/postern/storage/sqldb"
)

// upgradeDir tells a copy of the test binary to be the process that is killed in an
// upgrade; upgradeURL, where its database is; upgradeStop, where it waits for that;
// upgradeFile, a backup that it restores instead.
const (
	upgradeDir  = "POSTERN_TEST_UPGRADE_DIR"
	upgradeURL  = "POSTERN_TEST_UPGRADE_URL"
	upgradeStop = "POSTERN_TEST_UPGRADE_STOP"
	upgradeFile = "POSTERN_TEST_UPGRADE_FILE"
)

// later are three migrations of a version to come. In the middle of each there is a
// statement that takes its time, by n.
func later(n int) fstest.MapFS {
	out := fstest.MapFS{}
	for i := range 3 {
		out[fmt.Sprintf("migrations/%d_later.sql", 9001+i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `-- +goose Up
ALTER TABLE users ADD COLUMN later%[1]d TEXT NOT NULL DEFAULT 'none';
UPDATE users SET later%[1]d = 'half';
INSERT INTO meta (name, value) SELECT 'later%[1]d', max(n) FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %[2]d) SELECT CAST(n AS TEXT) AS n FROM c) AS counted;
UPDATE users SET later%[1]d = 'whole';
CREATE TABLE later%[1]d (id TEXT NOT NULL PRIMARY KEY);
-- +goose Down
SELECT 1;
`, i, n)}
	}
	return out
}

// upgradeChild opens a directory with the migrations to come, and says how far it is.
func upgradeChild(dir string) error {
	m, err := keys.NewMaster(bytes.Repeat([]byte{'k'}, keys.MinSecret))
	if err != nil {
		return err
	}
	opt := sqldb.Later(sqldb.Options{URL: os.Getenv(upgradeURL), Dir: dir, Master: m}, later(60_000), func(what string) {
		fmt.Println(what)
		if what == os.Getenv(upgradeStop) {
			time.Sleep(time.Minute)
		}
	})
	if path := os.Getenv(upgradeFile); path != "" {
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return restore(context.Background(), opt, file, sqldb.RestoreOptions{Replace: true})
	}
	db, err := sqldb.Open(context.Background(), opt)
	if err != nil {
		return err
	}
	fmt.Println("open")
	time.Sleep(time.Minute)
	return db.Close()
}

// old makes a directory with two tenants, of the version before; its login is alive.
func old(t *testing.T, opt sqldb.Options) {
	again(t, opt, func(db *sqldb.DB) {
		u := &core.User{UserName: "alice", Active: true}
		must(t, db.CreateUser(t.Context(), "public", u))
		must(t, db.SaveSession(t.Context(), "public", core.Hash("key"), &core.Session{ID: "s", User: u.ID, Expires: time.Now().Add(time.Hour)}))
		_, err := db.CreateTenant(t.Context(), "t_a", "A")
		must(t, err)
	})
}

// upgraded checks that all tenants are of the version to come, and nothing is lost.
func upgraded(t *testing.T, opt sqldb.Options) {
	t.Helper()
	again(t, sqldb.Later(opt, later(1), nil), func(db *sqldb.DB) {
		for _, id := range []core.TenantID{"public", "t_a"} {
			if v, err := db.Schema(t.Context(), id); err != nil || v.Directory != 9003 {
				t.Errorf("tenant %s is of version %+v, %v", id, v, err)
			}
			n, err := db.Text(t.Context(), id, `SELECT CAST(count(*) AS TEXT) FROM users WHERE later0 <> 'whole' OR later2 <> 'whole'`)
			if err != nil || n != "0" {
				t.Errorf("tenant %s: %s users are half done, %v", id, n, err)
			}
		}
		if _, err := db.SessionByID(t.Context(), "public", "s"); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
		if strings.HasPrefix(opt.URL, "postgres") {
			v, err := db.Text(t.Context(), "public", `SELECT CAST(max(version_id) AS TEXT) FROM template.postern_version`)
			if err != nil || v != "9003" {
				t.Errorf("the schema that new tenants are cloned from is of version %s, %v", v, err)
			}
		}
	})
}

// L-14: a process that is killed in the middle of an upgrade, wherever that is, leaves
// what the next start completes, and a snapshot of before. Sessions survive.
func TestKilledInUpgrade(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			for _, at := range []struct {
				line string
				then time.Duration // the migrations of a tenant take longer
			}{{"", 0}, {"snapshot written", 0}, {"snapshot", 0}, {"snapshot", 60 * time.Millisecond}, {"migrated t_a", 0}, {"migrated t_a", 60 * time.Millisecond}, {"migrated public", 0}} {
				opt := place(t)
				old(t, opt)
				before := dump(t, opt)
				killed(t, opt, "", at.line, at.then)
				upgraded(t, opt)
				path, err := sqldb.LastSnapshot(opt.Dir)
				must(t, err)
				rollback(t, opt, path)
				same(t, withoutSeed(dump(t, opt)), withoutSeed(before))
			}
		})
	}
}

// What new tenants are copied from comes first, so that none begins old, and the default tenant last: until then
// the upgrade is not done.
func TestUpgradeOrder(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			old(t, opt)
			var order []string
			again(t, sqldb.Later(opt, later(1), func(what string) {
				order = append(order, what)
				if name == "sqlite" || what != "migrated the template" {
					return
				}
				for schema, want := range map[string]bool{"template": true, "t_a": false, "public": false} {
					newest := 0
					must(t, one(t, opt.URL, `SELECT max(version_id) FROM `+schema+`.postern_version`, &newest))
					if done := newest == 9003; done != want {
						t.Errorf("after the template, %s is of version %d", schema, newest)
					}
				}
			}), func(*sqldb.DB) {})
			if want := []string{"snapshot written", "snapshot", "migrated the template", "migrated t_a", "migrated public"}; !slices.Equal(order, want) {
				t.Errorf("%q, want %q", order, want)
			}
		})
	}
}

// killed lets a process begin to upgrade, or to restore a file, and kills it at a line
// that it says, or some time after it.
func killed(t *testing.T, opt sqldb.Options, file, line string, then time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), upgradeDir+"="+opt.Dir, upgradeURL+"="+opt.URL, upgradeFile+"="+file)
	if then == 0 {
		cmd.Env = append(cmd.Env, upgradeStop+"="+line)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := line == ""
	for s := bufio.NewScanner(out); !said && s.Scan(); {
		said = s.Text() == line
	}
	time.Sleep(then)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if !said {
		t.Errorf("the process never said %q", line)
	}
}

func rollback(t *testing.T, opt sqldb.Options, path string) {
	t.Helper()
	file, err := os.ReadFile(path)
	must(t, err)
	must(t, restore(t.Context(), sqldb.Later(opt, later(1), nil), file, sqldb.RestoreOptions{Replace: true, AsItWas: true}))
}

// withoutSeed leaves out the counter that every start moves, and what says when a start made the
// first brand.
func withoutSeed(dump string) string {
	rows := strings.Split(strings.ReplaceAll(dump, "\n\t", "\t"), "\n")
	rows = slices.DeleteFunc(rows, func(row string) bool {
		table, _, _ := strings.Cut(row, "\t")
		return strings.Contains(row, "\tname=\"seed\"") || strings.HasSuffix(table, " brands") || strings.Contains(row, "\tkind=\"brand\"")
	})
	return strings.ReplaceAll(strings.Join(rows, "\n"), "\t", "\n\t")
}

// An upgrade makes a snapshot before it changes anything, once; a start without one
// makes none; only the newest few are kept; a rollback is for the version before,
// which runs on it.
func TestUpgradeMakesSnapshot(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			old(t, opt)
			before := dump(t, opt)
			if _, err := sqldb.LastSnapshot(opt.Dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a snapshot without an upgrade: %v", err)
			}
			for range 4 {
				upgraded(t, opt)
				upgraded(t, opt)
				path, err := sqldb.LastSnapshot(opt.Dir)
				must(t, err)
				rollback(t, opt, path)
				same(t, withoutSeed(dump(t, opt)), withoutSeed(before))
				again(t, opt, func(db *sqldb.DB) { // the version before
					_, err := db.SessionByID(t.Context(), "public", "s")
					must(t, err)
				})
			}
			again(t, opt, func(db *sqldb.DB) { // what tenants are copied from may be of the version that was rolled back
				_, err := db.CreateTenant(t.Context(), "t_after", "After")
				must(t, err)
				must(t, db.CreateUser(t.Context(), "t_after", &core.User{UserName: "bob", Active: true}))
			})
			found, err := filepath.Glob(filepath.Join(opt.Dir, "snapshots", "*"))
			if err != nil || len(found) != 6 {
				t.Errorf("snapshots %v, %v: want three of upgrades and three of what was replaced", found, err)
			}
		})
	}
}

// Without a snapshot there is no upgrade, nor with tables that are damaged, nor with
// another secret. Nothing is changed.
func TestUpgradeRefused(t *testing.T) {
	opt := places()["sqlite"](t)
	old(t, opt)
	before := dump(t, opt)
	refused := func(opt sqldb.Options, want string) {
		t.Helper()
		_, err := sqldb.Open(t.Context(), sqldb.Later(opt, later(1), nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
		same(t, dump(t, opt), before)
	}
	snapshots := filepath.Join(opt.Dir, "snapshots")
	must(t, os.WriteFile(snapshots, nil, 0o600))
	refused(opt, "upgrade of the tables from version")
	must(t, os.Remove(snapshots))
	other := opt
	other.Master = master(t, 'x')
	_, err := sqldb.Open(t.Context(), sqldb.Later(other, later(1), nil))
	if !errors.Is(err, sqldb.ErrOtherSecret) {
		t.Errorf("error %v", err)
	}
	same(t, dump(t, opt), before)
	again(t, opt, func(db *sqldb.DB) {
		must(t, db.Stray(t.Context()))
	})
	before = dump(t, opt)
	refused(opt, "not sound")
	again(t, opt, func(db *sqldb.DB) {
		must(t, db.Exec(t.Context(), "public", `DELETE FROM memberships WHERE user_id = 'nobody'`))
	})
	upgraded(t, opt) // the control
}

// A restore that is killed at any point leaves the old data or the new, whole.
func TestRestoreIsAtomic(t *testing.T) {
	opt := places()["sqlite"](t)
	old(t, opt)
	file := filepath.Join(t.TempDir(), "file")
	again(t, opt, func(db *sqldb.DB) {
		must(t, backup.WriteFile(file, func(w io.Writer) error { return db.Backup(t.Context(), w, sqldb.BackupOptions{}) }))
		must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: "since"}))
	})
	for at, want := range map[string]bool{"snapshot written": true, "loaded": true, "staged": true, "committed": false} {
		copied := opt
		copied.Dir = filepath.Join(t.TempDir(), "data")
		must(t, os.CopyFS(copied.Dir, os.DirFS(opt.Dir)))
		killed(t, copied, file, at, 0)
		again(t, sqldb.Later(copied, later(1), nil), func(db *sqldb.DB) {
			_, err := db.UserByName(t.Context(), "public", "since")
			if (err == nil) != want {
				t.Errorf("killed at %q: %v", at, err)
			}
			_, err = db.SessionByID(t.Context(), "public", "s")
			must(t, err)
			_, err = db.Tenant(t.Context(), "t_a")
			must(t, err)
		})
		for _, scrap := range []string{"restore.tmp", "restored", "tenants.replaced"} {
			if _, err := os.Stat(filepath.Join(copied.Dir, scrap)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("killed at %q: %s is left: %v", at, scrap, err)
			}
		}
	}
}

// L-14: runs on a database of a version to come, as beside nodes that were upgraded, or after the program before was put
// back: it reads, writes and makes tenants, leaves what it does not know as it is, and what it backs up is a backup of
// the tables that are there, whole, which only that version restores.
func TestNewerSchema(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			old(t, opt)
			again(t, sqldb.Later(opt, later(1), nil), func(db *sqldb.DB) { must(t, db.Exec(t.Context(), "public", `UPDATE users SET later0 = 'kept'`)) })
			schema := func(db *sqldb.DB, id core.TenantID) {
				t.Helper()
				if s, err := db.Schema(t.Context(), id); err != nil || s.Directory != 9003 {
					t.Errorf("%s is of version %d, %v", id, s.Directory, err)
				}
			}
			var file bytes.Buffer
			again(t, opt, func(db *sqldb.DB) {
				ctx := t.Context()
				u := &core.User{UserName: "alice's heir", Active: true}
				must(t, db.CreateUser(ctx, "public", u))
				_, err := db.UpdateUser(ctx, "public", u.PK, func(u *core.User) error { u.DisplayName = "A"; return nil })
				must(t, err)
				must(t, db.CreateGroup(ctx, "public", &core.Group{Name: "g"}, []int64{u.PK}))
				_, err = db.CreateTenant(ctx, "t_new", "new")
				must(t, err)
				schema(db, "public")
				schema(db, "t_new")
				if was, err := db.Text(ctx, "public", `SELECT later0 FROM users WHERE username = 'akadmin'`); err != nil || was != "kept" {
					t.Errorf("a column to come has %q, %v", was, err)
				}
				must(t, db.Backup(ctx, &file, sqldb.BackupOptions{}))
			})
			want := dump(t, opt)
			if !strings.Contains(want, "schema 9003 ") || !strings.Contains(want, "kept") {
				t.Errorf("the dump does not show the tables that there are: %.200s", want)
			}
			if err := restore(t.Context(), opt, file.Bytes(), sqldb.RestoreOptions{Replace: true}); !errors.Is(err, sqldb.ErrNewer) {
				t.Errorf("it restores what it does not know: %v", err)
			}
			same(t, dump(t, opt), want)
			target := sqldb.Later(place(t), later(1), nil)
			must(t, restore(t.Context(), target, file.Bytes(), sqldb.RestoreOptions{}))
			same(t, dump(t, target), want)
		})
	}
}

// A backup of a newer version is refused by name.
func TestNewerBackup(t *testing.T) {
	opt := places()["sqlite"](t)
	old(t, opt)
	var b bytes.Buffer
	again(t, sqldb.Later(opt, later(1), nil), func(db *sqldb.DB) {
		must(t, db.Backup(t.Context(), &b, sqldb.BackupOptions{Product: "7.7.7"}))
	})
	err := restore(t.Context(), places()["sqlite"](t), b.Bytes(), sqldb.RestoreOptions{})
	if !errors.Is(err, sqldb.ErrNewer) || !strings.Contains(err.Error(), "7.7.7") {
		t.Errorf("error %v", err)
	}
}

// The tables of every version that was released, with rows in each, come up to date in
// either database: by restoring a backup of them, and by starting on them.
func TestReleasedSchemas(t *testing.T) {
	files, err := filepath.Glob("testdata/schema-*.backup")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no fixture")
	}
	for _, path := range files {
		file, err := os.ReadFile(path)
		must(t, err)
		for name, place := range places() {
			t.Run(filepath.Base(path)+" in "+name, func(t *testing.T) {
				restored, started := place(t), place(t)
				must(t, restore(t.Context(), restored, file, sqldb.RestoreOptions{}))
				must(t, restore(t.Context(), started, file, sqldb.RestoreOptions{AsItWas: true}))
				if strings.Contains(dump(t, started), "schema 1 and 1") == strings.Contains(dump(t, restored), "schema 1 and 1") {
					t.Error("the fixture is not of the version before")
				}
				again(t, restored, func(*sqldb.DB) {}) // writes what only a start can, as folded names
				want := withoutSeed(dump(t, restored))
				again(t, started, func(*sqldb.DB) {})
				same(t, withoutSeed(dump(t, started)), want)
				for _, opt := range []sqldb.Options{restored, started} {
					again(t, opt, func(db *sqldb.DB) {
						db.Indexed()
						must(t, db.Exec(t.Context(), "public", `UPDATE users SET attributes = '{}'`)) // theirs are no JSON
						for _, by := range []string{"username_fold", "name_fold", "email_fold"} {
							text, err := db.Text(t.Context(), "public", `SELECT `+by+` FROM users WHERE username <> 'akadmin' ORDER BY pk LIMIT 1`)
							must(t, err)
							word := text[len(text)-8:] // hexadecimal digits
							_, n, err := db.ListUsers(t.Context(), "public", api.Query{Search: word})
							if err != nil || n == 0 {
								t.Errorf("by %s %q: %d, %v", by, word, n, err)
							}
						}
					})
				}
				again(t, restored, func(db *sqldb.DB) {
					u, err := db.UserByName(t.Context(), "public", "akadmin")
					must(t, err)
					id, err := db.Text(t.Context(), "public", `SELECT id FROM key_pairs WHERE name = 'fixture'`)
					must(t, err)
					k, err := db.KeyPair(t.Context(), "public", core.KeyPairID(id))
					if err != nil || k.PrivateKey != "the same key" {
						t.Errorf("%+v, %v", k, err)
					}
					_, err = db.UpdateUser(t.Context(), "public", u.PK, func(u *core.User) error { u.DisplayName = "A"; return nil })
					must(t, err)
				})
			})
		}
	}
}

// TestMakeFixture writes the fixture of the version that is run, where it is told to.
func TestMakeFixture(t *testing.T) {
	path := os.Getenv("POSTERN_MAKE_FIXTURE")
	if path == "" {
		t.Skip("did not run: it is for the maintainer who releases a version, with POSTERN_MAKE_FIXTURE=testdata/schema-<n>.backup")
	}
	opt := places()["sqlite"](t)
	again(t, opt, func(db *sqldb.DB) {
		must(t, db.CreateKeyPair(t.Context(), "public", &core.KeyPair{Name: "fixture", PrivateKey: "the same key"}))
	})
	file, _ := populated(t, opt, 3, sqldb.BackupOptions{Product: "fixture"})
	must(t, backup.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(file)
		return err
	}))
}
