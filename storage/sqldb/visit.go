package sqldb

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// tenantState is what this process knows of a tenant: that it was migrated and seeded,
// and who is inside.
type tenantState struct {
	making sync.Mutex // held while the tables are readied
	ready  bool       // under making
	made   bool       // by this process, a moment ago: migrated and seeded; set before anybody has the state
	people people

	mu       sync.Mutex
	visitors int
	gone     bool
	empty    chan struct{} // made when it is gone, closed when nobody is inside any more
}

// visit lets a tenant's tables be used until leave is called: on first use by this
// process they are migrated and seeded. While somebody is inside they are not removed;
// once the tenant is gone nobody comes in, so nobody makes them again.
func (db *DB) visit(ctx context.Context, id core.TenantID) (leave func(), err error) {
	if _, err := db.tenant(ctx, id); err != nil {
		return nil, err
	}
	db.mu.Lock()
	state := db.tenants[id]
	if state == nil {
		state = new(tenantState)
		db.tenants[id] = state
	}
	db.mu.Unlock()
	if !state.enter() {
		return nil, core.ErrNotFound
	}
	// Whoever forgets a tenant takes it out of the registry first: what is there now
	// will find this visitor.
	if _, err = db.tenant(ctx, id); err == nil {
		err = db.ready(ctx, id, state)
	}
	if err != nil {
		state.leave()
		return nil, err
	}
	return state.leave, nil
}

func (s *tenantState) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.visitors++
	return true
}

func (s *tenantState) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visitors--
	if s.gone && s.visitors == 0 {
		close(s.empty)
	}
}

// end lets nobody in from now on. The channel is closed when all have left.
func (s *tenantState) end() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.gone, s.empty = true, make(chan struct{})
		if s.visitors == 0 {
			close(s.empty)
		}
	}
	return s.empty
}

// ready brings the tables up to date, and gives them what every tenant has.
func (db *DB) ready(ctx context.Context, id core.TenantID, state *tenantState) error {
	state.making.Lock()
	defer state.making.Unlock()
	if state.ready {
		return nil
	}
	began := time.Now()
	if !state.made {
		if err := db.engine.update(ctx, id); err != nil {
			return err
		}
		if err := db.seed(ctx, id); err != nil {
			return err
		}
	}
	if err := db.followFrom(ctx, id); err != nil {
		return err
	}
	state.ready = true
	db.log.DebugContext(ctx, "a tenant is used for the first time since the start", "tenant", id, "took", time.Since(began).String())
	return nil
}

// forget drops all that is in memory of a tenant, here and where listeners keep some.
func (db *DB) forget(id core.TenantID) {
	db.mu.Lock()
	db.endState(id)
	db.mu.Unlock()
	db.rooms.Delete(id)
	db.follower.forget(id)
	db.notify(id, []core.Change{{Kind: core.ChangedAny, Op: "delete"}})
}

// endState lets nobody else in, and notes who is inside still. Whoever calls it holds db.mu.
func (db *DB) endState(id core.TenantID) {
	state := db.tenants[id]
	if state == nil {
		return
	}
	delete(db.tenants, id)
	state.people.forget()
	inside := slices.DeleteFunc(append(db.leaving[id], state.end()), func(left <-chan struct{}) bool {
		select {
		case <-left:
			return true
		default:
			return false
		}
	})
	if delete(db.leaving, id); len(inside) > 0 {
		db.leaving[id] = inside
	}
}

// waitLeft waits for those who are inside of a tenant that is in the registry no more, those who were
// when it was made not ready among them; not for ever.
func (db *DB) waitLeft(ctx context.Context, id core.TenantID) {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	db.mu.Lock()
	db.endState(id)
	inside := db.leaving[id]
	delete(db.leaving, id)
	db.mu.Unlock()
	for _, left := range inside {
		select {
		case <-left:
		case <-ctx.Done(): // they find their files gone
		}
	}
}
