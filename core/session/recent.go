package session

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// recentSlots is how many guarded logins are found at first glance; two that share a slot take turns.
	recentSlots = 1024
	// recentFor is how long one is: then the caches are asked again, which let go what nobody asks them for.
	recentFor = time.Second
)

// recent remembers which child session and login a key led to a moment ago. A browser sends
// one key many times in a row, and three searches for each time are most of what a guard takes.
type recent struct {
	slots [recentSlots]atomic.Pointer[pair]
}

// pair is a child session with its parent, as they were found.
type pair struct {
	generation    uint64 // of the cache, before they were looked for
	until         time.Time
	tenant        core.TenantID
	hash          [32]byte
	child, parent *entry
}

func (r *recent) slot(hash [32]byte) *atomic.Pointer[pair] {
	return &r.slots[binary.BigEndian.Uint16(hash[:2])%recentSlots]
}

// recently returns a pair that was found a moment ago, if nothing was dropped since: whatever ends a
// session drops it. Else nil.
func (c *remembered) recently(t core.TenantID, hash [32]byte, now time.Time) *pair {
	p := c.recent.slot(hash).Load()
	if p == nil || p.hash != hash || p.tenant != t || p.generation != c.drops.Load() || !now.Before(p.until) {
		return nil
	}
	return p
}

func (c *remembered) remember(p *pair, now time.Time) {
	p.until = now.Add(recentFor)
	c.recent.slot(p.hash).Store(p)
}
