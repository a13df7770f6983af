package outpost

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/postern-sso/postern/core"
)

const (
	maxPeople  = 50_000 // in memory, over all tenants
	maxTargets = 4_096  // guarded hosts in memory, per tenant
)

// Cache holds what a guard needs to decide without a store: people with their
// groups and headers, the policy's decisions, and which application is on which host.
// It outlives a reload of the configuration. Entries leave it when the directory tells
// of a change, and not by time.
type Cache struct {
	people  *otter.Cache[personKey, *person]
	tenants sync.Map // core.TenantID to *tenantState
}

// NewCache returns an empty one.
func NewCache() *Cache {
	return &Cache{people: otter.Must(&otter.Options[personKey, *person]{MaximumSize: maxPeople})}
}

type personKey struct {
	tenant core.TenantID
	user   core.UserID
}

// person is a user as of one shape of the tenant.
type person struct {
	shape  uint64
	user   *core.User
	groups []core.Group

	mu       sync.RWMutex
	verdicts map[*target]*verdict
}

// verdict is the policy's decision on one person and target.
type verdict struct {
	identity *Identity // nil: refused
	id       string    // names a refusal
	why      []string
}

// tenantState counts changes. Every change counts in changes; one of groups,
// applications or providers, which may concern anyone, in shape too.
type tenantState struct {
	changes atomic.Uint64
	shape   atomic.Uint64
	routes  atomic.Pointer[routes]
}

func (c *Cache) tenant(t core.TenantID) *tenantState {
	if s, ok := c.tenants.Load(t); ok {
		return s.(*tenantState)
	}
	s, _ := c.tenants.LoadOrStore(t, new(tenantState))
	return s.(*tenantState)
}

// Invalidate drops what changes made stale. It returns when no later request
// can see it.
func (c *Cache) Invalidate(t core.TenantID, changes ...core.Change) {
	s := c.tenant(t)
	for _, ch := range changes {
		switch ch.Kind {
		case "user", "membership":
			s.changes.Add(1)
			c.people.Invalidate(personKey{t, core.UserID(ch.ID)})
		case "mapping", "keypair", "token", "session", "grant":
			// Sessions have a cache of their own; the others decide nothing here.
		default:
			s.shape.Add(1)
			s.changes.Add(1)
		}
	}
}

// person finds a user with all groups, from memory where it can. A user that does
// not exist is core.ErrNotFound.
func (o *Outpost) person(ctx context.Context, t core.TenantID, s *tenantState, id core.UserID) (*person, error) {
	key := personKey{t, id}
	changes, shape := s.changes.Load(), s.shape.Load()
	if p, ok := o.Cache.people.GetIfPresent(key); ok && p.shape == shape {
		return p, nil
	}
	user, err := o.Users.User(ctx, t, id)
	if err != nil {
		return nil, fmt.Errorf("find user: %w", err)
	}
	groups, err := o.Users.UserGroups(ctx, t, id)
	if err != nil {
		return nil, fmt.Errorf("find groups: %w", err)
	}
	p := &person{shape: shape, user: user, groups: groups, verdicts: make(map[*target]*verdict)}
	o.Cache.people.Set(key, p)
	// A change that was committed while we read may have found nothing to drop.
	if s.changes.Load() != changes {
		o.Cache.people.Invalidate(key)
	}
	return p, nil
}

// verdict decides once for a person and a target.
func (o *Outpost) verdict(ctx context.Context, info *core.RequestInfo, tg *target, p *person) *verdict {
	p.mu.RLock()
	v := p.verdicts[tg]
	p.mu.RUnlock()
	if v != nil {
		return v
	}
	d := o.Policy.Decide(ctx, info.Tenant.ID, tg.app, p.user, p.groups)
	v = &verdict{id: d.ID, why: d.Trace}
	if d.Allowed {
		id, ok := newIdentity(info.Tenant, tg.app, p.user, p.groups, tg.headers)
		if ok {
			v.identity = id
		} else {
			v.id, v.why = core.RandomAlphanumeric(12), []string{"the user name cannot be told in a header as it is: it is too long or holds control characters"}
		}
	}
	if v.identity == nil {
		o.refused(ctx, info, tg, p.user, v)
	}
	if tg.shared {
		p.mu.Lock()
		p.verdicts[tg] = v
		p.mu.Unlock()
	}
	return v
}

// refused leaves a line in the log and in the audit log, once for each verdict and not
// for each request that meets it.
func (o *Outpost) refused(ctx context.Context, info *core.RequestInfo, tg *target, u *core.User, v *verdict) {
	o.Log.InfoContext(ctx, "access refused", "tenant", info.Tenant.ID, "application", tg.app.ID, "user", u.UserName, "decision", v.id, "why", v.why)
	if o.Events == nil {
		return
	}
	err := o.Events.Record(ctx, info.Tenant.ID, core.Event{
		Time: o.Now(), Action: core.EventDenied, User: u.ID, UserName: u.UserName, Application: tg.app.ID,
		Address: info.ClientIP.String(), Message: "access to " + tg.app.Name + " refused",
		Context: map[string]any{"decision": v.id, "trace": v.why},
	})
	if err != nil {
		o.Log.ErrorContext(ctx, "record event", "error", err, "request", info.ID)
	}
}
