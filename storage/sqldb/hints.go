package sqldb

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// hintGap is how long after a look that a hint asked for the next one may begin that does: a
// flood of hints is no flood of reads.
const hintGap = 100 * time.Millisecond

// hints are what somebody said of other nodes' changes.
type hints struct {
	wake  context.CancelFunc // ends the wait for the next look
	asked bool               // one asks for a look
	due   bool               // which may begin now
	last  time.Time          // when the last one began that was asked for
	gap   time.Duration      // for tests; zero: hintGap
	seen  int                // for tests: the looks that were asked for
}

// Hint makes Follow look at once, where a tenant's outbox is said to have a line that was not read
// yet. Nothing else is taken from it: it may be forged, or lost.
func (db *DB) Hint(t core.TenantID, seq int64) {
	f := &db.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	read, known := f.places[t]
	_, mine := f.echoes[t][seq]
	if !known || seq <= read.seq || mine || f.hints.asked {
		return
	}
	gap := hintGap
	if f.hints.gap > 0 {
		gap = f.hints.gap
	}
	f.hints.asked = true
	time.AfterFunc(time.Until(f.hints.last.Add(gap)), f.hurry)
}

// hurry ends the wait for the next look.
func (f *follower) hurry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hints.due = true
	if f.hints.wake != nil {
		f.hints.wake()
	}
}

// untilDue is the wait for the next look.
func (f *follower) untilDue(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, f.pollEvery())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hints.wake = cancel
	if f.hints.due {
		cancel()
	}
	return ctx, cancel
}

// looks notes that a look begins, which is what hints so far have asked for.
func (f *follower) looks(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hints.due {
		f.hints.asked, f.hints.due, f.hints.last = false, false, now
		f.hints.seen++
	}
}
