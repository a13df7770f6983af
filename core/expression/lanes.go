package expression

import (
	"context"
	"runtime"
	"time"
)

// Limits of the slow lane.
const (
	maxQueue = 64
	maxStay  = 3 * time.Second
)

// lanes bound how many expressions run at once. Each starts in the fast lane, as
// wide as the machine; whoever turns out to be expensive leaves it for the slow lane,
// which takes half the processors at most, and the next time it begins there. So a hundred
// bombs hold up a login for about a millisecond each, once.
type lanes struct {
	fast, slow, queue chan struct{}
}

func newLanes() *lanes {
	n := runtime.GOMAXPROCS(0)
	return &lanes{
		fast:  make(chan struct{}, n),
		slow:  make(chan struct{}, max(1, n/2)),
		queue: make(chan struct{}, maxQueue),
	}
}

// place is where one run is.
type place struct {
	*lanes
	in chan struct{}
}

func (l *lanes) enter(ctx context.Context, expensive bool) (*place, error) {
	if expensive {
		p := &place{lanes: l}
		if f := p.change(ctx); f != nil {
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

// change moves to the slow lane.
func (p *place) change(ctx context.Context) *fault {
	p.leave()
	select {
	case p.queue <- struct{}{}:
	default:
		return &fault{message: "too many expensive expressions run already", err: ErrBusy}
	}
	defer func() { <-p.queue }()
	t := time.NewTimer(maxStay)
	defer t.Stop()
	select {
	case p.slow <- struct{}{}:
		p.in = p.slow
		return nil
	case <-t.C:
		return &fault{message: "too many expensive expressions run already", err: ErrBusy}
	case <-ctx.Done():
		return &fault{message: "the request ended before the expression did", err: ctx.Err()}
	}
}

func (p *place) leave() {
	if p.in != nil {
		<-p.in
		p.in = nil
	}
}
