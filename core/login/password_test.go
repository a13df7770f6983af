package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

func TestHasher(t *testing.T) {
	ctx := t.Context()
	h := &login.Hasher{}
	hash, err := h.Hash(ctx, tenantA, "correct horse")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	again, _ := h.Hash(ctx, tenantA, "correct horse")
	if again == hash {
		t.Error("no salt")
	}
	for password, expect := range map[string]bool{"correct horse": true, "correct Horse": false, "": false, "correct horse ": false, strings.Repeat("x", 2000): false} {
		if ok, rehash, err := h.Verify(ctx, tenantA, hash, password); ok != expect || rehash || err != nil {
			t.Errorf("%.20q: %v %v %v", password, ok, rehash, err)
		}
	}
	// A hash that somebody else made: the test vector of golang.org/x/crypto for 64
	// KiB and one pass, in PHC string form.
	const vector = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7"
	if ok, rehash, err := h.Verify(ctx, tenantA, vector, "password"); !ok || !rehash || err != nil {
		t.Errorf("vector: %v %v %v", ok, rehash, err)
	}
	for _, bad := range []string{
		"x", "$argon2i$v=19$m=16,t=1,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA", strings.Replace(hash, "v=19", "v=18", 1),
		strings.Replace(hash, "m=19456", "m=4194304", 1), strings.Replace(hash, "t=2", "t=0", 1), strings.Replace(hash, "t=2", "t=99999", 1),
		strings.Replace(hash, "p=1", "p=0", 1), strings.Replace(hash, "m=", "", 1), hash + "$", hash[:60], "$argon2id$v=19$m=16,t=1,p=1$$", strings.Repeat("$", 600),
		strings.Replace(hash, ",p=1", "", 1),
	} {
		if ok, _, err := h.Verify(ctx, tenantA, bad, "correct horse"); ok || !errors.Is(err, login.ErrHash) {
			t.Errorf("%.40q: %v %v", bad, ok, err)
		}
	}
	// The hash of nobody fits nothing, not even what its stand-in is made of.
	for _, password := range []string{"", "correct horse"} {
		if ok, _, err := h.Verify(ctx, tenantA, "", password); ok || err != nil {
			t.Errorf("empty hash: %v %v", ok, err)
		}
	}
	weak, _ := cheap().Hash(ctx, tenantA, "correct horse")
	if ok, rehash, err := h.Verify(ctx, tenantA, weak, "correct horse"); !ok || !rehash || err != nil {
		t.Errorf("weak: %v %v %v", ok, rehash, err)
	}
	if ok, rehash, _ := h.Verify(ctx, tenantA, weak, "wrong"); ok || rehash {
		t.Error("a wrong password is to be hashed anew")
	}
	for _, password := range []string{"", "1234567", "ñññññññ", strings.Repeat("x", 1025), "12345678\x00"} {
		var field *core.FieldError
		if _, err := h.Hash(ctx, tenantA, password); !errors.As(err, &field) || field.Field != "password" || field.Message == "" {
			t.Errorf("%.20q: %v", password, err)
		}
	}
	for _, password := range []string{"12345678", "ññññññññ", strings.Repeat("x", 1024)} {
		if err := h.CheckNew(password); err != nil {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}

// L-18: no more than the slots run at once, and who waits too long is told so.
func TestHasherIsBounded(t *testing.T) {
	h := cheap()
	h.Slots, h.Wait = 2, 20*time.Millisecond
	free := []func(){h.Hold(), h.Hold()}
	if _, _, err := h.Verify(t.Context(), tenantA, "", "x"); !errors.Is(err, login.ErrBusy) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, tenantA, "correct horse"); !errors.Is(err, context.Canceled) && !errors.Is(err, login.ErrBusy) {
		t.Errorf("got %v", err)
	}
	free[0]()
	if _, _, err := h.Verify(t.Context(), tenantA, "", "x"); err != nil {
		t.Errorf("a slot is free: %v", err)
	}
	free[1]()
	h = cheap()
	h.Slots = 2
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, _, err := h.Verify(t.Context(), tenantA, "", "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// BenchmarkLogin posts the form beside its ceiling: the processors can do no more logins than
// bare argon2id. Eight people at a time for each, as a server under load has them: who waits for
// the disk leaves the processor to another. Forms are opened outside of the measured time.
func BenchmarkLogin(b *testing.B) { storagetest.OnEngines(b, benchmarkLogin) }

func benchmarkLogin(b *testing.B, empty func(testing.TB) sqldb.Options) {
	h := newHouseAt(b, empty(b))
	h.Handler = h.again(h.Master, &login.Hasher{})
	names := make([]string, 64) // attempts for one account, or from one address, are counted before they are judged
	for i := range names {
		names[i] = fmt.Sprint("alice", i)
		u := h.user(tenantA, names[i], "")
		if err := h.SetPassword(b.Context(), tenantA, u, "correct horse", ""); err != nil {
			b.Fatal(err)
		}
	}
	people, pages := make([]*browser, b.N), make([]answer, b.N)
	for i := range people {
		people[i] = h.browser("a.test")
		people[i].header.Set("Test-Address", fmt.Sprintf("198.51.100.%d", i%len(names)))
		pages[i] = people[i].get(loginPath)
	}
	// As many hashes at once as the product computes: each takes 19 MiB.
	places, salt := make(chan struct{}, runtime.GOMAXPROCS(0)), make([]byte, 16)
	storagetest.Beside(b, "argon2id", func(int) {
		places <- struct{}{}
		defer func() { <-places }()
		argon2.IDKey([]byte("correct horse"), salt, 2, 19<<10, 1, 32)
	}, func(i int) {
		if res := people[i].send(loginPath, pages[i], "username", names[i%len(names)], "password", "correct horse"); res.StatusCode != http.StatusSeeOther {
			b.Error(res.StatusCode)
		}
	})
}

// BenchmarkLoginPage is the form itself.
func BenchmarkLoginPage(b *testing.B) {
	h := newHouse(b)
	browser := h.browser("a.test")
	browser.get(loginPath)
	for b.Loop() {
		browser.get(loginPath)
	}
}

// tenants get slots by turns: fifty logins of one make another's wait for one of them. The
// control is a login of the same tenant, which is behind all that came before it.
func TestHasherTurns(t *testing.T) {
	before := func(t *testing.T, tenant core.TenantID) (n int) {
		synctest.Test(t, func(t *testing.T) {
			h := cheap()
			h.Slots = 1
			release := h.Hold()
			through := make(chan core.TenantID, 51)
			ask := func(of core.TenantID, name string) {
				go func() {
					if _, _, err := h.Verify(t.Context(), of, "", "x"); err != nil {
						t.Error(err)
					}
					through <- core.TenantID(name)
				}()
				synctest.Wait()
			}
			for range 50 {
				ask(tenantA, "loud")
			}
			ask(tenant, "quiet")
			release()
			for <-through != "quiet" {
				n++
			}
			synctest.Wait()
		})
		return n
	}
	// Who is through first is not always told first.
	if n := before(t, "t_quiet"); n > 5 {
		t.Errorf("%d logins of another tenant went before", n)
	}
	if n := before(t, tenantA); n < 45 {
		t.Errorf("control: %d logins went before", n)
	}
}
