package session

import (
	"time"

	"github.com/postern-sso/postern/core"
)

// AddLate keeps a session in memory as a cache without generations would: after
// the store was read, whatever was dropped since. It is the control of the test
// that nothing brings back what was ended.
func (m *Sessions) AddLate(t core.TenantID, key string, s *core.Session) {
	m.init()
	m.cache.add(m.cache.generation(), t, core.Hash(key), s)
}

// TouchesWaiting is how many notes wait to be written.
func (m *Sessions) TouchesWaiting() int {
	m.touches.mu.Lock()
	defer m.touches.mu.Unlock()
	n := 0
	for _, seen := range m.touches.seen {
		n += len(seen)
	}
	return n
}

// NewID is a new session's ID.
func NewID(now time.Time) core.SessionID { return newID(now) }
