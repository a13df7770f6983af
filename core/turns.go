package core

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Turns are places for what takes a processor, memory or a connection for a while. Where
// none is free, tenants come by turns, whoever asks for however many: who asks for a
// thousand makes another tenant wait for one of them, and not for all. While others are
// there, one tenant has half of the places.
type Turns struct {
	places  int
	waiting int // that one tenant may have; 0: any number
	most    int // places of one tenant, whoever else is there

	mu            sync.Mutex
	free          int
	held          map[TenantID]int
	queues        map[TenantID][]chan struct{} // of those that wait, the first to come first
	next          []TenantID                   // each that has a queue, in the order of their turns
	newest, other asker                        // who asked last, and who did of the others
}

// asker is a tenant, and when it asked last.
type asker struct {
	tenant TenantID
	at     time.Time
}

// around is how long places are kept for a tenant that asked. With few places they are
// half of what the machine can do.
const around = 10 * time.Second

// NewTurns makes so many places. Of one tenant no more than waiting wait for one: those beyond
// are refused at once. 0: any number waits.
func NewTurns(places, waiting int) *Turns {
	return &Turns{places: places, waiting: waiting, most: places, free: places, held: map[TenantID]int{}, queues: map[TenantID][]chan struct{}{}}
}

// AtMost bounds the places of one tenant also while no other is there: for what is held for so long that
// whoever comes next cannot wait for it. It is called before the first Take, and returns t.
func (t *Turns) AtMost(places int) *Turns {
	t.most = places
	return t
}

// Take waits for a place, which Leave gives back. The error is ErrBusy, or that of ctx.
func (t *Turns) Take(ctx context.Context, tenant TenantID) error {
	t.mu.Lock()
	now := time.Now() // the real clock: nothing expires by it
	if t.newest.tenant != tenant {
		t.other, t.newest.tenant = t.newest, tenant
	}
	t.newest.at = now
	queue := t.queues[tenant]
	if len(queue) == 0 && t.may(tenant, now) {
		t.free--
		t.held[tenant]++
		t.mu.Unlock()
		return nil
	}
	if t.waiting > 0 && len(queue) >= t.waiting {
		t.mu.Unlock()
		return ErrBusy
	}
	if len(queue) == 0 {
		t.next = append(t.next, tenant)
	}
	turn := make(chan struct{})
	t.queues[tenant] = append(queue, turn)
	t.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	if !t.giveUp(tenant, turn) { // its turn came at the same moment
		t.Leave(tenant)
	}
	return ctx.Err()
}

// Queue tells how many of a tenant wait for a place, and whether one more would be refused.
func (t *Turns) Queue(tenant TenantID) (n int, full bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = len(t.queues[tenant])
	return n, t.waiting > 0 && n >= t.waiting
}

// may reports whether a tenant may have a place now.
func (t *Turns) may(tenant TenantID, now time.Time) bool {
	if t.free == 0 || t.held[tenant] >= t.most {
		return false
	}
	if t.held[tenant] < (t.places+1)/2 {
		return true
	}
	other := t.newest
	if other.tenant == tenant {
		other = t.other
	}
	return now.Sub(other.at) > around
}

// giveUp takes one that waits out of its queue, and reports whether it was in there.
func (t *Turns) giveUp(tenant TenantID, turn chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.queues[tenant], turn)
	if i < 0 {
		return false
	}
	if t.queues[tenant] = slices.Delete(t.queues[tenant], i, i+1); len(t.queues[tenant]) == 0 {
		delete(t.queues, tenant)
		i := slices.Index(t.next, tenant)
		t.next = slices.Delete(t.next, i, i+1)
	}
	return true
}

// Leave gives a tenant's place to whoever's turn it is.
func (t *Turns) Leave(tenant TenantID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	if t.held[tenant]--; t.held[tenant] == 0 {
		delete(t.held, tenant)
	}
	now := time.Now()
	for i := 0; i < len(t.next) && t.free > 0; {
		tenant, queue := t.next[i], t.queues[t.next[i]]
		if !t.may(tenant, now) {
			i++
			continue
		}
		t.free--
		t.held[tenant]++
		close(queue[0])
		t.next = slices.Delete(t.next, i, i+1)
		if len(queue) > 1 {
			t.queues[tenant] = slices.Delete(queue, 0, 1)
			t.next = append(t.next, tenant)
		} else {
			delete(t.queues, tenant)
		}
	}
}
