package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/backup"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// places are where a directory may be. Each call makes a new one.
func places() map[string]func(*testing.T) sqldb.Options {
	return map[string]func(*testing.T) sqldb.Options{
		"sqlite": func(t *testing.T) sqldb.Options {
			return sqldb.Options{Dir: filepath.Join(t.TempDir(), "data"), Master: master(t, 'k')}
		},
		"postgres": func(t *testing.T) sqldb.Options {
			return sqldb.Options{URL: storagetest.StartPostgres(t).Create(t), Dir: filepath.Join(t.TempDir(), "data"), Master: master(t, 'k')}
		},
	}
}

func dump(t testing.TB, opt sqldb.Options) string {
	t.Helper()
	var b bytes.Buffer
	must(t, sqldb.Dump(t.Context(), opt, &b))
	return b.String()
}

// same tells where two dumps differ first.
func same(t testing.TB, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Fatalf("line %d of the dump is\n%.200s\nwant\n%.200s", i+1, a, b)
		}
	}
}

// populated fills a directory and gives its backup and its dump.
func populated(t testing.TB, opt sqldb.Options, rows int, bo sqldb.BackupOptions) ([]byte, string) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	db, err := sqldb.Open(t.Context(), opt)
	must(t, err)
	for _, id := range []core.TenantID{"t_a", "t_b"} {
		_, err := db.CreateTenant(t.Context(), id, "tenant "+string(id))
		must(t, err)
	}
	for _, id := range []core.TenantID{"public", "t_a", "t_b"} {
		must(t, db.Populate(t.Context(), id, r, rows))
	}
	if left, err := db.Unpopulated(t.Context(), "public"); err != nil || len(left) > 0 {
		t.Errorf("the test does not cover %v, %v", left, err)
	}
	var b bytes.Buffer
	must(t, db.Backup(t.Context(), &b, bo))
	must(t, db.Close())
	return b.Bytes(), dump(t, opt)
}

func bySecret(m *keys.Master) func(*backup.Header) (backup.Key, error) {
	return func(*backup.Header) (backup.Key, error) { return sqldb.BackupKey(m), nil }
}

func restore(ctx context.Context, opt sqldb.Options, file []byte, ro sqldb.RestoreOptions) error {
	r, err := backup.Open(bytes.NewReader(file), bySecret(opt.Master))
	if err != nil {
		return err
	}
	_, err = sqldb.Restore(ctx, opt, r, ro)
	return err
}

// L-15: what is restored is what was there, in every table and column, from either
// database into either, and a backup of that is the same again.
func TestRoundTrip(t *testing.T) {
	for from, open := range places() {
		for to, into := range places() {
			t.Run(from+" to "+to, func(t *testing.T) {
				file, want := populated(t, open(t), 12, sqldb.BackupOptions{Product: "1.2.3"})
				target := into(t)
				must(t, restore(t.Context(), target, file, sqldb.RestoreOptions{}))
				same(t, dump(t, target), want)
				again(t, target, func(db *sqldb.DB) {
					_, err := db.Tenant(t.Context(), "t_b")
					must(t, err)
					must(t, db.CreateUser(t.Context(), "t_b", &core.User{UserName: "new"}))
				})
			})
		}
	}
}

// The control: a dump shows a change of any column of any table, so that equal dumps
// are equal data.
func TestDumpShowsEveryColumn(t *testing.T) {
	db := open(t, places()["sqlite"](t))
	must(t, db.Populate(t.Context(), "public", rand.New(rand.NewPCG(1, 2)), 3))
	columns, err := sqldb.Columns(t.Context())
	must(t, err)
	text := func() string {
		var b bytes.Buffer
		must(t, db.Dump(t.Context(), &b))
		return b.String()
	}
	before := text()
	tried := 0
	for _, c := range columns {
		if err := db.Spoil(t.Context(), "public", c); err != nil {
			// A key that others refer to: it cannot change alone.
			if !strings.Contains(err.Error(), "FOREIGN KEY") {
				t.Errorf("%s: %v", c, err)
			}
			continue
		}
		now := text()
		if now == before {
			t.Errorf("a change of %s does not show", c)
		}
		before = now
		tried++
	}
	if tried < len(columns)/2 {
		t.Errorf("only %d of %d columns could be changed", tried, len(columns))
	}
}

// A backup that is taken while people write is whole: who is a member is there, and a
// session's user is.
func TestBackupWhileWriting(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			db := open(t, opt)
			ctx, stop := context.WithCancel(t.Context())
			var written atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ; ctx.Err() == nil; written.Add(1) {
					u := &core.User{UserName: "w" + core.RandomAlphanumeric(12), Active: true}
					if db.CreateUser(ctx, "public", u) != nil {
						break
					}
					_ = db.CreateGroup(ctx, "public", &core.Group{Name: u.UserName}, []int64{u.PK})
					_ = db.SaveSession(ctx, "public", core.Hash(u.UserName), &core.Session{ID: core.SessionID(u.UserName), User: u.ID, Expires: time.Now().Add(time.Hour)})
				}
			}()
			var files [][]byte
			for n := int64(0); len(files) < 4; n = written.Load() {
				for written.Load() == n && t.Context().Err() == nil { // somebody writes between two
					time.Sleep(time.Millisecond)
				}
				var b bytes.Buffer
				must(t, db.Backup(t.Context(), &b, sqldb.BackupOptions{}))
				files = append(files, b.Bytes())
			}
			stop()
			<-done
			for _, file := range files {
				target := places()["sqlite"](t)
				must(t, restore(t.Context(), target, file, sqldb.RestoreOptions{})) // checks references
				again(t, target, func(db *sqldb.DB) {
					missing, err := db.StrayUsers(t.Context())
					if err != nil || missing != 0 {
						t.Errorf("%d sessions are newer than their user, %v", missing, err)
					}
				})
			}
		})
	}
}

// What is refused is refused with its reason, and changes nothing.
func TestRestoreRefuses(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			file, want := populated(t, place(t), 6, sqldb.BackupOptions{Product: "9.9"})
			target := place(t)
			must(t, restore(t.Context(), target, file, sqldb.RestoreOptions{}))
			whole := sqldb.RestoreOptions{Replace: true}
			for what, c := range map[string]struct {
				file []byte
				fill byte
				ro   sqldb.RestoreOptions
				want error
			}{
				"a place that is in use by data": {file, 'k', sqldb.RestoreOptions{}, sqldb.ErrNotEmpty},
				"another secret":                 {file, 'x', whole, backup.ErrKey},
				"half of it":                     {file[:len(file)/2], 'k', whole, backup.ErrCorrupt},
				"all but a byte":                 {file[:len(file)-1], 'k', whole, backup.ErrCorrupt},
				"a changed byte":                 {flip(file, len(file)-100), 'k', whole, backup.ErrCorrupt},
				"a changed header":               {bytes.Replace(file, []byte(`"9.9"`), []byte(`"9.8"`), 1), 'k', whole, backup.ErrCorrupt},
				"something else":                 {[]byte("PK\x03\x04 this is no backup"), 'k', whole, backup.ErrNotBackup},
				"nothing":                        {nil, 'k', whole, backup.ErrNotBackup},
			} {
				opt := target
				opt.Master = master(t, c.fill)
				if err := restore(t.Context(), opt, c.file, c.ro); !errors.Is(err, c.want) {
					t.Errorf("%s: error %v, want %v", what, err, c.want)
				}
			}
			same(t, dump(t, target), want)
			// The same file, whole, with the right secret, is restored.
			must(t, restore(t.Context(), target, file, whole))
			// Somebody has it open.
			db := open(t, target)
			if err := restore(t.Context(), target, file, whole); !errors.Is(err, sqldb.ErrLocked) {
				t.Errorf("error %v, want %v", err, sqldb.ErrLocked)
			}
			must(t, db.Ping(t.Context()))
		})
	}
}

func flip(file []byte, at int) []byte {
	c := bytes.Clone(file)
	c[at] ^= 1
	return c
}

// A restore that replaces gives no number again that was given since the backup, makes
// a snapshot first, and removes what the backup does not have.
func TestReplace(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			var b bytes.Buffer
			var last int64
			var kept core.User
			again(t, opt, func(db *sqldb.DB) {
				kept = core.User{UserName: "kept"}
				must(t, db.CreateUser(t.Context(), "public", &kept))
				must(t, db.Backup(t.Context(), &b, sqldb.BackupOptions{}))
				u := &core.User{UserName: "later"}
				must(t, db.CreateUser(t.Context(), "public", u))
				_, err := db.CreateTenant(t.Context(), "t_later", "later")
				must(t, err)
				last = u.PK
			})
			must(t, restore(t.Context(), opt, b.Bytes(), sqldb.RestoreOptions{Replace: true}))
			again(t, opt, func(db *sqldb.DB) {
				if _, err := db.UserByName(t.Context(), "public", "later"); !errors.Is(err, core.ErrNotFound) {
					t.Errorf("what the backup does not have is there: %v", err)
				}
				if _, err := db.Tenant(t.Context(), "t_later"); !errors.Is(err, core.ErrNotFound) {
					t.Errorf("a tenant that the backup does not have is there: %v", err)
				}
				u, err := db.UserByName(t.Context(), "public", "kept")
				if err != nil || u.ID != kept.ID || u.PK != kept.PK {
					t.Errorf("%+v, %v", u, err)
				}
				next := &core.User{UserName: "next"}
				must(t, db.CreateUser(t.Context(), "public", next))
				if next.PK <= last {
					t.Errorf("PK %d was given again", next.PK)
				}
				_, err = db.CreateTenant(t.Context(), "t_later", "again")
				must(t, err)
			})
			found, err := filepath.Glob(filepath.Join(opt.Dir, "snapshots", "replaced-*.backup"))
			if err != nil || len(found) != 1 {
				t.Fatalf("snapshots %v, %v", found, err)
			}
			snapshot, err := os.ReadFile(found[0])
			must(t, err)
			must(t, restore(t.Context(), opt, snapshot, sqldb.RestoreOptions{Replace: true}))
			again(t, opt, func(db *sqldb.DB) {
				_, err := db.UserByName(t.Context(), "public", "later")
				must(t, err)
			})
		})
	}
}

// Without logins everybody logs in again, and nothing else is lost.
func TestWithoutSessions(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			file, _ := populated(t, place(t), 6, sqldb.BackupOptions{})
			less, _ := populated(t, place(t), 6, sqldb.BackupOptions{WithoutSessions: true})
			for i, c := range []struct {
				file []byte
				ro   sqldb.RestoreOptions
				some bool
			}{{file, sqldb.RestoreOptions{}, true}, {file, sqldb.RestoreOptions{WithoutSessions: true}, false}, {less, sqldb.RestoreOptions{}, false}} {
				target := place(t)
				must(t, restore(t.Context(), target, c.file, c.ro))
				text := dump(t, target)
				for _, table := range []string{"sessions", "attempts", "auth_requests"} {
					if got := strings.Contains(text, "public "+table+"\n"); got != c.some {
						t.Errorf("case %d: rows of %s: %v", i, table, got)
					}
				}
				if !strings.Contains(text, "t_a refresh_tokens\n") {
					t.Errorf("case %d: refresh tokens are lost", i)
				}
			}
		})
	}
}

// A passphrase alone opens what it sealed, master secret included.
func TestPassphrase(t *testing.T) {
	secret := core.Secret(strings.Repeat("k", keys.MinSecret))
	opt := places()["sqlite"](t)
	file, want := populated(t, opt, 6, sqldb.BackupOptions{Passphrase: "twelve letters", Secret: secret})
	if bytes.Contains(file, []byte(secret)) {
		t.Error("the file shows the secret")
	}
	with := func(p core.Secret) func(*backup.Header) (backup.Key, error) {
		return func(*backup.Header) (backup.Key, error) { return backup.Key{Passphrase: p}, nil }
	}
	if _, err := backup.Open(bytes.NewReader(file), with("twelve letterz")); !errors.Is(err, backup.ErrKey) {
		t.Errorf("error %v", err)
	}
	if _, err := backup.Open(bytes.NewReader(file), bySecret(opt.Master)); !errors.Is(err, backup.ErrKey) {
		t.Errorf("error %v", err)
	}
	r, err := backup.Open(bytes.NewReader(file), with("twelve letters"))
	must(t, err)
	if r.Secret != secret {
		t.Error("it does not carry the secret")
	}
	target := places()["sqlite"](t)
	_, err = sqldb.Restore(t.Context(), target, r, sqldb.RestoreOptions{})
	must(t, err)
	same(t, dump(t, target), want)
}

// what is one tenant's is not restored as another's, by whoever could write a
// backup; and the header is no place for secrets.
func TestTenantsStayApart(t *testing.T) {
	opt := places()["sqlite"](t)
	file, _ := populated(t, opt, 6, sqldb.BackupOptions{})
	rewrite := func(change func(*backup.Section)) []byte {
		r, err := backup.Open(bytes.NewReader(file), bySecret(opt.Master))
		must(t, err)
		var out bytes.Buffer
		w, err := backup.NewWriter(&out, r.Header, sqldb.BackupKey(opt.Master), "")
		must(t, err)
		for {
			s, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			change(s)
			must(t, w.Section(*s))
			for {
				record, err := r.Record()
				if errors.Is(err, io.EOF) {
					break
				}
				must(t, err)
				must(t, w.Record(record))
			}
		}
		must(t, w.Close())
		return out.Bytes()
	}
	for what, change := range map[string]func(*backup.Section){
		"a as b": func(s *backup.Section) {
			if s.Tenant == "t_a" {
				s.Tenant = "t_b"
			}
		},
		"a's users as b's": func(s *backup.Section) {
			if s.Tenant == "t_a" && s.Name == "users" {
				s.Tenant = "t_b"
			}
		},
		"a path": func(s *backup.Section) {
			if s.Tenant == "t_a" {
				s.Tenant = "../t_a"
			}
		},
		"a table twice": func(s *backup.Section) {
			if s.Name == "outbox" {
				s.Name = "users"
			}
		},
		"an unknown table": func(s *backup.Section) {
			if s.Name == "outbox" {
				s.Name = "sqlite_master"
			}
		},
		"an unknown column": func(s *backup.Section) {
			if s.Name == "outbox" {
				s.Columns[0].Name = `seq") SELECT`
			}
		},
	} {
		target := places()["sqlite"](t)
		if err := restore(t.Context(), target, rewrite(change), sqldb.RestoreOptions{}); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("%s: error %v", what, err)
		}
		if _, err := os.Stat(filepath.Join(target.Dir, "tenants", "public.db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something is left: %v", what, err)
		}
	}
	// The control: the same file, written again without a change, is restored.
	must(t, restore(t.Context(), places()["sqlite"](t), rewrite(func(*backup.Section) {}), sqldb.RestoreOptions{}))
}

// atFirst does something when the first part is written, in the middle of the default tenant.
type atFirst struct {
	io.Writer
	once sync.Once
	do   func()
}

func (w *atFirst) Write(p []byte) (int, error) {
	w.once.Do(w.do)
	return w.Writer.Write(p)
}

// A tenant that is deleted while a backup is written makes it none, which says what to do; the next one is whole. That
// the tenant stays is the control.
func TestBackupWhileATenantIsDeleted(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			again(t, opt, func(db *sqldb.DB) {
				_, err := db.CreateTenant(t.Context(), "t_a", "A")
				must(t, err)
				_, err = db.CreateTenant(t.Context(), "t_b", "B")
				must(t, err)
				must(t, db.Exec(t.Context(), "public", `INSERT INTO meta (name, value) VALUES ('more than a part', $1)`, core.RandomAlphanumeric(600_000)))
				must(t, db.Backup(t.Context(), &atFirst{Writer: io.Discard, do: func() {}}, sqldb.BackupOptions{}))
				err = db.Backup(t.Context(), &atFirst{Writer: io.Discard, do: func() { storagetest.Remove(t, db, "t_a") }}, sqldb.BackupOptions{})
				if err == nil || !strings.Contains(err.Error(), "tenant t_a was deleted") || !strings.Contains(err.Error(), "make it again") {
					t.Errorf("error %v", err)
				}
				var file bytes.Buffer
				must(t, db.Backup(t.Context(), &file, sqldb.BackupOptions{}))
				must(t, restore(t.Context(), place(t), file.Bytes(), sqldb.RestoreOptions{}))
			})
		})
	}
}
