package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/postern-sso/postern/core"
)

// rule says how many failures a key may have before each further attempt has to
// wait: base after the last free one, twice as long after each more, at most
// longest. Nothing is ever banned: who waits may try.
type rule struct {
	key     string
	free    int
	base    time.Duration
	longest time.Duration
	window  time.Duration // without a failure for so long, it starts anew
	// late: counted when the attempt has failed, and not before: one row that all logins of a
	// tenant wrote would be in the way of each other. What is in flight then comes on top.
	late bool
	// shared: a success forgets only itself. With an account of one's own one
	// must not be able to clear the way for trying others.
	shared bool
}

// A minute's failures of a whole tenant, from browsers that nobody knows: many accounts from
// many addresses, each of them below its own limits.
const (
	everybodys  = 600
	everybodyAt = time.Minute
)

func everybody(now time.Time) rule {
	key := "everybody:" + strconv.FormatInt(now.Truncate(everybodyAt).Unix(), 10)
	return rule{key: key, free: everybodys, base: 2 * time.Second, longest: 2 * time.Second, window: everybodyAt, late: true}
}

// rulesFor are the counters of one attempt. An account is counted under its one
// ID however it was named, an unknown one under the folded name, which answers
// alike.
//
// The count that everybody's attempts at an account share must not keep its
// owner out while somebody attacks it, so a browser that logged in to the account
// before has a counter of its own, and that alone.
func rulesFor(account string, address netip.Addr, device string, now time.Time) []rule {
	const window = 12 * time.Hour
	if device != "" {
		return []rule{{key: "device:" + device + "|" + account, free: 5, base: 30 * time.Second, longest: 15 * time.Minute, window: window}}
	}
	prefix := addressPrefix(address)
	return []rule{
		{key: "pair:" + account + "|" + prefix, free: 5, base: 30 * time.Second, longest: 15 * time.Minute, window: window},
		{key: "account:" + account, free: 20, base: 15 * time.Second, longest: 5 * time.Minute, window: window},
		{key: "address:" + prefix, free: 100, base: 5 * time.Second, longest: 5 * time.Minute, window: time.Hour, shared: true},
		everybody(now),
	}
}

// wait is how long after the newest of n failures the next attempt is refused.
func (r *rule) wait(n int) time.Duration {
	if n < r.free {
		return 0
	}
	d := r.base
	for range min(n-r.free, 16) {
		d *= 2
	}
	return min(d, r.longest)
}

// accountKey names whom an attempt is at.
func accountKey(u *core.User, name string) string {
	if u != nil {
		return string(u.ID)
	}
	sum := sha256.Sum256([]byte(core.Fold(name)))
	return "name:" + hex.EncodeToString(sum[:16])
}

// addressPrefix is what one household or server has: an IPv4 address, or the
// first 64 bits of an IPv6 address.
func addressPrefix(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case a.Is4():
		return a.String()
	case a.Is6():
		p, _ := a.Prefix(64)
		return p.String()
	}
	return "unknown"
}

// attempt is one that was let through and counted as failed already, so that a
// hundred at the same time are no more than one after the other. One that ends with its node stays
// counted: whoever could end nodes would have attempts for nothing, and nobody else knows that it was
// under way. The owner of an account has four more.
type attempt struct {
	store Attempts
	t     core.TenantID
	rules []rule // counted
	late  []rule // still to be counted, if it fails
	land  func() // it is over, and counted as what it was
}

// begin counts an attempt, which is to land when it is over. A wait above zero: it is
// refused, not counted, and may be made again after that time.
func (h *Handler) begin(ctx context.Context, t core.TenantID, rules []rule) (a *attempt, wait time.Duration, err error) {
	for {
		landed := h.flights.board(t, rules)
		a, by, wait, err := h.count(ctx, t, rules)
		switch {
		case err != nil:
			h.flights.land(t, rules)
			return nil, 0, err
		case wait == 0:
			a.land = func() { h.flights.land(t, rules) }
			return a, 0, nil
		case !h.flights.refused(ctx, t, rules, by, landed):
			return nil, wait, nil
		}
	}
}

// count counts an attempt, if the rules let it through. A wait above zero is that of the
// rule with the index by.
func (h *Handler) count(ctx context.Context, t core.TenantID, rules []rule) (a *attempt, by int, wait time.Duration, err error) {
	refuse := func(i int, d time.Duration) {
		if d > wait {
			by, wait = i, d
		}
	}
	counters := make([]core.Counter, len(rules))
	for i, r := range rules {
		counters[i] = core.Counter{Key: r.key, Window: r.window}
	}
	now := h.now()
	before, err := h.Store.Failures(ctx, t, counters...)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("count failures: %w", err)
	}
	for i, r := range rules {
		if d := r.wait(before[i].Count); d > 0 { // below that the newest may be later than now: another node's, or one of this moment
			refuse(i, before[i].Newest.Add(d).Sub(now))
		}
	}
	if wait > 0 {
		return nil, by, wait, nil
	}
	a = &attempt{store: h.Store, t: t}
	var counted []core.Counter
	var at []int // the index of each in rules
	for i, r := range rules {
		if r.late {
			a.late = append(a.late, r)
			continue
		}
		a.rules, counted, at = append(a.rules, r), append(counted, counters[i]), append(at, i)
	}
	counts, err := h.Store.Fail(ctx, t, func(counts []int) bool {
		wait = 0
		for i, r := range a.rules {
			// Beyond the free ones only the first of those that waited goes through.
			if counts[i] > r.free && counts[i] > before[at[i]].Count+1 {
				refuse(at[i], r.wait(counts[i]-1))
			}
		}
		return wait == 0
	}, counted...)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("count an attempt: %w", err)
	}
	if counts == nil {
		return nil, by, wait, nil
	}
	return a, 0, 0, nil
}

// failed counts what is counted only then.
func (a *attempt) failed(ctx context.Context) error {
	var late []core.Counter
	for _, r := range a.late {
		late = append(late, core.Counter{Key: r.key, Window: r.window})
	}
	if len(late) == 0 {
		return nil
	}
	if _, err := a.store.Fail(ctx, a.t, nil, late...); err != nil {
		return fmt.Errorf("count a failure: %w", err)
	}
	return nil
}

// refund takes the attempt back: it was not made.
func (a *attempt) refund(ctx context.Context) error {
	keys := make([]string, len(a.rules))
	for i, r := range a.rules {
		keys[i] = r.key
	}
	if err := a.store.Settle(ctx, a.t, keys, nil); err != nil {
		return fmt.Errorf("take an attempt back: %w", err)
	}
	return nil
}

// succeeded forgets the failures at this account.
func (a *attempt) succeeded(ctx context.Context) error {
	var refund, forget []string
	for _, r := range a.rules {
		if r.shared {
			refund = append(refund, r.key)
		} else {
			forget = append(forget, r.key)
		}
	}
	if err := a.store.Settle(ctx, a.t, refund, forget); err != nil {
		return fmt.Errorf("forget failures: %w", err)
	}
	return nil
}
