package core

import (
	"sync"
	"time"
)

const (
	// ClockDrift is how far the machine's clock may be behind and be caught up with in
	// small steps. What is further behind was set wrong, now or before.
	ClockDrift = 24 * time.Hour
	// ClockPatience is how long, by the time that really passes, a clock that was set by more
	// than ClockDrift is not believed: a machine that starts without a battery gets the
	// right time from the network soon.
	ClockPatience = time.Hour
)

// Clock is the time at which things expire. It follows the machine's clock forward and
// never goes back: when the machine's is set back, this one goes on from where it was, at
// half the speed until the machine's has caught up. So what has expired stays so, and what is
// to expire does, at the latest after twice its time.
//
// What is told to others, who have clocks of their own, is Wall: the times in tokens.
type Clock struct {
	read Reading

	mu    sync.Mutex
	now   time.Time
	ticks time.Duration // at now
	lost  time.Duration // ticks since which the machine's clock is more than ClockDrift behind, or never
	leapt time.Duration // ticks of the last leap forward of more than ClockDrift, or never
}

const never = time.Duration(-1)

// Reading gives what the machine's clock shows, and how much time has passed since a moment that
// does not change. The second is not changed by setting the first.
type Reading func() (wall time.Time, ticks time.Duration)

// MachineTime is the Reading of this machine.
func MachineTime() Reading {
	began := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0).UTC(), now.Sub(began) // the difference is monotonic
	}
}

// NewClock makes a clock that is not before mark, the latest time that one of its kind is known
// to have shown. A zero mark is none.
func NewClock(read Reading, mark time.Time) *Clock {
	wall, ticks := read()
	c := &Clock{read: read, now: mark, ticks: ticks, lost: never, leapt: never}
	if mark.IsZero() {
		c.now = wall
	}
	return c
}

// Wall is what the machine's clock shows.
func (c *Clock) Wall() time.Time {
	wall, _ := c.read()
	return wall
}

// Now is never before what it was when it was asked before.
func (c *Clock) Now() time.Time {
	wall, ticks := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.follow(wall, ticks)
	return c.now
}

func (c *Clock) follow(wall time.Time, ticks time.Duration) {
	passed := max(0, ticks-c.ticks) // whoever read later may be here first
	c.ticks = max(c.ticks, ticks)
	ahead := c.now.Add(passed).Sub(wall)
	if ahead <= ClockDrift {
		c.lost = never
	}
	switch {
	case ahead <= 0:
		if -ahead > ClockDrift {
			c.leapt = ticks
		}
		c.now = wall
	case ahead <= ClockDrift:
		c.now = c.now.Add(passed / 2)
		if c.now.Before(wall) {
			c.now = wall
		}
	default:
		if c.lost == never {
			c.lost = ticks
		}
		c.now = c.now.Add(passed)
	}
}

// Settled reports whether nothing should be deleted for good by this time: false for ClockPatience
// after it leapt forward by more than ClockDrift, as it does where a machine was off, and where
// its clock is set wrong for a moment.
func (c *Clock) Settled() bool {
	c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leapt == never || c.ticks-c.leapt >= ClockPatience
}

// Lost reports whether the machine's clock has been more than ClockDrift behind for
// ClockPatience: it is not going to catch up, and one of the two was wrong. Whoever then ends all
// that could expire may call Reset.
func (c *Clock) Lost() bool {
	c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost != never && c.ticks-c.lost >= ClockPatience
}

// Reset sets the clock to the machine's, be it back.
func (c *Clock) Reset() {
	wall, ticks := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.ticks, c.lost, c.leapt = wall, ticks, never, never
}
