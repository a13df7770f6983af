package oidc

import (
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// failures joins the events of a mapping that goes on failing: each is a durable
// write, for which the logins of others would wait. The first is recorded at once; those
// within a minute after it are counted, and the next one after that minute tells how many.
type failures struct {
	mu   sync.Mutex
	seen map[failure]*joined
}

// failure is what one event is about.
type failure struct {
	tenant      core.TenantID
	mapping     core.MappingID
	application core.ApplicationID
}

type joined struct {
	since time.Time
	more  int
}

const (
	joinFor     = time.Minute
	maxFailures = 1024
)

// take counts one failure. It reports whether it is to be recorded, and how many were not
// since the one that was.
func (f *failures) take(what failure, now time.Time) (record bool, more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if before, ok := f.seen[what]; ok {
		// A clock that was set back does not silence a mapping.
		if age := now.Sub(before.since); age >= 0 && age < joinFor {
			before.more++
			return false, 0
		}
		more = before.more
	}
	if f.seen == nil || len(f.seen) >= maxFailures {
		f.seen = map[failure]*joined{}
	}
	f.seen[what] = &joined{since: now}
	return true, more
}
