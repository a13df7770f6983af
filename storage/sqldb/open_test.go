package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage"
	"github.com/postern-sso/postern/storage/sqldb"
)

// again opens a directory that was closed before.
func again(t *testing.T, opt sqldb.Options, use func(*sqldb.DB)) {
	t.Helper()
	if opt.Master == nil {
		opt.Master = master(t, 'k')
	}
	db, err := sqldb.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	use(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOtherSecretIsRefused(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		must(t, db.CreateKeyPair(t.Context(), "public", &core.KeyPair{Name: "k", PrivateKey: "secret"}))
	})
	_, err := sqldb.Open(t.Context(), sqldb.Options{Dir: dir, Master: master(t, 'x')})
	if !errors.Is(err, sqldb.ErrOtherSecret) || !strings.Contains(err.Error(), "AUTHENTIK_SECRET_KEY") { // the variable that the server reads
		t.Fatalf("error %v", err)
	}
	// Nothing was changed, nothing is held: the right secret opens it.
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		ks, n, err := db.ListKeyPairs(t.Context(), "public", api.Query{})
		if err != nil || n != 1 || ks[0].PrivateKey != "secret" {
			t.Errorf("%v, %v", ks, err)
		}
	})
}

func TestBadOptions(t *testing.T) {
	for want, opt := range map[string]sqldb.Options{
		"no master secret":  {Dir: t.TempDir()},
		"no data directory": {Master: master(t, 'k')},
		`"mysql"`:           {Master: master(t, 'k'), URL: "mysql://root:pa55word@h/db"},
		"database URL":      {Master: master(t, 'k'), URL: "postgres://u:pa55word@h:badport/db"},
	} {
		_, err := sqldb.Open(t.Context(), opt)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pa55word") {
			t.Errorf("error %v, want one that says %s", err, want)
		}
	}
	if _, err := storage.OpenDirectory(t.Context(), "mysql://root:pa55word@h/db", sqldb.Options{}); err == nil || strings.Contains(err.Error(), "pa55word") {
		t.Errorf("error %v", err)
	}
	db, err := storage.OpenDirectory(t.Context(), "sqlite", sqldb.Options{Dir: t.TempDir(), Master: master(t, 'k')})
	must(t, err)
	must(t, db.Ping(t.Context()))
	must(t, db.Close())
}

func TestDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	db, err := sqldb.Open(t.Context(), sqldb.Options{Dir: dir, Master: master(t, 'k')})
	must(t, err)
	_, err = sqldb.Open(t.Context(), sqldb.Options{Dir: dir, Master: master(t, 'k')})
	if !errors.Is(err, sqldb.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Fatalf("error %v, want one that names process %d", err, os.Getpid())
	}
	must(t, db.Ping(t.Context()))
	must(t, db.Close())
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {})
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a closed directory answers")
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	db := open(t, sqldb.Options{Dir: dir})
	must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: "x"}))
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
		return nil
	}))
}

// What the disk holds tells no secret: neither in the files nor in their logs.
func TestSecretsAreNotOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	db := open(t, sqldb.Options{Dir: dir})
	ctx := t.Context()
	const canary = "plain-text-canary"
	u := &core.User{UserName: "alice", DisplayName: "visible-name", Active: true}
	must(t, db.CreateUser(ctx, "public", u))
	must(t, db.CreateKeyPair(ctx, "public", &core.KeyPair{Name: "k", PrivateKey: canary}))
	must(t, db.CreateClient(ctx, "public", &core.Client{ProviderBase: core.ProviderBase{Name: "c"}, ClientID: "c", Secret: canary}))
	must(t, db.CreateToken(ctx, "public", &core.Token{Identifier: "t", User: u.ID}, canary))
	must(t, db.SaveSession(ctx, "public", core.Hash(canary), &core.Session{ID: "s", User: u.ID, Expires: time.Now().Add(time.Hour)}))
	seen := map[string]bool{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(canary)) {
			t.Errorf("%s holds a secret", path)
		}
		if bytes.Contains(b, []byte("visible-name")) {
			seen[d.Name()] = true // the control: this is where it would be found
		}
		return err
	}))
	if len(seen) == 0 {
		t.Error("not even a name was found: the test looks at the wrong place")
	}
}

// A ciphertext opens in its own row only.
func TestCiphertextStaysInItsRow(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	ctx := t.Context()
	a, b := &core.KeyPair{Name: "a", PrivateKey: "of a"}, &core.KeyPair{Name: "b", PrivateKey: "of b"}
	must(t, db.CreateKeyPair(ctx, "public", a))
	must(t, db.CreateKeyPair(ctx, "public", b))
	must(t, db.Exec(ctx, "public", `UPDATE key_pairs SET private_key = (SELECT private_key FROM key_pairs WHERE name = 'a') WHERE name = 'b'`))
	k, err := db.KeyPair(ctx, "public", b.ID)
	if err == nil {
		t.Fatalf("b opened with the key %s", string(k.PrivateKey))
	}
	if strings.Contains(err.Error(), "of a") {
		t.Error(err)
	}
}

func TestSeed(t *testing.T) {
	dir := t.TempDir()
	made := 0
	opt := sqldb.Options{Dir: dir,
		Mappings: []core.PropertyMapping{
			{Kind: core.MappingScope, Managed: "m/email", Name: "default email", Expression: "return {}", ScopeName: "email", Claims: []string{"email"}},
			{Kind: core.MappingScope, Managed: "m/profile", Name: "default profile", Expression: "return {}", ScopeName: "profile"},
		},
		NewKeyPair: func() (*core.KeyPair, error) { made++; return &core.KeyPair{Certificate: "c", PrivateKey: "p"}, nil },
	}
	ctx := t.Context()
	var kept core.MappingID
	again(t, opt, func(db *sqldb.DB) {
		ms, n, err := db.ListMappings(ctx, "public", core.MappingScope, api.Query{Order: []string{"name"}})
		must(t, err)
		if n != 2 || ms[0].Managed != "m/email" || ms[0].Claims[0] != "email" {
			t.Fatalf("mappings %+v", ms)
		}
		kept = ms[0].ID
		_, err = db.UpdateMapping(ctx, "public", core.MappingScope, kept, func(m *core.PropertyMapping) error { m.Expression = "return 'mine'"; return nil })
		must(t, err)
		must(t, db.DeleteMapping(ctx, "public", core.MappingScope, ms[1].ID))
		ks, n, err := db.ListKeyPairs(ctx, "public", api.Query{})
		must(t, err)
		if n != 1 || ks[0].Name != core.SelfSignedKeyPair || ks[0].PrivateKey != "p" {
			t.Errorf("key pairs %+v", ks)
		}
		u, err := db.UserByName(ctx, "public", "akadmin")
		must(t, err)
		must(t, db.DeleteUser(ctx, "public", u.PK))
		g, _, err := db.ListGroups(ctx, "public", api.Query{})
		must(t, err)
		_, err = db.UpdateGroup(ctx, "public", g[0].ID, func(g *core.Group) ([]int64, error) { g.Name = "renamed"; return nil, nil })
		must(t, err)
	})
	again(t, opt, func(db *sqldb.DB) {
		// a deleted administrator does not come back.
		if _, err := db.UserByName(ctx, "public", "akadmin"); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("akadmin is back: %v", err)
		}
		if _, n, err := db.ListGroups(ctx, "public", api.Query{}); n != 1 || err != nil {
			t.Errorf("%d groups, %v", n, err)
		}
		m, err := db.Mapping(ctx, "public", core.MappingScope, kept)
		must(t, err)
		if m.Expression != "return 'mine'" {
			t.Errorf("an administrator's expression was overwritten: %q", m.Expression)
		}
		if _, n, err := db.ListMappings(ctx, "public", core.MappingScope, api.Query{}); n != 2 || err != nil {
			t.Errorf("%d mappings, %v: the missing one should be back", n, err)
		}
		_, err = db.CreateTenant(ctx, "t_b", "B")
		must(t, err)
		if _, n, err := db.ListMappings(ctx, "t_b", core.MappingScope, api.Query{}); n != 2 || err != nil {
			t.Errorf("%d mappings in the new tenant, %v", n, err)
		}
	})
	if made != 2 {
		t.Errorf("%d key pairs made, want one for each tenant", made)
	}
	// A start without any change writes nothing to the outbox.
	var seq int64
	again(t, opt, func(db *sqldb.DB) { seq, _ = db.LastChange(ctx, "public") })
	again(t, opt, func(db *sqldb.DB) {
		if now, err := db.LastChange(ctx, "public"); now != seq || err != nil {
			t.Errorf("a quiet start moved the outbox from %d to %d, %v", seq, now, err)
		}
	})
}

func TestSeedMeetsOwnName(t *testing.T) {
	dir := t.TempDir()
	again(t, sqldb.Options{Dir: dir}, func(db *sqldb.DB) {
		must(t, db.CreateMapping(t.Context(), "public", &core.PropertyMapping{Kind: core.MappingScope, Name: "default email", Expression: "return 'own'"}))
	})
	var log bytes.Buffer
	opt := sqldb.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)), Mappings: []core.PropertyMapping{{Kind: core.MappingScope, Managed: "m/email", Name: "default email"}}}
	again(t, opt, func(db *sqldb.DB) {
		ms, n, err := db.ListMappings(t.Context(), "public", core.MappingScope, api.Query{})
		if err != nil || n != 1 || ms[0].Expression != "return 'own'" {
			t.Errorf("%+v, %v", ms, err)
		}
	})
	if !strings.Contains(log.String(), "m/email") {
		t.Errorf("the log does not tell: %s", log.String())
	}
}

// Open files are bounded, and a tenant whose files were closed opens again.
func TestManyTenants(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir(), MaxOpen: 3})
	ctx := t.Context()
	for i := range 8 {
		id := core.TenantID(fmt.Sprint("t_", i))
		_, err := db.CreateTenant(ctx, id, fmt.Sprint(i))
		must(t, err)
		must(t, db.CreateUser(ctx, id, &core.User{UserName: fmt.Sprint("user", i)}))
	}
	for i := range 8 {
		id := core.TenantID(fmt.Sprint("t_", i))
		if _, err := db.UserByName(ctx, id, fmt.Sprint("user", i)); err != nil {
			t.Error(err)
		}
		if _, err := db.UserByName(ctx, id, fmt.Sprint("user", (i+1)%8)); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("a user of another tenant: %v", err)
		}
		if n := db.OpenTenants(); n > 3 {
			t.Errorf("%d tenants are open", n)
		}
	}
}

func TestOnChange(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	var got []string
	note := func(who string) func(core.TenantID, []core.Change) {
		return func(id core.TenantID, changes []core.Change) {
			for _, c := range changes {
				got = append(got, fmt.Sprint(who, " ", id, " ", c.Kind, " ", c.Op, " ", c.Seq > 0))
			}
		}
	}
	db.OnChange = note("field")
	stop := db.Listen(note("listener"))
	ctx := t.Context()
	must(t, db.CreateUser(ctx, "public", &core.User{UserName: "a"}))
	if err := db.CreateUser(ctx, "public", &core.User{UserName: "a"}); err == nil {
		t.Error("a name twice")
	}
	stop()
	must(t, db.CreateGroup(ctx, "public", &core.Group{Name: "g"}, nil))
	want := "field public user create true|listener public user create true|field public group create true"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// The control of the test of contention: code that reads and then writes lets
// more than one through (O-16).
func TestNaiveConsumeHasSeveralWinners(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	ctx := t.Context()
	for try := range 50 {
		hash := saveCode(t, db, fmt.Sprint(try))
		wins := make(chan bool, 20)
		for range cap(wins) {
			go func() {
				wins <- db.ConsumeCodeNaively(ctx, "public", hash) == nil
			}()
		}
		n := 0
		for range cap(wins) {
			if <-wins {
				n++
			}
		}
		if n > 1 {
			return
		}
	}
	t.Error("reading and then writing had one winner each time: the test of contention proves nothing")
}

// Durability and foreign keys hang on settings of each connection.
func TestSettings(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	for _, sessionsFile := range []bool{false, true} {
		for _, write := range []bool{false, true} {
			got, err := db.Pragmas(t.Context(), "public", sessionsFile, write, "journal_mode", "synchronous", "foreign_keys", "query_only")
			must(t, err)
			want := "journal_mode=wal synchronous=2 foreign_keys=1 query_only=1"
			if write {
				want = strings.Replace(want, "query_only=1", "query_only=0", 1)
			}
			if got != want {
				t.Errorf("sessions %v, write %v: %s, want %s", sessionsFile, write, got, want)
			}
		}
	}
}

func TestWriterWaits(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	held, release, wrote := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { wrote <- db.HoldWriter("public", held, release) }()
	<-held
	done := sync.OnceFunc(func() { close(release) })
	defer done() // a failure does not leave it held
	// Readers do not wait for a writer.
	patient, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	_, err := db.UserByName(patient, "public", "akadmin")
	must(t, err)
	// A caller in a hurry gives up; one that waits is served.
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := db.CreateUser(short, "public", &core.User{UserName: "hurry"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- db.CreateUser(patient, "public", &core.User{UserName: "patient"}) }()
	waiting(t, db, 1)
	done()
	must(t, <-wrote)
	must(t, <-served)
	if _, err := db.UserByName(t.Context(), "public", "hurry"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("what was given up was done: %v", err)
	}
}
