package session

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// touchEvery is how often it is noted that a session was seen: the idle limit
	// is exact to this.
	touchEvery = time.Minute
	// flushAfter is how long notes wait for company before they are written
	// together. A crash loses no more.
	flushAfter = 5 * time.Second
	// flushWait bounds one write.
	flushWait = 10 * time.Second
)

// touches are notes of when sessions were last seen, not written yet.
type touches struct {
	mu      sync.Mutex
	seen    map[core.TenantID]map[core.SessionID]time.Time
	timer   *time.Timer // nil: nothing waits
	closed  bool
	writing sync.Mutex // one flush at a time
}

func (m *Sessions) touch(t core.TenantID, id core.SessionID, at time.Time) {
	q := &m.touches
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.put(t, id, at)
	if q.timer == nil {
		q.timer = time.AfterFunc(flushAfter, func() { m.Flush(context.Background()) })
	}
}

func (q *touches) put(t core.TenantID, id core.SessionID, at time.Time) {
	if q.seen == nil {
		q.seen = map[core.TenantID]map[core.SessionID]time.Time{}
	}
	if q.seen[t] == nil {
		q.seen[t] = map[core.SessionID]time.Time{}
	}
	if at.After(q.seen[t][id]) {
		q.seen[t][id] = at
	}
}

// Flush writes what is noted now, a batch for each tenant. What cannot be
// written is logged and left: the session is noted again when it is next seen
// after a minute.
func (m *Sessions) Flush(ctx context.Context) {
	q := &m.touches
	q.writing.Lock()
	defer q.writing.Unlock()
	q.mu.Lock()
	batch := maps.Clone(q.seen)
	q.seen = nil
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	for t, seen := range batch {
		if err := m.Store.TouchSessions(ctx, t, seen); err != nil {
			m.log().Warn("write when sessions were last seen", "tenant", t, "sessions", len(seen), "error", err)
		}
	}
}

// Close writes what is noted, and notes no more. Sessions are found as before:
// a request that is under way at a reload is not disturbed.
func (m *Sessions) Close() {
	m.touches.mu.Lock()
	m.touches.closed = true
	m.touches.mu.Unlock()
	m.Flush(context.Background())
}
