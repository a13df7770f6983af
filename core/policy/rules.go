package policy

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/postern-sso/postern/core"
)

// snapshot is everything that is bound in a tenant, as of one generation.
type snapshot struct {
	generation   uint64
	byTarget     map[TargetID][]Rule
	entitlements map[core.ApplicationID][]core.Entitlement
	users        map[core.UserID]bool // that a binding names
}

// tenantRules keeps a tenant's snapshot. A change counts the generation up, and
// a snapshot of another generation is not looked at.
type tenantRules struct {
	generation atomic.Uint64
	current    atomic.Pointer[snapshot]
	reading    chan struct{} // holds one: who reads; the others wait for it
}

func (e *Engine) tenant(t core.TenantID) *tenantRules {
	if s, ok := e.tenants.Load(t); ok {
		return s.(*tenantRules) //nolint:forcetypeassert // nothing else is stored
	}
	s, _ := e.tenants.LoadOrStore(t, &tenantRules{reading: make(chan struct{}, 1)})
	return s.(*tenantRules) //nolint:forcetypeassert // nothing else is stored
}

func (r *tenantRules) fresh() *snapshot {
	if s := r.current.Load(); s != nil && s.generation == r.generation.Load() {
		return s
	}
	return nil
}

// rules returns what is bound, from memory where it can.
func (e *Engine) rules(ctx context.Context, t core.TenantID) (*snapshot, error) {
	r := e.tenant(t)
	if s := r.fresh(); s != nil {
		return s, nil
	}
	select {
	case r.reading <- struct{}{}:
		defer func() { <-r.reading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("read bindings: %w", ctx.Err())
	}
	if s := r.fresh(); s != nil {
		return s, nil
	}
	generation := r.generation.Load() // before the read: a change during it makes the snapshot stale
	rules, err := e.Store.Rules(ctx, t)
	if err != nil {
		return nil, err
	}
	entitlements, err := e.Store.Entitlements(ctx, t)
	if err != nil {
		return nil, err
	}
	s := &snapshot{
		generation: generation, byTarget: map[TargetID][]Rule{},
		entitlements: map[core.ApplicationID][]core.Entitlement{}, users: map[core.UserID]bool{},
	}
	for i := range rules {
		s.byTarget[rules[i].Target] = append(s.byTarget[rules[i].Target], rules[i])
		if u := rules[i].User; u != "" {
			s.users[u] = true
		}
	}
	for i := range entitlements {
		app := entitlements[i].Application
		s.entitlements[app] = append(s.entitlements[app], entitlements[i])
	}
	r.current.Store(s)
	return s, nil
}

// Invalidate drops what changes of the directory made stale. It is called after each
// commit, before whatever caches decisions is told of it.
func (e *Engine) Invalidate(t core.TenantID, changes ...core.Change) {
	for _, c := range changes {
		switch c.Kind {
		case "policy", "binding", "entitlement", "application", "group":
			e.tenant(t).generation.Add(1)
		case core.ChangedAny:
			r := e.tenant(t)
			r.generation.Add(1)
			r.current.Store(nil) // the tenant may be gone
		case "user":
			r := e.tenant(t)
			if s := r.current.Load(); s == nil || s.users[core.UserID(c.ID)] {
				r.generation.Add(1) // its name, or that it is gone
			}
		}
	}
}

// Entitlements are those that a user has in an application, ordered by folded name: one
// binding to the user, or to a group that they are in, is enough. groups are all that the
// user is in, direct and inherited.
func (e *Engine) Entitlements(ctx context.Context, t core.TenantID, user *core.User, groups []core.Group, app core.ApplicationID) ([]core.Entitlement, error) {
	s, err := e.rules(ctx, t)
	if err != nil || user == nil {
		return nil, err
	}
	d := Decision{Request: Request{User: user, Groups: groups}}
	var out []core.Entitlement
	for _, entitlement := range s.entitlements[app] {
		list := s.byTarget[TargetID(entitlement.ID)]
		for i := range list {
			if step := d.static(&list[i]); step.Pass {
				out = append(out, entitlement)
				break
			}
		}
	}
	return out, nil
}
