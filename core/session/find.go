package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

// byKey finds a session in memory, else in the store. That there is none is not
// remembered.
func (m *Sessions) byKey(ctx context.Context, t core.TenantID, hash [32]byte) (*entry, error) {
	if e := m.cache.byKey(t, hash); e != nil {
		return e, nil
	}
	generation := m.cache.generation()
	s, err := m.Store.FindSession(ctx, t, hash)
	if err != nil {
		return nil, fmt.Errorf("find session: %w", err)
	}
	return m.cache.add(generation, t, hash, s), nil
}

func (m *Sessions) byID(ctx context.Context, t core.TenantID, id core.SessionID) (*entry, error) {
	if e := m.cache.byID(t, id); e != nil {
		return e, nil
	}
	generation := m.cache.generation()
	s, err := m.Store.SessionByID(ctx, t, id)
	if err != nil {
		return nil, fmt.Errorf("find session: %w", err)
	}
	return m.cache.addByID(generation, t, s), nil
}

// alive returns the session of e where it lives, else core.ErrNotFound. Memory knows of
// its use here alone: one that has rested too long here is looked up again, as
// another node may have seen it since. One that is over is ended for good, so that a
// clock that jumps back does not revive it.
func (m *Sessions) alive(ctx context.Context, t core.TenantID, e *entry, now time.Time) (*core.Session, error) {
	s := e.session.Load()
	if s.Alive(now) {
		return s, nil
	}
	if now.Before(s.Expires) {
		stored, err := m.Store.SessionByID(ctx, t, s.ID)
		switch {
		case err == nil && stored.LastSeen.After(s.LastSeen) && stored.Alive(now):
			e.session.CompareAndSwap(s, stored)
			return stored, nil
		case err != nil && !errors.Is(err, core.ErrNotFound):
			return nil, fmt.Errorf("look up a session that rests: %w", err)
		}
	}
	if err := m.end(ctx, t, s.ID); err != nil {
		m.log().WarnContext(ctx, "end a session that is over", "tenant", t, "session", s.ID, "error", err)
	}
	return nil, fmt.Errorf("session is over: %w", core.ErrNotFound)
}

// use returns the session of e if it is alive, and notes that it was seen.
func (m *Sessions) use(ctx context.Context, t core.TenantID, e *entry, now time.Time) (*core.Session, error) {
	s, err := m.alive(ctx, t, e, now)
	if err != nil {
		return nil, err
	}
	if now.Sub(s.LastSeen) < touchEvery {
		return s, nil
	}
	seen := *s
	seen.LastSeen = now
	if e.session.CompareAndSwap(s, &seen) {
		m.touch(t, s.ID, now)
	}
	return &seen, nil
}
