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
	now, hash := m.now(), core.Hash(key)
	f := m.cache.recently(t, hash, now)
	if f == nil || f.child.session.Load().Application != app {
		var err error
		if f, err = m.findChild(ctx, t, hash, app); err != nil {
			return nil, err
		}
		now = m.now() // the store may have taken its time
		m.cache.remember(f, now)
	}
	if _, err := m.use(ctx, t, f.parent, now); err != nil {
		return nil, err
	}
	return m.use(ctx, t, f.child, now)
}

// findChild looks for both, whether or not they are still alive.
func (m *Sessions) findChild(ctx context.Context, t core.TenantID, hash [32]byte, app core.ApplicationID) (*pair, error) {
	f := &pair{generation: m.cache.generation(), tenant: t, hash: hash}
	var err error
	if f.child, err = m.byKey(ctx, t, hash); err != nil {
		return nil, err
	}
	s := f.child.session.Load()
	if s.Parent == "" || s.Application != app {
		return nil, fmt.Errorf("session is not for this application: %w", core.ErrNotFound)
	}
	if f.parent, err = m.byID(ctx, t, s.Parent); err != nil {
		return nil, err
	}
	if parent := f.parent.session.Load(); parent.User != s.User || parent.Parent != "" {
		return nil, fmt.Errorf("session does not fit its parent: %w", core.ErrNotFound)
	}
	return f, nil
}
