package api

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// longBody is from how many bytes on a body takes the processor for long.
	longBody = 16 << 10
	// maxLong is how many long requests of one tenant wait, each with its body in memory.
	maxLong = 32
	// longWait bounds how long one waits.
	longWait = 5 * time.Second
	// refuseAfter is how long those are kept who cannot even wait.
	refuseAfter = time.Second
	// maxRest bounds how long a place is kept from all tenants by one whose requests come without a pause.
	maxRest = 250 * time.Millisecond
)

// newTurns leaves half of the processors to what is short.
func newTurns() *core.Turns { return core.NewTurns(max(1, runtime.GOMAXPROCS(0)/2), maxLong) }

// long waits for the tenant's turn to do what takes a processor for milliseconds: to read a long body, or to make a
// list of more than pageSize rows. Whoever asks for many of them at once would have every other tenant's requests wait
// behind those. core.ErrBusy: too many wait.
func (c *call) long() error {
	if !c.turnAt.IsZero() {
		return nil
	}
	err := c.take(c.turns)
	if err == nil {
		c.turnAt = time.Now() // the real clock: it measures
	}
	return err
}

// take waits for the tenant's turn, for a while.
func (c *call) take(turns *core.Turns) error {
	ctx, cancel := context.WithTimeout(c.ctx(), longWait)
	defer cancel()
	err := turns.Take(ctx, c.t)
	if errors.Is(err, context.DeadlineExceeded) && c.ctx().Err() == nil {
		return core.ErrBusy
	}
	return err
}

// crowded refuses a request that will take long where it would find no room to wait: before anything else is done for
// it, and not at once. Who is refused asks again, and would have the database say each time who that is.
func (c *call) crowded() error {
	if _, full := c.turns.Queue(c.t); !full {
		return nil
	}
	if c.route.form {
		return nil // they have turns of their own
	}
	length := c.r.ContentLength // negative: only its end will tell
	if length >= 0 && length <= longBody && (c.route.listing == nil || c.pageSize(c.r.URL.Query()) <= pageSize) {
		return nil
	}
	refuse := time.NewTimer(c.refuseAfter)
	defer refuse.Stop()
	select {
	case <-refuse.C:
	case <-c.ctx().Done():
	}
	return core.ErrBusy
}

// leave gives the turn back, where there was one. While more of the tenant wait, it does so after as long again, up to
// maxRest: the processors are those of the database, too, and of all that is short.
func (c *call) leave() {
	if c.turnAt.IsZero() {
		return
	}
	if n, _ := c.turns.Queue(c.t); n > 0 {
		time.AfterFunc(min(time.Since(c.turnAt), maxRest), func() { c.turns.Leave(c.t) })
		return
	}
	c.turns.Leave(c.t)
}
