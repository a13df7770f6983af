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
)

// newTurns leaves half of the processors to what is short.
func newTurns() *core.Turns { return core.NewTurns(max(1, runtime.GOMAXPROCS(0)/2), maxLong) }

// long waits for the tenant's turn to do what takes a processor for milliseconds: to read a long body, or to make a
// list of more than pageSize rows. Whoever asks for many of them at once would have every other tenant's requests wait
// behind those. core.ErrBusy: too many wait.
func (c *call) long() error {
	if c.hasTurn {
		return nil
	}
	err := c.take(c.turns)
	c.hasTurn = err == nil
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

// leave gives the turn back, where there was one.
func (c *call) leave() {
	if c.hasTurn {
		c.turns.Leave(c.t)
	}
}
