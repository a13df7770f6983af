package core_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// machine is a clock that a test sets, beside the time that passes.
type machine struct {
	wall  time.Time
	ticks time.Duration
}

func (m *machine) read() (time.Time, time.Duration) { return m.wall, m.ticks }
func (m *machine) pass(d time.Duration)             { m.wall, m.ticks = m.wall.Add(d), m.ticks+d }
func (m *machine) set(d time.Duration)              { m.wall = m.wall.Add(d) }

// L-10: what a clock shows after the machine's was set, and time has passed.
func TestClock(t *testing.T) {
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		set, pass time.Duration
		want      time.Duration // after the beginning
		ahead     time.Duration // of the machine's
	}{
		"nothing":                       {0, time.Minute, time.Minute, 0},
		"ten minutes forward":           {10 * time.Minute, time.Minute, 11 * time.Minute, 0},
		"a year forward":                {365 * day, 0, 365 * day, 0},
		"ten minutes back":              {-10 * time.Minute, 0, 0, 10 * time.Minute},
		"ten minutes back, a little on": {-10 * time.Minute, 4 * time.Minute, 2 * time.Minute, 8 * time.Minute},
		"ten minutes back, caught up":   {-10 * time.Minute, 20 * time.Minute, 10 * time.Minute, 0},
		"ten minutes back, later":       {-10 * time.Minute, 30 * time.Minute, 20 * time.Minute, 0},
		"an hour back":                  {-time.Hour, time.Hour, 30 * time.Minute, 30 * time.Minute},
		"a leap second":                 {-time.Second, time.Second, 500 * time.Millisecond, 500 * time.Millisecond},
		"two days back":                 {-2 * day, 10 * time.Minute, 10 * time.Minute, 2 * day},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
			m := &machine{wall: began}
			c := core.NewClock(m.read, time.Time{})
			c.Now()
			m.set(tt.set)
			c.Now()
			m.pass(tt.pass)
			if got := c.Now().Sub(began); got != tt.want {
				t.Errorf("it shows %s, want %s", got, tt.want)
			}
			if got := c.Now().Sub(c.Wall()); got != tt.ahead {
				t.Errorf("%s ahead, want %s", got, tt.ahead)
			}
		})
	}
}

// L-10: whatever is done to the machine's clock, this one does not go back, is never behind the
// machine's, and stands still for nobody.
func TestClockNeverGoesBack(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	m := &machine{wall: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	c := core.NewClock(m.read, time.Time{})
	last := c.Now()
	for i := range 100_000 {
		var passed time.Duration
		switch r.IntN(3) {
		case 0:
			m.set(time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour)
		case 1:
			m.set(time.Duration(r.Int64N(int64(4*core.ClockDrift))) - 2*core.ClockDrift)
		default:
			passed = time.Duration(r.Int64N(int64(time.Minute)))
			m.pass(passed)
		}
		now := c.Now()
		if now.Before(last.Add(passed/2)) || now.Before(m.wall) {
			t.Fatalf("step %d: after %s, %s became %s; the machine's is %s", i, passed, last, now, m.wall)
		}
		last = now
	}
}

// A restart with the mark of before goes on from there.
func TestClockAfterRestart(t *testing.T) {
	m := &machine{wall: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	mark := core.NewClock(m.read, time.Time{}).Now()
	m.set(-30 * time.Minute)
	again := &machine{wall: m.wall, ticks: 7}
	c := core.NewClock(again.read, mark)
	if got := c.Now(); !got.Equal(mark) {
		t.Errorf("it shows %s, want %s", got, mark)
	}
	if got := core.NewClock(again.read, time.Time{}).Now(); !got.Before(mark) {
		t.Errorf("control: without the mark it shows %s", got)
	}
	again.pass(2 * time.Hour)
	if got := c.Now(); !got.Equal(again.wall) {
		t.Errorf("caught up, it shows %s and the machine %s", got, again.wall)
	}
}

// A clock that was far in the future does not stay there for ever, and one that is far in the past for
// a moment is not believed.
func TestClockLost(t *testing.T) {
	m := &machine{wall: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := core.NewClock(m.read, time.Time{})
	future := c.Now()
	m.set(-10 * 365 * 24 * time.Hour)
	if c.Lost() {
		t.Error("lost at once")
	}
	m.pass(core.ClockPatience - time.Second)
	if c.Lost() || c.Now().Before(future.Add(time.Minute)) {
		t.Errorf("lost before its time, or stands still at %s", c.Now())
	}
	m.pass(time.Second)
	if !c.Lost() {
		t.Error("not lost after its time")
	}
	if got := c.Now(); got.Before(future) {
		t.Errorf("it went back by itself, to %s", got)
	}
	c.Reset()
	if got := c.Now(); !got.Equal(m.wall) || c.Lost() {
		t.Errorf("reset, it shows %s", got)
	}

	m.set(-2 * core.ClockDrift)
	c.Now()
	m.pass(time.Minute)
	m.set(2 * core.ClockDrift)
	c.Now()
	m.pass(2 * core.ClockPatience)
	if c.Lost() {
		t.Error("lost, and the machine's clock was put right in a minute")
	}
}

func TestClockSettled(t *testing.T) {
	m := &machine{wall: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	c := core.NewClock(m.read, time.Time{})
	m.pass(3 * time.Hour)
	if !c.Settled() {
		t.Error("not settled, and nothing happened")
	}
	m.set(core.ClockDrift + time.Hour)
	if c.Settled() {
		t.Error("settled at once after a leap")
	}
	m.pass(core.ClockPatience)
	if !c.Settled() {
		t.Error("not settled after its time")
	}
}

// Many who ask at once see no time before one that was seen. It is for the race detector, too.
func TestClockTogether(t *testing.T) {
	c := core.NewClock(core.MachineTime(), time.Now().Add(time.Hour))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := c.Now()
			for range 1000 {
				now := c.Now()
				if now.Before(last) {
					t.Errorf("%s after %s", now, last)
				}
				last = now
			}
		})
	}
	wg.Wait()
}

func BenchmarkClock(b *testing.B) {
	c := core.NewClock(core.MachineTime(), time.Time{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Now()
		}
	})
}
