package redisdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// linesRead is how many lines of the outbox are read when a tenant is first asked about: copies
	// older than those are read anew from the database.
	linesRead = 5000
	// maxEnded bounds how many ended sessions of one tenant are remembered.
	maxEnded = 16384
	// maxAhead bounds the lines that were heard out of their order.
	maxAhead = 1024
)

// ledger is what this node knows of the sessions of one tenant that have ended: all of them
// since a line of the outbox. A copy in Redis that is older than that says nothing, and one that
// is not is believed where its session is not among them. So it does not matter whether a
// session's end ever reached Redis, or stayed there.
type ledger struct {
	tenant *core.Tenant

	loading sync.Mutex
	mu      sync.Mutex
	loaded  bool
	from    int64 // every end after this line is known
	heard   int64 // every line up to this one was heard
	ahead   map[int64]bool
	ended   map[core.SessionID]int64
	since   int64 // microseconds: copies from before are not believed
}

func newLedger() *ledger {
	return &ledger{ahead: map[int64]bool{}, ended: map[core.SessionID]int64{}}
}

// ledgerOf finds a tenant's. It is kept before anything is read, so that nothing that is heard
// meanwhile is missed.
func (l *link) ledgerOf(t core.TenantID) *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.ledgers[t]
	if g == nil {
		g = newLedger()
		l.ledgers[t] = g
	}
	return g
}

// drop forgets a ledger, so that the next to ask reads it anew.
func (l *link) drop(t core.TenantID, g *ledger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ledgers[t] == g {
		delete(l.ledgers, t)
	}
}

// errLoading: somebody else is at it.
var errLoading = errors.New("the outbox is being read")

// load reads the end of the outbox, once. Nobody waits for another who does.
func (g *ledger) load(ctx context.Context, d Durable, tenant *core.Tenant) error {
	if g.ready() {
		return nil
	}
	if !g.loading.TryLock() {
		return errLoading
	}
	defer g.loading.Unlock()
	if g.ready() {
		return nil
	}
	last, err := d.LastChange(ctx, tenant.ID)
	if err != nil {
		return fmt.Errorf("read the end of the outbox: %w", err)
	}
	var lines []core.Change
	for after := max(0, last-linesRead); ; {
		const batch = 1000
		some, err := d.Changes(ctx, tenant.ID, after, batch)
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		lines = append(lines, some...)
		if len(some) < batch {
			break
		}
		after = some[len(some)-1].Seq
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	floor := g.from
	g.from, g.heard = last, last
	for i, c := range lines {
		if i == 0 || c.Seq != g.heard+1 {
			g.from = c.Seq - 1 // those before were swept
		}
		g.heard = c.Seq
		g.note(c)
	}
	g.from, g.heard = max(g.from, floor), max(g.heard, last)
	g.advance()
	g.tenant, g.loaded = tenant, true
	return nil
}

func (g *ledger) ready() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.loaded
}

// hear takes lines as they are told, in any order, and more than once. It reports whether the
// ledger can go on.
func (g *ledger) hear(changes []core.Change, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range changes {
		if c.Kind == core.ChangedAny {
			// Its numbers mean something else from now on.
			clear(g.ahead)
			g.from, g.heard, g.since = c.Seq, c.Seq, now.UnixMicro()
			continue
		}
		g.note(c)
		if c.Seq > g.heard || !g.loaded {
			g.ahead[c.Seq] = true
		}
	}
	if g.loaded {
		g.advance()
	}
	return len(g.ahead) <= maxAhead
}

func (g *ledger) advance() {
	for g.ahead[g.heard+1] {
		g.heard++
	}
	for seq := range g.ahead {
		if seq <= g.heard {
			delete(g.ahead, seq)
		}
	}
}

func (g *ledger) note(c core.Change) {
	if c.Kind != "session" || c.Op != "delete" {
		return
	}
	g.ended[core.SessionID(c.ID)] = c.Seq
	if len(g.ended) <= maxEnded {
		return
	}
	seqs := make([]int64, 0, len(g.ended))
	for _, seq := range g.ended {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	g.from = max(g.from, seqs[len(seqs)/2])
	for id, seq := range g.ended {
		if seq <= g.from {
			delete(g.ended, id)
		}
	}
}

// asOf is the line that a copy carries which is read from the database after this.
func (g *ledger) asOf() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.heard
}

// doubt makes that no copy from before now is believed.
func (g *ledger) doubt(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.since = max(g.since, now.UnixMicro())
}

// believes reports whether a copy is still what the database would say, as far as this node has
// heard.
func (g *ledger) believes(c *copied) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ended := g.ended[c.ID]
	_, orphan := g.ended[c.Parent]
	return g.loaded && !ended && !orphan && c.AsOf >= g.from && c.AsOf <= g.heard && c.At > g.since
}
