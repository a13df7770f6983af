package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
)

const appKey = "an-app-password-of-some-length"

// program is the context of a request from an address.
func (h *house) program(address string) context.Context {
	return core.WithRequest(h.t.Context(), &core.RequestInfo{Tenant: tenants()["a.test"], Scheme: "https", Host: "app.test", ClientIP: netip.MustParseAddr(address)})
}

// appPassword makes a token with a key.
func (h *house) token(u *core.User, intent core.TokenIntent, key string, change ...func(*core.Token)) {
	h.t.Helper()
	tok := &core.Token{Identifier: core.RandomAlphanumeric(8), Intent: intent, User: u.ID}
	for _, c := range change {
		c(tok)
	}
	h.ok(h.CreateToken(h.t.Context(), tenantA, tok, core.Secret(key)))
}

// T-12, F-26: an app password is good for its user alone, however the name is written, while both live;
// no other kind of key is one.
func TestAppPassword(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.user(tenantA, "alice", "correct horse"), h.user(tenantA, "bob", "battery staple")
	gone := h.user(tenantA, "gone", "", func(u *core.User) { u.Active = false })
	h.token(alice, core.IntentAppPassword, appKey)
	h.token(gone, core.IntentAppPassword, "gone-"+appKey)
	h.token(alice, core.IntentAPI, "api-"+appKey)
	h.token(alice, core.IntentAppPassword, "old-"+appKey, func(k *core.Token) { k.Expiring, k.Expires = true, h.now.now() })
	for i, name := range []string{"alice", "ALICE ", "ａｌｉｃｅ", "alice@corp.test"} {
		if got, _, wait, err := h.AppPassword(h.program(fmt.Sprintf("203.0.113.%d", i+1)), name, appKey); got != alice.ID || wait != 0 || err != nil {
			t.Errorf("%q: %q %v %v", name, got, wait, err)
		}
	}
	end := h.now.now().Add(time.Hour)
	h.token(alice, core.IntentAppPassword, "ends-"+appKey, func(k *core.Token) { k.Expiring, k.Expires = true, end })
	if _, expires, _, err := h.AppPassword(h.program("203.0.113.9"), "alice", "ends-"+appKey); err != nil || !expires.Equal(end) {
		t.Errorf("one that ends at %s: %s %v", end, expires, err)
	}
	for i, c := range []struct{ name, key string }{
		{"bob", appKey}, {"alice", "correct horse"}, {"alice", "api-" + appKey}, {"alice", "old-" + appKey}, {"gone", "gone-" + appKey}, {"nobody", appKey}, {"", ""}, {"alice", ""},
	} {
		if got, _, _, err := h.AppPassword(h.program(fmt.Sprintf("198.51.100.%d", i+1)), c.name, c.key); got != "" || !errors.Is(err, core.ErrDenied) {
			t.Errorf("%s with %q: %q %v", c.name, c.key, got, err)
		}
	}
	h.down = http.ErrServerClosed
	if got, _, _, err := h.AppPassword(h.program("192.0.2.9"), "alice", appKey); got != "" || err == nil || errors.Is(err, core.ErrDenied) {
		t.Errorf("a store that is down: %q %v", got, err)
	}
	_ = bob
}

// what fails by HTTP Basic counts on the account's counter, as what fails at the form does, however
// many at the same time; what succeeds does not clear the way.
func TestAppPasswordsCountWithTheForm(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	h.token(alice, core.IntentAppPassword, appKey)
	var checked atomic.Int64
	var group sync.WaitGroup
	for i, name := range spellings() {
		group.Go(func() {
			for j := range 8 {
				ctx := h.program(fmt.Sprintf("203.0.%d.%d", i, j+1))
				_, _, wait, err := h.AppPassword(ctx, name, "wrong")
				if wait == 0 {
					checked.Add(1)
				}
				if err != nil && !errors.Is(err, core.ErrDenied) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := checked.Load(); n == 0 || n > 20 {
		t.Errorf("%d were checked", n)
	}
	// The form waits, and so does a right app password that could have been guessed; one that
	// could not is taken, by many programs at the same time.
	const short = "chosen-by-alice"
	h.token(alice, core.IntentAppPassword, short)
	want(t, h.browser("a.test").from("198.51.100.1").login("alice", "correct horse"), http.StatusTooManyRequests)
	if _, _, wait, err := h.AppPassword(h.program("198.51.100.2"), "alice", short); wait == 0 || wait > 5*time.Minute || err != nil {
		t.Errorf("the right one: %v %v", wait, err)
	}
	for range 50 {
		group.Go(func() {
			if got, _, wait, err := h.AppPassword(h.program("203.0.0.1"), "alice", appKey); got != alice.ID || wait != 0 || err != nil {
				t.Errorf("a key of %d bytes: %q %v %v", len(appKey), got, wait, err)
			}
		})
	}
	group.Wait()
	// Who waits as told gets in, which does not clear the way for who guesses.
	h.now.add(5 * time.Minute)
	if _, _, wait, err := h.AppPassword(h.program("198.51.100.2"), "alice", short); wait != 0 || err != nil {
		t.Errorf("after waiting: %v %v", wait, err)
	}
	if n, _ := tries(h, h.browser("a.test").from("198.51.100.3"), 5, always("alice")); n > 1 {
		t.Errorf("after a program's login %d guesses were checked", n)
	}
	// The control: another account is not slowed down.
	h.token(h.user(tenantA, "bob", ""), core.IntentAppPassword, "bob-"+appKey)
	if _, _, wait, err := h.AppPassword(h.program("198.51.100.2"), "bob", "bob-"+appKey); wait != 0 || err != nil {
		t.Errorf("control: %v %v", wait, err)
	}
}

// many accounts from many addresses are slowed down together, and nobody is kept out who was here
// before, nor anybody of another tenant.
func TestEverybodysFailures(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.tenantB()
	h.user(tenantB, "alice", "correct horse")
	owner := h.browser("a.test").from("198.51.100.1")
	owner.mustLogin("alice", "correct horse")
	owner.submit("/if/flow/default-invalidation-flow/")
	key, free := login.Everybody(h.now.now())
	for range free - 3 {
		if _, err := h.Fail(t.Context(), tenantA, nil, core.Counter{Key: key, Window: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for i := range 20 {
		n, _ := tries(h, h.browser("a.test").from(fmt.Sprintf("203.0.113.%d", i+1)), 1, always(fmt.Sprint("somebody", i)))
		total += n
	}
	if total != 3 {
		t.Errorf("%d of the last 3 were checked", total)
	}
	res := h.browser("a.test").from("198.51.100.2").login("alice", "correct horse")
	want(t, res, http.StatusTooManyRequests)
	if res.Header.Get("Retry-After") != "2" {
		t.Errorf("wait %s s", res.Header.Get("Retry-After"))
	}
	if _, _, wait, _ := h.AppPassword(h.program("198.51.100.3"), "alice", "x"); wait == 0 {
		t.Error("by HTTP Basic it is tried")
	}
	owner.mustLogin("alice", "correct horse")
	want(t, h.browser("b.test").from("198.51.100.2").login("alice", "correct horse"), http.StatusSeeOther)
	h.now.add(2 * time.Second)
	want(t, h.browser("a.test").from("198.51.100.4").login("alice", "correct horse"), http.StatusSeeOther)
}
