package sqldb_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// rewrapURL tells a copy of the test binary to seal a directory anew: a path, or a
// postgres:// URL.
const rewrapURL = "POSTERN_TEST_REWRAP"

func secretOf(fill byte) []byte { return []byte(strings.Repeat(string(fill), keys.MinSecret)) }

// changed is a master of the secret new, which knows what came before.
func changed(t *testing.T, fill byte, old ...byte) *keys.Master {
	t.Helper()
	var before [][]byte
	for _, o := range old {
		before = append(before, secretOf(o))
	}
	m, err := keys.NewMaster(secretOf(fill), before...)
	must(t, err)
	return m
}

func where(url string) sqldb.Options {
	if strings.Contains(url, "://") {
		return sqldb.Options{URL: url}
	}
	return sqldb.Options{Dir: url}
}

// rewrapChild begins to seal anew from k to n, and says each step. Only a kill ends it.
func rewrapChild(url string) error {
	m, err := keys.NewMaster(secretOf('n'), secretOf('k'))
	if err != nil {
		return err
	}
	opt := where(url)
	opt.Master, opt.Log = m, slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if _, err := sqldb.Open(context.Background(), opt); err != nil {
		return err
	}
	fmt.Println("opened")
	select {} // until it is killed
}

// eachRewrap runs a test on SQLite, and on PostgreSQL where there is one.
func eachRewrap(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("SQLite", func(t *testing.T) { f(t, t.TempDir()) })
	t.Run("PostgreSQL", func(t *testing.T) { f(t, storagetest.StartPostgres(t).Create(t)) })
}

// kept is one of everything that is sealed, in two tenants, and more of some.
type kept struct {
	tokens  map[string]core.Secret
	client  string
	secret  core.Secret
	pair    core.KeyPairID
	private core.Secret
	refresh [32]byte
}

const manyTokens = 250

func fillSealed(t *testing.T, url string) map[core.TenantID]*kept {
	t.Helper()
	opt := where(url)
	opt.Master = changed(t, 'k')
	db, err := sqldb.Open(t.Context(), opt)
	must(t, err)
	if _, err := db.CreateTenant(t.Context(), "t_b", "B"); err != nil {
		t.Fatal(err)
	}
	out := map[core.TenantID]*kept{}
	for _, tenant := range []core.TenantID{core.DefaultTenant, "t_b"} {
		k := &kept{tokens: map[string]core.Secret{}, client: "c", secret: core.Secret("secret of " + tenant)}
		u := &core.User{UserName: "u", Active: true}
		must(t, db.CreateUser(t.Context(), tenant, u))
		for i := range manyTokens {
			name, key := fmt.Sprint("token ", i), core.Secret(core.RandomAlphanumeric(30))
			must(t, db.CreateToken(t.Context(), tenant, &core.Token{Identifier: name, Intent: core.IntentAPI, User: u.ID}, key))
			k.tokens[name] = key
		}
		c := &core.Client{ProviderBase: core.ProviderBase{Name: "c"}, ClientID: k.client, Secret: k.secret}
		must(t, db.CreateClient(t.Context(), tenant, c))
		pair := &core.KeyPair{Name: "pair", Certificate: "cert", PrivateKey: core.Secret("private of " + tenant)}
		must(t, db.CreateKeyPair(t.Context(), tenant, pair))
		_, err := db.UpdateKeyPair(t.Context(), tenant, pair.ID, func(v *core.KeyPair) error {
			v.Former = []core.FormerKey{{Certificate: "former", PrivateKey: "former " + v.PrivateKey, SignsUntil: time.Now(), VerifiesUntil: time.Now().Add(time.Hour)}}
			return nil
		})
		must(t, err)
		k.pair, k.private = pair.ID, pair.PrivateKey
		g := &oidc.Grant{ClientID: c.ClientID, Provider: c.ID, User: u.ID, Created: time.Now(), Expires: time.Now().Add(time.Hour)}
		must(t, db.SaveGrant(t.Context(), tenant, g))
		k.refresh = core.Hash("refresh")
		code := core.Hash("code")
		must(t, db.SaveCode(t.Context(), tenant, &oidc.Code{Hash: code, Grant: g.ID, Expires: g.Expires}, nil, nil))
		must(t, db.ConsumeCode(t.Context(), tenant, code, &oidc.RefreshToken{Hash: k.refresh, Grant: g.ID, Expires: g.Expires}))
		answer := opt.Master.Seal(tenant, oidc.PurposeRefresh, hex.EncodeToString(k.refresh[:]), []byte("the answer"))
		_, err = db.RotateRefresh(t.Context(), tenant, &oidc.Rotation{Old: k.refresh, Next: &oidc.RefreshToken{Hash: core.Hash("next"), Grant: g.ID, Expires: g.Expires}, Sealed: answer, Grace: time.Hour})
		must(t, err)
		for i, purpose := range oidc.RequestPurposes() {
			id := fmt.Sprint("request", i)
			must(t, db.SaveAuthRequest(t.Context(), tenant, id, opt.Master.Seal(tenant, purpose, oidc.RequestPlace(id), []byte("the request")), g.Expires))
		}
		out[tenant] = k
	}
	must(t, db.StoreFile(t.Context(), "ca/root.key", []byte("the CA's key")))
	must(t, db.Close())
	return out
}

// readSealed reads all of it with a master that knows one secret only.
func readSealed(t *testing.T, url string, m *keys.Master, want map[core.TenantID]*kept) {
	t.Helper()
	opt := where(url)
	opt.Master = m
	db, err := sqldb.Open(t.Context(), opt)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	if key, err := db.LoadFile(t.Context(), "ca/root.key"); err != nil || string(key) != "the CA's key" {
		t.Errorf("a file of Caddy's: %v", err)
	}
	for tenant, k := range want {
		for name, key := range k.tokens {
			if got, err := db.TokenKey(t.Context(), tenant, name); err != nil || got != key {
				t.Fatalf("%s, %s: %v", tenant, name, err)
			}
		}
		if c, err := db.Client(t.Context(), tenant, k.client); err != nil || c.Secret != k.secret {
			t.Errorf("%s: client: %v", tenant, err)
		}
		pair, err := db.KeyPair(t.Context(), tenant, k.pair)
		if err != nil || pair.PrivateKey != k.private || len(pair.Former) != 1 || pair.Former[0].PrivateKey != "former "+k.private {
			t.Errorf("%s: key pair: %v", tenant, err)
		}
		sealed, err := db.RotateRefresh(t.Context(), tenant, &oidc.Rotation{Old: k.refresh, Next: &oidc.RefreshToken{Hash: core.Hash("x"), Grant: "x"}, Grace: time.Hour})
		if plain, oerr := m.Open(tenant, oidc.PurposeRefresh, hex.EncodeToString(k.refresh[:]), sealed); oerr != nil || string(plain) != "the answer" {
			t.Errorf("%s: answer: %v, %v", tenant, err, oerr)
		}
		for i, purpose := range oidc.RequestPurposes() {
			id := fmt.Sprint("request", i)
			sealed, err := db.AuthRequest(t.Context(), tenant, id)
			if plain, oerr := m.Open(tenant, purpose, oidc.RequestPlace(id), sealed); oerr != nil || string(plain) != "the request" {
				t.Errorf("%s: %s: %v, %v", tenant, id, err, oerr)
			}
		}
	}
}

// refused checks that a directory does not open, and why.
func refused(t *testing.T, url string, m *keys.Master, why string) {
	t.Helper()
	opt := where(url)
	opt.Master = m
	db, err := sqldb.Open(t.Context(), opt)
	if err == nil {
		must(t, db.Close())
		t.Fatal("it opened")
	}
	if !errors.Is(err, sqldb.ErrOtherSecret) || !strings.Contains(err.Error(), why) {
		t.Errorf("refused with: %v", err)
	}
	// Nor is it read past the door: a backup that half of could not be opened is none.
	if err := sqldb.Dump(t.Context(), opt, io.Discard); !errors.Is(err, sqldb.ErrOtherSecret) {
		t.Errorf("a dump: %v", err)
	}
}

// The master secret changes: everything is sealed anew, the old secret is refused, and
// the way back is the same.
func TestMasterSecretChanges(t *testing.T) {
	eachRewrap(t, func(t *testing.T, url string) {
		want := fillSealed(t, url)
		refused(t, url, changed(t, 'n'), "old_secret") // control: the new one alone cannot read it
		opt := where(url)
		opt.Master = changed(t, 'n', 'x', 'k')
		db, err := sqldb.Open(t.Context(), opt)
		must(t, err)
		// Tokens, and a client, a pair, a former key, an answer and two requests; the server's own file.
		if got := db.Rewrapped(); got != 2*(manyTokens+6)+1 {
			t.Errorf("%d were sealed anew", got)
		}
		must(t, db.Close())
		readSealed(t, url, changed(t, 'n'), want)
		refused(t, url, changed(t, 'k'), "set `secret`")
		again := where(url)
		again.Master = changed(t, 'n', 'k')
		db, err = sqldb.Open(t.Context(), again)
		must(t, err)
		if got := db.Rewrapped(); got != 0 {
			t.Errorf("%d were sealed anew a second time", got)
		}
		must(t, db.Close())
		readSealed(t, url, changed(t, 'n'), want)
	})
}

// A process that is killed in the middle, again and again, leaves what opens with both
// secrets and with neither alone, and nothing is lost.
func TestKilledWhileTheSecretChanges(t *testing.T) {
	eachRewrap(t, func(t *testing.T, url string) {
		want := fillSealed(t, url)
		middle := 0
		for range 5 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), rewrapURL+"="+url)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			lines := bufio.NewScanner(out)
			for lines.Scan() && !strings.Contains(lines.Text(), "sealed anew") && lines.Text() != "opened" {
			}
			done := lines.Text() == "opened"
			must(t, cmd.Process.Kill())
			for lines.Scan() {
				done = done || lines.Text() == "opened"
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("it ended by itself")
			}
			if done {
				break
			}
			middle++
			refused(t, url, changed(t, 'k'), "start with both")
			refused(t, url, changed(t, 'n'), "start with both")
			refused(t, url, changed(t, 'x', 'n'), "start with both")
		}
		if middle == 0 {
			t.Error("it was never killed in the middle")
		}
		opt := where(url)
		opt.Master = changed(t, 'n', 'k')
		db, err := sqldb.Open(t.Context(), opt)
		must(t, err)
		must(t, db.Close())
		readSealed(t, url, changed(t, 'n'), want)
		refused(t, url, changed(t, 'k'), "set `secret`")
	})
}

// What a version to come has sealed this one cannot seal anew: it changes no secret there, and nothing else. That version
// does.
func TestSecretOfANewerVersion(t *testing.T) {
	eachRewrap(t, func(t *testing.T, url string) {
		opt := where(url)
		opt.Master = master(t, 'k')
		if opt.Dir == "" {
			opt.Dir = t.TempDir()
		}
		old(t, opt)
		again(t, sqldb.Later(opt, later(1), nil), func(*sqldb.DB) {})
		want := dump(t, opt)
		change := opt
		change.Master = changed(t, 'n', 'k')
		if db, err := sqldb.Open(t.Context(), change); err == nil {
			t.Error("the secret is changed")
			must(t, db.Close())
		} else if !strings.Contains(err.Error(), "version 9003") || !strings.Contains(err.Error(), "old_secret") {
			t.Errorf("error %v", err)
		}
		same(t, dump(t, opt), want)
		again(t, opt, func(db *sqldb.DB) {
			if err := db.MayRewrap(t.Context()); err == nil || !strings.Contains(err.Error(), "version 9003") {
				t.Errorf("it may: %v", err)
			}
		})
		again(t, sqldb.Later(change, later(1), nil), func(db *sqldb.DB) { must(t, db.MayRewrap(t.Context())) }) // control
		again(t, change, func(*sqldb.DB) {})                                                                    // it has ended, and the one before is only still named
		opt.Master = master(t, 'n')
		again(t, opt, func(*sqldb.DB) {})
	})
}

// Who began and changes their mind goes back the same way.
func TestSecretChangesBack(t *testing.T) {
	url := t.TempDir()
	want := fillSealed(t, url)
	for _, m := range []*keys.Master{changed(t, 'n', 'k'), changed(t, 'k', 'n')} {
		opt := where(url)
		opt.Master = m
		db, err := sqldb.Open(t.Context(), opt)
		must(t, err)
		must(t, db.Close())
	}
	readSealed(t, url, changed(t, 'k'), want)
}

// A file of Caddy's that neither secret opens is left, and stops nothing: a certificate can be
// ordered anew. Control: a key that signs tokens stops the change.
func TestUnreadableFileStopsNoChange(t *testing.T) {
	url := t.TempDir()
	want := fillSealed(t, url)
	spoil := func(query string) {
		t.Helper()
		opt := where(url)
		opt.Master = changed(t, 'k')
		db, err := sqldb.Open(t.Context(), opt)
		must(t, err)
		must(t, db.Exec(t.Context(), core.DefaultTenant, query, []byte("nonsense, and long enough to be sealed")))
		must(t, db.Close())
	}
	change := func() error {
		opt := where(url)
		opt.Master = changed(t, 'n', 'k')
		db, err := sqldb.Open(t.Context(), opt)
		if err == nil {
			must(t, db.Close())
		}
		return err
	}
	spoil(`INSERT INTO caddy_files (path, value, size, modified) VALUES ('acme/lost.key', $1, 1, 1)`)
	must(t, change())
	readSealed(t, url, changed(t, 'n'), want)

	url = t.TempDir()
	fillSealed(t, url)
	spoil(`UPDATE key_pairs SET private_key = $1 WHERE private_key IS NOT NULL`)
	if err := change(); !errors.Is(err, keys.ErrSealed) {
		t.Errorf("control: %v", err)
	}
}

// Every column of bytes is a hash, or known to be sealed: one that nobody thought of
// would be lost when the secret changes.
func TestEverySealedColumnIsKnown(t *testing.T) {
	hashes := []string{"tokens.key_hash", "links.hash", "codes.hash", "refresh_tokens.hash", "sessions.key_hash"}
	texts, err := sqldb.MigrationTexts()
	must(t, err)
	table, column := regexp.MustCompile(`(?i)^(?:CREATE|ALTER) TABLE (\w+)`), regexp.MustCompile(`(?i)^\s*(?:ALTER TABLE \w+ ADD COLUMN )?(\w+) BYTEA`)
	found := 0
	for _, text := range texts {
		current := ""
		for line := range strings.Lines(text) {
			if m := table.FindStringSubmatch(line); m != nil {
				current = m[1]
			}
			m := column.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			found++
			if name := current + "." + m[1]; !slices.Contains(hashes, name) && !slices.Contains(sqldb.SealedColumns(), name) {
				t.Errorf("%s: list it in sealedColumns, or here if it is a hash", name)
			}
		}
	}
	if found < len(hashes)+len(sqldb.SealedColumns()) {
		t.Errorf("only %d columns were found: the search has lost its way", found)
	}
}
