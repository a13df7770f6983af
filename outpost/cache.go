package outpost

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/policy"
)

const (
	maxPeople  = 50_000 // in memory, over all tenants
	maxTargets = 4_096  // guarded hosts in memory, per tenant
	// latelySlots is how many sessions' people are found at first glance; two that share a slot take turns.
	latelySlots = 1024
)

// Cache holds what a guard needs to decide without a store: people with their
// groups and headers, the policy's decisions, and which application is on which host.
// It outlives a reload of the configuration. Entries leave it when the directory tells
// of a change, and not by time.
type Cache struct {
	people   *cache.Cache[*person]
	lately   [latelySlots]atomic.Pointer[seen]
	seed     maphash.Seed // of lately
	admitted *cache.Cache[admitted]
	tenants  sync.Map // core.TenantID to *tenantState
}

// NewCache returns an empty one.
func NewCache() *Cache {
	return &Cache{
		people:   cache.New[*person](maxPeople),
		admitted: cache.New[admitted](maxAdmitted),
		seed:     maphash.MakeSeed(),
	}
}

func personKey(t core.TenantID, u core.UserID) cache.Key {
	return cache.Key{Tenant: t, ID: string(u)}
}

// person is a user as of one shape of the tenant.
type person struct {
	shape  uint64
	user   *core.User
	groups []core.Group

	mu    sync.RWMutex
	known map[*target]*known
}

// known is what one person is to one target.
type known struct {
	identity *Identity // nil: no header can tell it
	// decision is the policy's, where it holds until the directory changes. Nil: decide
	// again for each request.
	decision *policy.Decision
}

// seen is whose a session was. It holds until the tenant's next change.
type seen struct {
	session *core.Session
	changes uint64
	person  *person
}

// tenantState counts changes. Every change counts in changes; one of groups,
// applications, providers or bindings, which may concern anyone, in shape too. Under mu a
// person is remembered only if nothing changed since they were asked for, so that a change
// drops them or keeps them out.
type tenantState struct {
	mu      sync.Mutex
	changes atomic.Uint64
	shape   atomic.Uint64
	// credentials counts what may have ended a token or an app password.
	credentials atomic.Uint64
	routes      atomic.Pointer[routes]
}

// unchanged calls remember if nothing changed since changes was read.
func (s *tenantState) unchanged(changes uint64, remember func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes.Load() == changes {
		remember()
	}
}

func (c *Cache) tenant(t core.TenantID) *tenantState {
	if s, ok := c.tenants.Load(t); ok {
		return s.(*tenantState)
	}
	s, _ := c.tenants.LoadOrStore(t, new(tenantState))
	return s.(*tenantState)
}

// Invalidate drops what changes made stale; what it does not know, such as
// core.ChangedAny, may concern anyone. It returns when no later request
// can see it.
func (c *Cache) Invalidate(t core.TenantID, changes ...core.Change) {
	s := c.tenant(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range changes {
		switch ch.Kind {
		case "user", "membership":
			s.credentials.Add(1)                            // a token of another application may be good for who is in a group alone
			c.people.Drop(personKey(t, core.UserID(ch.ID))) // before it counts: who sees the count finds nobody of before
			s.changes.Add(1)
		case "mapping":
			// Decides nothing here.
		case "keypair", "token", "session", "grant":
			s.credentials.Add(1) // sessions have a cache of their own
		default:
			s.credentials.Add(1)
			s.shape.Add(1)
			s.changes.Add(1)
		}
	}
}

// personOf finds the person of a session, which is the same in memory from one request to the next.
func (o *Outpost) personOf(ctx context.Context, t core.TenantID, s *tenantState, sess *core.Session) (*person, error) {
	slot := &o.Cache.lately[maphash.String(o.Cache.seed, string(sess.ID))%latelySlots]
	changes := s.changes.Load()
	if known := slot.Load(); known != nil && known.session == sess && known.changes == changes {
		return known.person, nil
	}
	p, err := o.person(ctx, t, s, sess.User)
	if err == nil {
		slot.Store(&seen{sess, changes, p})
	}
	return p, err
}

// person finds a user with all groups, from memory where it can. A user that does
// not exist is core.ErrNotFound.
func (o *Outpost) person(ctx context.Context, t core.TenantID, s *tenantState, id core.UserID) (*person, error) {
	key := personKey(t, id)
	changes, shape := s.changes.Load(), s.shape.Load()
	if p, ok := o.Cache.people.Get(key); ok && p.shape == shape {
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
	p := &person{shape: shape, user: user, groups: groups, known: make(map[*target]*known)}
	s.unchanged(changes, func() { o.Cache.people.Set(key, p) })
	return p, nil
}

// verdict decides whether a person may go on to a target, from memory where no expression has a
// say, and as whom. Nil: refused, for the decision's reason or for why.
func (o *Outpost) verdict(ctx context.Context, info *core.RequestInfo, tg *target, p *person) (id *Identity, d *policy.Decision, why string, err error) {
	t := info.Tenant.ID
	p.mu.RLock()
	k := p.known[tg]
	p.mu.RUnlock()
	first := k == nil
	if first {
		entitled, err := o.Policy.Entitlements(ctx, t, p.user, p.groups, tg.app.ID)
		if err != nil {
			return nil, nil, "", fmt.Errorf("find entitlements: %w", err)
		}
		k = new(known)
		if k.identity, _ = newIdentity(info.Tenant, tg.app, p.user, p.groups, entitled, tg.headers); k.identity != nil && tg.proxy != nil {
			k.identity.addUpstream(tg.proxy, p.groups)
		}
	}
	if d = k.decision; d == nil {
		d, err = o.Policy.Decide(ctx, t, policy.Request{Application: tg.app, User: p.user, Groups: p.groups})
		if err != nil {
			return nil, nil, "", fmt.Errorf("decide: %w", err)
		}
		if tg.shared && (first || d.Fixed) {
			kept := &known{identity: k.identity}
			if d.Fixed {
				kept.decision = d
			}
			p.mu.Lock()
			p.known[tg] = kept
			p.mu.Unlock()
		}
	}
	switch {
	case !d.Allowed:
		return nil, d, "", nil
	case k.identity == nil:
		return nil, d, "the user name cannot be told in a header as it is: it is too long or holds control characters", nil
	}
	return k.identity, d, "", nil
}

// refused is the page of a refusal that a person met. A decision that is in memory is not
// changed: the refusal's ID is each person's and address's own.
func (o *Outpost) refused(ctx context.Context, info *core.RequestInfo, tg *target, u *core.User, d *policy.Decision, why string) Decision {
	met := *d
	if why == "" {
		o.Policy.Refuse(ctx, info.Tenant.ID, &met, "guard")
	} else {
		o.Policy.RefuseFor(ctx, info.Tenant.ID, &met, "guard", why)
	}
	out := refuse(http.StatusForbidden, "access_denied", "You may not open "+tg.app.Name,
		fmt.Sprintf("You are logged in as %s, who has no access to this application. If you need it, ask an administrator of %s, and give them the decision below.", u.UserName, info.Look(ctx).Title))
	out.Refusal.ID, out.Refusal.Notice = met.ID, met.Notice()
	return out.at(info.Origin()+endpointPrefix+"/sign_out", "Log in as somebody else")
}
