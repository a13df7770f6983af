package login_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// from makes all further requests of b come from an address, as the edge states
// it.
func (b *browser) from(address string) *browser {
	b.header.Set("Test-Address", address)
	return b
}

// tries counts how many of n wrong passwords were checked rather than refused.
func tries(h *house, b *browser, n int, name func(int) string) (checked int, last answer) {
	for i := range n {
		last = b.login(name(i), "wrong password")
		if last.StatusCode == http.StatusUnprocessableEntity {
			checked++
		}
	}
	return checked, last
}

func always(name string) func(int) string { return func(int) string { return name } }

// one counter for an account, however it is named.
func TestAttemptsAreCountedPerAccount(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	names := []string{"alice", "ALICE", "alice@corp.test", "Alice@Corp.Test ", " alice", "ａｌｉｃｅ"}
	b := h.browser("a.test")
	checked, last := tries(h, b, 100, func(i int) string { return names[i%len(names)] })
	if checked != 5 || last.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("%d were checked", checked)
	}
	if !strings.Contains(last.body, "Too many attempts failed. Try again in 30 seconds.") || last.Header.Get("Retry-After") != "30" {
		t.Errorf("%v %s", last.Header, last.body)
	}
	// Not even the right password, and not in another browser.
	want(t, h.browser("a.test").login("alice", "correct horse"), http.StatusTooManyRequests)
	// The control: counted by what was typed there would have been five for each.
	byText := map[string]int{}
	for i := range 100 {
		byText[names[i%len(names)]]++
	}
	if len(byText) != len(names) {
		t.Error("control")
	}
	// An unknown name is counted in the same way.
	checked, last = tries(h, h.browser("a.test"), 20, func(i int) string { return []string{"nobody", "NoBody ", "ｎobody"}[i%3] })
	if checked != 5 || last.Header.Get("Retry-After") != "30" {
		t.Errorf("unknown: %d were checked", checked)
	}
	// Who waits as told gets in, and then all is forgotten.
	h.now.add(30 * time.Second)
	want(t, b.login("alice", "correct horse"), http.StatusSeeOther)
	if checked, _ := tries(h, h.browser("a.test"), 20, always("alice")); checked != 5 {
		t.Errorf("after a login: %d were checked", checked)
	}
}

// the delay grows, and has an end: it is no ban.
func TestDelayGrowsToItsCap(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	tries(h, b, 5, always("alice"))
	for _, seconds := range []int{30, 60, 120, 240, 480, 900, 900, 900} {
		res := b.login("alice", "wrong password")
		want(t, res, http.StatusTooManyRequests)
		if got, _ := strconv.Atoi(res.Header.Get("Retry-After")); got != seconds {
			t.Fatalf("Retry-After %d, want %d", got, seconds)
		}
		h.now.add(time.Duration(seconds)*time.Second - time.Second)
		want(t, b.login("alice", "wrong password"), http.StatusTooManyRequests) // does not prolong it
		h.now.add(time.Second)
		want(t, b.login("alice", "wrong password"), http.StatusUnprocessableEntity)
	}
	h.now.add(15 * time.Minute)
	want(t, b.login("alice", "correct horse"), http.StatusSeeOther)
}

// an account that is attacked from everywhere stays open to its owner: in
// the browser they used before at once, elsewhere within minutes.
func TestAttackDoesNotLockTheOwnerOut(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	owner := h.browser("a.test").from("198.51.100.1")
	owner.mustLogin("alice", "correct horse")
	owner.submit("/if/flow/default-invalidation-flow/")
	checked := 0
	for i := range 100 {
		n, _ := tries(h, h.browser("a.test").from(fmt.Sprintf("203.0.113.%d", i+1)), 2, always("alice"))
		checked += n
	}
	if checked != 20 {
		t.Errorf("%d guesses from a hundred addresses were checked", checked)
	}
	stranger := h.browser("a.test").from("198.51.100.9")
	res := stranger.login("alice", "correct horse")
	want(t, res, http.StatusTooManyRequests) // the control: the account is under attack
	if wait, _ := strconv.Atoi(res.Header.Get("Retry-After")); wait > 5*60 {
		t.Errorf("a new browser waits %d s", wait)
	}
	owner.mustLogin("alice", "correct horse")
	// The attacker's address does not lock the owner's browser out either.
	owner.submit("/if/flow/default-invalidation-flow/")
	owner.from("203.0.113.1").mustLogin("alice", "correct horse")
	// But that browser has a counter of its own.
	owner.submit("/if/flow/default-invalidation-flow/")
	if checked, _ := tries(h, owner, 20, always("alice")); checked != 5 {
		t.Errorf("the known browser had %d guesses", checked)
	}
	// And it knows nobody else, here or at another tenant.
	h.user(tenantA, "bob", "battery staple")
	h.tenantB()
	h.user(tenantB, "alice", "correct horse")
	for i := range 100 {
		tries(h, h.browser("a.test").from(fmt.Sprintf("203.0.113.%d", i+1)), 1, always("bob"))
	}
	want(t, owner.from("198.51.100.1").login("bob", "battery staple"), http.StatusTooManyRequests)
	// A new password makes the browser a stranger.
	h.ok(h.SetPassword(t.Context(), tenantA, h.find(tenantA, "alice"), "another password", ""))
	want(t, owner.from("198.51.100.1").login("alice", "another password"), http.StatusTooManyRequests)
	// A recovery link is a way in while the attack goes on, and makes its browser known.
	link := h.recovery(h.find(tenantA, "alice"), time.Hour)
	fresh := h.browser("a.test").from("198.51.100.77")
	want(t, fresh.submit(link, "password", "a third password"), http.StatusSeeOther)
	fresh.submit("/if/flow/default-invalidation-flow/")
	fresh.mustLogin("alice", "a third password")
	want(t, h.browser("a.test").from("198.51.100.77").login("alice", "a third password"), http.StatusTooManyRequests) // the control
}

// however many at the same time, no more are checked than one after the
// other.
func TestParallelAttemptsDoNotExceedTheLimit(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	round := func() (checked int) {
		browsers := make([]*browser, 50)
		pages := make([]answer, 50)
		for i := range browsers {
			browsers[i] = h.browser("a.test")
			pages[i] = browsers[i].get(loginPath)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range browsers {
			wg.Go(func() {
				res := browsers[i].send(loginPath, pages[i], "username", "alice", "password", "wrong password")
				mu.Lock()
				defer mu.Unlock()
				if res.StatusCode == http.StatusUnprocessableEntity {
					checked++
				} else if res.StatusCode != http.StatusTooManyRequests {
					t.Errorf("%d", res.StatusCode)
				}
			})
		}
		wg.Wait()
		return checked
	}
	if n := round(); n > 5 || n == 0 {
		t.Errorf("%d of 50 were checked", n)
	}
	for range 4 {
		h.now.add(15 * time.Minute)
		if n := round(); n > 1 {
			t.Errorf("after waiting, %d of 50 were checked", n)
		}
	}
	// The control: reading the count before and writing it after lets all in.
	naive := 0
	count, err := h.Failures(t.Context(), tenantA, core.Counter{Key: "k", Window: time.Hour})
	h.ok(err)
	for range 50 {
		if count[0].Count < 5 {
			naive++
		}
	}
	if naive != 50 {
		t.Error("control")
	}
}

// an address that tries many accounts is slowed down; an account of its
// own does not clear the way. IPv6 counts by /64.
func TestAddressIsSlowedDown(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "mallory", "mallory's own password")
	h.user(tenantA, "alice", "correct horse")
	total := 0
	for i := range 200 {
		b := h.browser("a.test").from(fmt.Sprintf("2001:db8::%x", i+1))
		if i%20 == 0 {
			b.login("mallory", "mallory's own password")
		}
		n, _ := tries(h, b, 1, always(fmt.Sprintf("user%d", i)))
		total += n
	}
	if total != 100 {
		t.Errorf("%d accounts were tried", total)
	}
	want(t, h.browser("a.test").from("2001:db8::ffff").login("alice", "correct horse"), http.StatusTooManyRequests)
	want(t, h.browser("a.test").from("2001:db8:0:1::1").login("alice", "correct horse"), http.StatusSeeOther)
	// another tenant has counters of its own.
	h.tenantB()
	h.user(tenantB, "alice", "correct horse")
	want(t, h.browser("b.test").from("2001:db8::1").login("alice", "correct horse"), http.StatusSeeOther)
	h.now.add(5 * time.Minute)
	want(t, h.browser("a.test").from("2001:db8::ffff").login("alice", "correct horse"), http.StatusSeeOther)
}

// F-13, F-14: what a client says of its own address counts for nothing.
func TestClientsAddressIsTheEdges(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	checked := 0
	for i := range 20 {
		b := h.browser("a.test")
		for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP"} {
			b.header.Set(name, fmt.Sprintf("203.0.113.%d", i))
		}
		b.header.Set("Forwarded", fmt.Sprintf("for=203.0.113.%d", i))
		if i%2 == 0 {
			b.header.Set("X-Forwarded-For", "a, :::, 999.1.1.1")
		}
		n, _ := tries(h, b, 1, always("alice"))
		checked += n
	}
	if checked != 5 {
		t.Errorf("%d were checked", checked)
	}
	if e := h.wantEvent(tenantA, core.EventLoginFailed); e.Address != "192.0.2.1" {
		t.Errorf("recorded %s", e.Address)
	}
	// The control: the address that the edge states does count.
	want(t, h.browser("a.test").from("203.0.113.1").login("alice", "correct horse"), http.StatusSeeOther)
}

// attempts that ended with their node, nobody knows how, count as failures. The controls are those that were taken
// back, and that were right.
func TestAttemptsOfADeadNodeCount(t *testing.T) {
	for _, landed := range []string{"", "not checked", "right"} {
		h := newHouse(t)
		for range 5 {
			land, ok := h.Begin(t.Context(), tenantA, "of alice")
			if !ok {
				t.Fatalf("%q: less than five are free", landed)
			}
			if landed != "" {
				land(landed)
			}
		}
		h.Handler = h.again(h.Master, cheap())
		if _, ok := h.Begin(t.Context(), tenantA, "of alice"); ok != (landed != "") {
			t.Errorf("after five that landed as %q, another one goes through: %t", landed, ok)
		}
	}
}

// An attempt that could not be made is not counted.
func TestBusyIsNotAFailure(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	hasher := cheap()
	hasher.Slots, hasher.Wait = 1, time.Millisecond
	h.Handler = h.again(h.Master, hasher)
	release := hasher.Hold()
	b := h.browser("a.test")
	for range 10 {
		res := b.login("alice", "correct horse")
		want(t, res, http.StatusServiceUnavailable)
		if res.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	release()
	b.mustLogin("alice", "correct horse")
}

// Who comes from the address of somebody that another node just counted, by a clock that is a little ahead, is not
// refused for that. Control: whoever has to wait does, by that clock.
func TestCountersOfAClockAhead(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.user(tenantA, "bob", "correct horse")
	h.now.add(time.Second)
	want(t, h.browser("a.test").login("alice", "wrong password"), http.StatusUnprocessableEntity)
	h.now.add(-time.Second)
	want(t, h.browser("a.test").login("bob", "correct horse"), http.StatusSeeOther)

	h.now.add(time.Second)
	if checked, _ := tries(h, h.browser("a.test"), 5, always("alice")); checked != 4 {
		t.Errorf("after one failure %d were checked", checked)
	}
	h.now.add(-time.Second)
	if res := h.browser("a.test").login("alice", "correct horse"); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "31" {
		t.Errorf("control: %d, %v", res.StatusCode, res.Header)
	}
}
