package login_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
)

// directory is a strict double of all stores that a Handler stands on: it keeps
// the promises of their interfaces, for several tenants, under one mutex.
type directory struct {
	mu       sync.Mutex
	now      func() time.Time
	users    map[core.TenantID]map[core.UserID]core.User
	hashes   map[core.UserID]string
	groups   map[core.UserID][]core.Group
	apps     map[core.TenantID][]core.Application
	provider map[core.ProviderID]core.Provider
	links    map[core.TenantID]map[[32]byte]*savedLink
	counters map[core.TenantID]map[string]counter
	sessions map[core.TenantID]map[[32]byte]core.Session
	events   map[core.TenantID][]core.Event
	calls    []string // names of methods, in order
	down     error    // what every method returns, where set
}

type savedLink struct {
	login.Link
	used bool
}

type counter struct {
	n      int
	newest time.Time
}

func newDirectory(now func() time.Time) *directory {
	return &directory{
		now: now, users: map[core.TenantID]map[core.UserID]core.User{}, hashes: map[core.UserID]string{},
		groups: map[core.UserID][]core.Group{}, apps: map[core.TenantID][]core.Application{}, provider: map[core.ProviderID]core.Provider{},
		links: map[core.TenantID]map[[32]byte]*savedLink{}, counters: map[core.TenantID]map[string]counter{},
		sessions: map[core.TenantID]map[[32]byte]core.Session{}, events: map[core.TenantID][]core.Event{},
	}
}

// enter takes the mutex for one method.
func (d *directory) enter(name string) (func(), error) {
	d.mu.Lock()
	d.calls = append(d.calls, name)
	return d.mu.Unlock, d.down
}

func (d *directory) put(t core.TenantID, u core.User, hash string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users[t] == nil {
		d.users[t] = map[core.UserID]core.User{}
	}
	d.users[t][u.ID], d.hashes[u.ID] = u, hash
}

func (d *directory) change(t core.TenantID, id core.UserID, change func(*core.User)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[t][id]
	change(&u)
	d.users[t][id] = u
}

func (d *directory) User(_ context.Context, t core.TenantID, id core.UserID) (*core.User, error) {
	leave, err := d.enter("User")
	defer leave()
	if err != nil {
		return nil, err
	}
	u, ok := d.users[t][id]
	if !ok {
		return nil, fmt.Errorf("user: %w", core.ErrNotFound)
	}
	return &u, nil
}

func (d *directory) UserByName(_ context.Context, t core.TenantID, name string) (*core.User, error) {
	leave, err := d.enter("UserByName")
	defer leave()
	if err != nil {
		return nil, err
	}
	for _, u := range d.users[t] {
		if core.Fold(u.UserName) == core.Fold(name) {
			return &u, nil
		}
	}
	return nil, fmt.Errorf("user: %w", core.ErrNotFound)
}

func (d *directory) UserByLogin(_ context.Context, t core.TenantID, name string) (*core.User, error) {
	leave, err := d.enter("UserByLogin")
	defer leave()
	if err != nil {
		return nil, err
	}
	var byMail []core.User
	for _, u := range d.users[t] {
		if core.Fold(u.UserName) == core.Fold(name) {
			return &u, nil
		}
		if core.Fold(u.Email) == core.Fold(name) {
			byMail = append(byMail, u)
		}
	}
	if len(byMail) != 1 {
		return nil, fmt.Errorf("user: %w", core.ErrNotFound)
	}
	return &byMail[0], nil
}

func (d *directory) UserGroups(_ context.Context, _ core.TenantID, id core.UserID) ([]core.Group, error) {
	leave, err := d.enter("UserGroups")
	defer leave()
	return d.groups[id], err
}

func (d *directory) Applications(_ context.Context, t core.TenantID) ([]core.Application, error) {
	leave, err := d.enter("Applications")
	defer leave()
	return slices.SortedFunc(slices.Values(d.apps[t]), func(a, b core.Application) int { return cmp.Compare(core.Fold(a.Name), core.Fold(b.Name)) }), err
}

func (d *directory) application(t core.TenantID, match func(*core.Application) bool) (*core.Application, error) {
	leave, err := d.enter("Application")
	defer leave()
	if err != nil {
		return nil, err
	}
	for _, a := range d.apps[t] {
		if match(&a) {
			return &a, nil
		}
	}
	return nil, fmt.Errorf("application: %w", core.ErrNotFound)
}

func (d *directory) Application(_ context.Context, t core.TenantID, id core.ApplicationID) (*core.Application, error) {
	return d.application(t, func(a *core.Application) bool { return a.ID == id })
}

func (d *directory) ApplicationBySlug(_ context.Context, t core.TenantID, slug string) (*core.Application, error) {
	return d.application(t, func(a *core.Application) bool { return a.Slug == slug })
}

func (d *directory) ApplicationByProvider(_ context.Context, t core.TenantID, id core.ProviderID) (*core.Application, error) {
	return d.application(t, func(a *core.Application) bool { return a.Provider == id })
}

func (d *directory) Provider(_ context.Context, _ core.TenantID, id core.ProviderID) (core.Provider, error) {
	leave, err := d.enter("Provider")
	defer leave()
	if p, ok := d.provider[id]; ok && err == nil {
		return p, nil
	}
	return nil, cmp.Or(err, fmt.Errorf("provider: %w", core.ErrNotFound))
}

func (d *directory) ProxyApplications(context.Context, core.TenantID) ([]core.ProxyApplication, error) {
	panic("not asked for by a Handler")
}

func (d *directory) Record(_ context.Context, t core.TenantID, e core.Event) error {
	leave, err := d.enter("Record")
	defer leave()
	d.events[t] = append(d.events[t], e)
	return err
}

func (d *directory) PasswordHash(_ context.Context, t core.TenantID, u core.UserID) (string, error) {
	leave, err := d.enter("PasswordHash")
	defer leave()
	if err != nil {
		return "", err
	}
	if _, ok := d.users[t][u]; !ok {
		return "", fmt.Errorf("password: %w", core.ErrNotFound)
	}
	return d.hashes[u], nil
}

func (d *directory) SetPasswordHash(_ context.Context, t core.TenantID, id core.UserID, hash string, at time.Time) error {
	leave, err := d.enter("SetPasswordHash")
	defer leave()
	if err != nil {
		return err
	}
	u, ok := d.users[t][id]
	if !ok {
		return fmt.Errorf("password: %w", core.ErrNotFound)
	}
	u.PasswordChanged = at
	d.users[t][id], d.hashes[id] = u, hash
	return nil
}

func (d *directory) RehashPassword(_ context.Context, _ core.TenantID, id core.UserID, old, hash string) error {
	leave, err := d.enter("RehashPassword")
	defer leave()
	if err == nil && d.hashes[id] == old {
		d.hashes[id] = hash
	}
	return err
}

func (d *directory) SetLastLogin(_ context.Context, t core.TenantID, id core.UserID, at time.Time) error {
	leave, err := d.enter("SetLastLogin")
	defer leave()
	u := d.users[t][id]
	u.LastLogin = at
	d.users[t][id] = u
	return err
}

func (d *directory) SaveLink(_ context.Context, t core.TenantID, l *login.Link) error {
	leave, err := d.enter("SaveLink")
	defer leave()
	if d.links[t] == nil {
		d.links[t] = map[[32]byte]*savedLink{}
	}
	d.links[t][l.Hash] = &savedLink{Link: *l}
	return err
}

func (d *directory) Link(_ context.Context, t core.TenantID, hash [32]byte) (*login.Link, error) {
	leave, err := d.enter("Link")
	defer leave()
	l, ok := d.links[t][hash]
	switch {
	case err != nil:
		return nil, err
	case !ok || !d.now().Before(l.Expires):
		return nil, fmt.Errorf("link: %w", core.ErrNotFound)
	case l.used:
		return nil, fmt.Errorf("link: %w", core.ErrConsumed)
	}
	return &l.Link, nil
}

func (d *directory) ConsumeLink(_ context.Context, t core.TenantID, hash [32]byte, now time.Time) (*login.Link, error) {
	leave, err := d.enter("ConsumeLink")
	defer leave()
	l, ok := d.links[t][hash]
	switch {
	case err != nil:
		return nil, err
	case !ok || !now.Before(l.Expires):
		return nil, fmt.Errorf("link: %w", core.ErrNotFound)
	case l.used:
		return nil, fmt.Errorf("link: %w", core.ErrConsumed)
	}
	l.used = true
	return &l.Link, nil
}

func (d *directory) DeleteLinks(_ context.Context, t core.TenantID, u core.UserID, purpose string) error {
	leave, err := d.enter("DeleteLinks")
	defer leave()
	if err == nil {
		maps.DeleteFunc(d.links[t], func(_ [32]byte, l *savedLink) bool { return l.User == u && l.Purpose == purpose })
	}
	return err
}

func (d *directory) Failures(_ context.Context, t core.TenantID, key string, window time.Duration) (int, time.Time, error) {
	leave, err := d.enter("Failures")
	defer leave()
	c := d.counters[t][key]
	if err != nil || c.n == 0 || c.newest.Add(window).Before(d.now()) {
		return 0, time.Time{}, err
	}
	return c.n, c.newest, nil
}

func (d *directory) Fail(_ context.Context, t core.TenantID, key string, window time.Duration) (int, error) {
	leave, err := d.enter("Fail")
	defer leave()
	if err != nil {
		return 0, err
	}
	if d.counters[t] == nil {
		d.counters[t] = map[string]counter{}
	}
	c := d.counters[t][key]
	if c.newest.Add(window).Before(d.now()) {
		c.n = 0
	}
	c.n++
	c.newest = d.now()
	d.counters[t][key] = c
	return c.n, nil
}

func (d *directory) Refund(_ context.Context, t core.TenantID, key string) error {
	leave, err := d.enter("Refund")
	defer leave()
	if c := d.counters[t][key]; err == nil && c.n > 0 {
		c.n--
		d.counters[t][key] = c
	}
	return err
}

func (d *directory) Forget(_ context.Context, t core.TenantID, key string) error {
	leave, err := d.enter("Forget")
	defer leave()
	if err == nil {
		delete(d.counters[t], key)
	}
	return err
}

func (d *directory) FindSession(_ context.Context, t core.TenantID, key [32]byte) (*core.Session, error) {
	leave, err := d.enter("FindSession")
	defer leave()
	s, ok := d.sessions[t][key]
	if err == nil && (!ok || !d.now().Before(s.Expires)) {
		err = fmt.Errorf("session: %w", core.ErrNotFound)
	}
	return &s, err
}

func (d *directory) SessionByID(_ context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	leave, err := d.enter("SessionByID")
	defer leave()
	for _, s := range d.sessions[t] {
		if s.ID == id {
			return &s, err
		}
	}
	return nil, cmp.Or(err, fmt.Errorf("session: %w", core.ErrNotFound))
}

func (d *directory) SaveSession(_ context.Context, t core.TenantID, key [32]byte, s *core.Session) error {
	leave, err := d.enter("SaveSession")
	defer leave()
	if d.sessions[t] == nil {
		d.sessions[t] = map[[32]byte]core.Session{}
	}
	if err == nil {
		d.sessions[t][key] = *s
	}
	return err
}

func (d *directory) TouchSessions(context.Context, core.TenantID, map[core.SessionID]time.Time) error {
	return nil
}

func (d *directory) deleteSessions(name string, t core.TenantID, match func(core.Session) bool) ([]core.SessionID, error) {
	leave, err := d.enter(name)
	defer leave()
	if err != nil {
		return nil, err
	}
	var ids []core.SessionID
	maps.DeleteFunc(d.sessions[t], func(_ [32]byte, s core.Session) bool {
		if !match(s) {
			return false
		}
		ids = append(ids, s.ID)
		return true
	})
	return ids, nil
}

func (d *directory) DeleteSession(_ context.Context, t core.TenantID, id core.SessionID) ([]core.SessionID, error) {
	return d.deleteSessions("DeleteSession", t, func(s core.Session) bool { return s.ID == id || s.Parent == id })
}

func (d *directory) DeleteUserSessions(_ context.Context, t core.TenantID, u core.UserID, keep core.SessionID) ([]core.SessionID, error) {
	return d.deleteSessions("DeleteUserSessions", t, func(s core.Session) bool {
		return s.User == u && (keep == "" || s.ID != keep && s.Parent != keep)
	})
}

func (d *directory) UserSessions(context.Context, core.TenantID, core.UserID) ([]core.Session, error) {
	return nil, errors.New("not asked for by a Handler")
}

func (d *directory) DeleteExpiredSessions(context.Context, core.TenantID, time.Time) error {
	return errors.New("not asked for by a Handler")
}
