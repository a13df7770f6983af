package expression

import (
	"context"
	"runtime"
	"time"
)

// Limits of the slow and of the last lane.
const (
	maxQueue = 64
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
// that do end wait for none of them.
type lanes struct {
	fast, slow, last, queue, lastQueue chan struct{}
}

func newLanes() *lanes {
	n := runtime.GOMAXPROCS(0)
	return &lanes{
		fast:      make(chan struct{}, n),
		slow:      make(chan struct{}, max(1, n/2)),
		last:      make(chan struct{}, 1),
		queue:     make(chan struct{}, maxQueue),
		lastQueue: make(chan struct{}, maxQueue),
	}
}

// place is where one run is.
type place struct {
	*lanes
	in chan struct{}
}

func (l *lanes) enter(ctx context.Context, c *cached) (*place, error) {
	if c.paceNow() != cheap {
		p := &place{lanes: l}
		if f := p.change(ctx, c); f != nil {
			return nil, &Error{Message: f.message, Err: f.err}
		}
		return p, nil
	}
	select {
	case l.fast <- struct{}{}:
		return &place{lanes: l, in: l.fast}, nil
	default:
	}
	select {
	case l.fast <- struct{}{}:
		return &place{lanes: l, in: l.fast}, nil
	case <-ctx.Done():
		return nil, &Error{Message: "the request ended before the expression began", Err: ctx.Err()}
	}
}

// change moves to the slow lane, or to the last one: what the program is known for by the
// time that there is room.
func (p *place) change(ctx context.Context, c *cached) *fault {
	p.leave()
	began := time.Now()
	for {
		as := c.paceNow()
		lane, queue := p.slow, p.queue
		if as == endless {
			lane, queue = p.last, p.lastQueue
		}
		if f := p.wait(ctx, lane, queue, maxStay-time.Since(began)); f != nil {
			return f
		}
		if as == endless || c.paceNow() != endless {
			return nil
		}
		p.leave() // a limit ended another run of it while this one waited
	}
}

func (p *place) wait(ctx context.Context, lane, queue chan struct{}, atMost time.Duration) *fault {
	select {
	case queue <- struct{}{}:
	default:
		return &fault{message: "too many expensive expressions run already", err: ErrBusy}
	}
	defer func() { <-queue }()
	t := time.NewTimer(atMost)
	defer t.Stop()
	select {
	case lane <- struct{}{}:
		p.in = lane
		return nil
	case <-t.C:
		return &fault{message: "too many expensive expressions run already", err: ErrBusy}
	case <-ctx.Done():
		return &fault{message: "the request ended before the expression did", err: ctx.Err()}
	}
}

// leave makes room.
func (p *place) leave() {
	if p.in != nil {
		<-p.in
		p.in = nil
	}
}
