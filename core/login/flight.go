package login

import (
	"context"
	"slices"
	"sync"

	"github.com/postern-sso/postern/core"
)

// maxWaiting is how many attempts wait for others under one counter.
const maxWaiting = 256

// flights knows which attempts are being made, as each counts as failed until it is known
// not to be. Many right ones at the same moment would so refuse each other: one that would
// be refused while others are in flight waits for one of them to land, and asks again.
// Attempts at other nodes are not known here.
type flights struct {
	mu sync.Mutex
	of map[flightKey]*flight
}

type flightKey struct {
	tenant  core.TenantID
	counter string
}

// flight is all that is in flight under one counter.
type flight struct {
	flying  int
	landed  int             // how many so far
	waiting []chan struct{} // the first to come first; each is woken by one landing
}

// board takes off under the keys of all rules that are counted at once, and returns how
// many had landed under each.
func (f *flights) board(t core.TenantID, rules []rule) (landed []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = make(map[flightKey]*flight)
	}
	for _, r := range rules {
		if r.late {
			landed = append(landed, 0)
			continue
		}
		k := flightKey{t, r.key}
		if f.of[k] == nil {
			f.of[k] = new(flight)
		}
		f.of[k].flying++
		landed = append(landed, f.of[k].landed)
	}
	return landed
}

// land ends an attempt that went through, and lets one that waits under each key ask again.
func (f *flights) land(t core.TenantID, rules []rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leave(t, rules, func(fl *flight) bool { fl.landed++; return true })
}

// refused ends an attempt that the rule with the index by refused. It reports whether to ask
// again: at once, as another landed meanwhile, or after waiting for one. If none is in
// flight, the refusal stands.
func (f *flights) refused(ctx context.Context, t core.TenantID, rules []rule, by int, landed []int) bool {
	k := flightKey{t, rules[by].key}
	f.mu.Lock()
	fl := f.of[k]
	again := !rules[by].late && fl.landed != landed[by]
	if again || rules[by].late || fl.flying == 1 || len(fl.waiting) >= maxWaiting {
		f.leave(t, rules, func(*flight) bool { return true })
		f.mu.Unlock()
		return again
	}
	woken := make(chan struct{})
	fl.waiting = append(fl.waiting, woken)
	// Nobody has landed: it would be in vain to wake those who wait for that. But the last
	// one in flight may not leave without.
	f.leave(t, rules, func(fl *flight) bool { return fl.flying == 0 })
	f.mu.Unlock()
	select {
	case <-woken:
		return true
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(fl.waiting, woken); i >= 0 {
		fl.waiting = slices.Delete(fl.waiting, i, i+1)
	} else {
		fl.wake() // in its place
	}
	if fl.flying == 0 && len(fl.waiting) == 0 && f.of[k] == fl {
		delete(f.of, k)
	}
	return false
}

// leave takes one out under each key, and wakes one that waits where wake says so.
func (f *flights) leave(t core.TenantID, rules []rule, wake func(*flight) bool) {
	for _, r := range rules {
		if r.late {
			continue
		}
		k := flightKey{t, r.key}
		fl := f.of[k]
		fl.flying--
		if wake(fl) {
			fl.wake()
		}
		if fl.flying == 0 && len(fl.waiting) == 0 {
			delete(f.of, k)
		}
	}
}

func (fl *flight) wake() {
	if len(fl.waiting) > 0 {
		close(fl.waiting[0])
		fl.waiting = slices.Delete(fl.waiting, 0, 1)
	}
}
