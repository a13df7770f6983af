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
	// rest is how long the last lane stays empty after a run that a limit ended. Such a
	// run takes 50 ms at most: a fifth of one processor.
	rest = 200 * time.Millisecond
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
// which takes half the processors at most, and the next time it begins there. What
// a limit ended begins in the last lane the next time: one at a time, with a rest after
// each that a limit ends again. So a hundred bombs hold up a login for about a
// millisecond each, once, and expensive expressions that do end not at all.
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

func (l *lanes) enter(ctx context.Context, as pace) (*place, error) {
	if as != cheap {
		p := &place{lanes: l}
		if f := p.change(ctx, as); f != nil {
			return nil, &Error{Message: f.message, Err: f.err}
		}
		return p, nil
	}
	select {
	case l.fast <- struct{}{}:
		return &place{l, l.fast}, nil
	default:
	}
	select {
	case l.fast <- struct{}{}:
		return &place{l, l.fast}, nil
	case <-ctx.Done():
		return nil, &Error{Message: "the request ended before the expression began", Err: ctx.Err()}
	}
}

// change moves to the slow lane, or to the last one.
func (p *place) change(ctx context.Context, as pace) *fault {
	p.leave(cheap)
	lane, queue := p.slow, p.queue
	if as == endless {
		lane, queue = p.last, p.lastQueue
	}
	select {
	case queue <- struct{}{}:
	default:
		return &fault{message: "too many expensive expressions run already", err: ErrBusy}
	}
	defer func() { <-queue }()
	t := time.NewTimer(maxStay)
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

// leave makes room. was is how the run turned out.
func (p *place) leave(was pace) {
	lane := p.in
	p.in = nil
	switch {
	case lane == nil:
	case lane == p.last && was == endless:
		time.AfterFunc(rest, func() { <-lane })
	default:
		<-lane
	}
}
