package expression

import (
	"context"
	"runtime"
	"time"

	"github.com/postern-sso/postern/core"
)

// Limits of the slow and of the last lane.
const (
	maxQueue = 64 // of one tenant
	maxStay  = 3 * time.Second
	// A run in the last lane sleeps for nap after each part of its budget, of which
	// there are naps: a millisecond's work at most, so it has a fifth of one processor.
	nap  = 4 * time.Millisecond
	naps = 50
)

// pace is what the run before tells of a program.
type pace int32

const (
	cheap     pace = iota
	expensive      // it was through with what the fast lane is for
	endless        // a limit ended it
)

// lanes bound how many expressions run at once. Each starts in the fast lane, as
// wide as the machine; whoever turns out to be expensive leaves it for the slow lane,
// which takes half the processors at most, and from then on it begins there. What
// a limit ended begins in the last lane the next time, and so does what waits for the
// slow lane meanwhile: one at a time, and that one mostly sleeps. So a hundred bombs
// take a login's processor for a millisecond now and then, and expensive expressions
// that do end wait for none of them. In each lane tenants come by turns.
type lanes struct{ fast, slow, last *core.Turns }

func newLanes() *lanes {
	n := runtime.GOMAXPROCS(0)
	return &lanes{fast: core.NewTurns(n, 0), slow: core.NewTurns(max(1, n/2), maxQueue), last: core.NewTurns(1, maxQueue)}
}

// place is where one run is.
type place struct {
	*lanes
	tenant core.TenantID
	in     *core.Turns
}

func (l *lanes) enter(ctx context.Context, t core.TenantID, c *cached) (*place, error) {
	p := &place{lanes: l, tenant: t}
	if c.paceNow(t) != cheap {
		if f := p.change(ctx, c); f != nil {
			return nil, &Error{Message: f.message, Err: f.err}
		}
		return p, nil
	}
	if err := l.fast.Take(ctx, t); err != nil {
		return nil, &Error{Message: "the request ended before the expression began", Err: err}
	}
	p.in = l.fast
	return p, nil
}

// change moves to the slow lane, or to the last one: what the program is known for by the
// time that there is room.
func (p *place) change(ctx context.Context, c *cached) *fault {
	p.leave()
	began := time.Now()
	for {
		as, lane := c.paceNow(p.tenant), p.slow
		if as == endless {
			lane = p.last
		}
		if f := p.wait(ctx, lane, maxStay-time.Since(began)); f != nil {
			return f
		}
		if as == endless || c.paceNow(p.tenant) != endless {
			return nil
		}
		p.leave() // a limit ended another run of it while this one waited
	}
}

func (p *place) wait(ctx context.Context, lane *core.Turns, atMost time.Duration) *fault {
	waiting, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	switch err := lane.Take(waiting, p.tenant); {
	case err == nil:
		p.in = lane
		return nil
	case ctx.Err() != nil:
		return &fault{message: "the request ended before the expression did", err: ctx.Err()}
	}
	return &fault{message: "too many expensive expressions run already", err: ErrBusy}
}

// leave makes room.
func (p *place) leave() {
	if p.in != nil {
		p.in.Leave(p.tenant)
		p.in = nil
	}
}
