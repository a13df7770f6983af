package session

import (
	"context"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// StartChild makes a session for one guarded application, from a live login. It
// ends with the login, and no later than it. The key is for the application's cookie.
func (m *Sessions) StartChild(ctx context.Context, t core.TenantID, parent core.SessionID, app core.ApplicationID) (*core.Session, string, error) {
	m.init()
	if parent == "" || app == "" {
		return nil, "", fmt.Errorf("start child session: without a parent or an application: %w", core.ErrNotFound)
	}
	p, err := m.SessionByID(ctx, t, parent)
	if err != nil {
		return nil, "", err
	}
	if p.Parent != "" {
		return nil, "", fmt.Errorf("start child session: the parent is a child itself: %w", core.ErrDenied)
	}
	now := m.now().UTC()
	s := *p
	s.ID = newID(now)
	s.Parent, s.Application = p.ID, app
	s.Created, s.LastSeen = now, now
	key, err := m.save(ctx, t, &s)
	if err != nil {
		return nil, "", fmt.Errorf("save child session: %w", err)
	}
	return &s, key, nil
}

// Child returns the session that key opens, if it is alive, made for app, and
// the login it came from is alive too; else core.ErrNotFound. Both count as
// used. With both in memory the store is not asked. What is returned is shared:
// do not change it.
func (m *Sessions) Child(ctx context.Context, t core.TenantID, key string, app core.ApplicationID) (*core.Session, error) {
	m.init()
	if app == "" || !validKey(key) {
		return nil, fmt.Errorf("session key: %w", core.ErrNotFound)
	}
	e, err := m.byKey(ctx, t, core.Hash(key))
	if err != nil {
		return nil, err
	}
	s := e.session.Load()
	if s.Parent == "" || s.Application != app {
		return nil, fmt.Errorf("session is not for this application: %w", core.ErrNotFound)
	}
	p, err := m.byID(ctx, t, s.Parent)
	if err != nil {
		return nil, err
	}
	if parent := p.session.Load(); parent.User != s.User || parent.Parent != "" {
		return nil, fmt.Errorf("session does not fit its parent: %w", core.ErrNotFound)
	}
	now := m.now()
	if _, err := m.use(ctx, t, p, now); err != nil {
		return nil, err
	}
	return m.use(ctx, t, e, now)
}
