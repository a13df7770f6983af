package sqldb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// registry is all tenants and their hosts, in memory: each request looks there.
type registry struct {
	byID   map[core.TenantID]*core.Tenant // those that are ready
	byHost map[string]*core.Tenant
	read   time.Time
	round  uint64 // how often it was read
}

// registryAge bounds for how long a tenant that another process made may stay
// unknown here.
const registryAge = 5 * time.Second

// TenantByHost finds the tenant that owns a host, exactly or without a leading
// "www.". Nobody's host is core.ErrNotFound, that of a tenant which is not ready
// core.ErrUnavailable: it is nobody else's meanwhile. It answers from memory; what
// another process changed is known some seconds later.
func (db *DB) TenantByHost(ctx context.Context, host string) (*core.Tenant, error) {
	db.RegistryRound(ctx)
	t, ok := db.registry.Load().host(strings.ToLower(host))
	if !ok {
		return nil, errNoTenant
	}
	if !t.Ready {
		return nil, errNotReady
	}
	return t, nil
}

// RegistryRound counts how often the registry was read: while it stays the same, so does what TenantByHost and
// Tenant answer. It has an old one read again meanwhile.
func (db *DB) RegistryRound(ctx context.Context) uint64 {
	if db.registryOld() {
		db.refreshRegistry(ctx)
	}
	return db.registry.Load().round
}

// They are made once: each request to a guarded application asks for its host.
var (
	errNoTenant = fmt.Errorf("find tenant by host: %w", core.ErrNotFound)
	errNotReady = fmt.Errorf("find tenant by host: the tenant is not ready: %w", core.ErrUnavailable)
)

func (r *registry) host(host string) (*core.Tenant, bool) {
	t, ok := r.byHost[host]
	if !ok {
		t, ok = r.byHost[strings.TrimPrefix(host, "www.")]
	}
	if !ok {
		return nil, false
	}
	c := *t
	return &c, true
}

// refreshRegistry reads the registry again while requests go on with what is in
// memory: a database that hangs must not hang them.
func (db *DB) refreshRegistry(ctx context.Context) {
	if !db.reload.TryLock() {
		return // somebody is at it
	}
	db.background.Go(func() {
		defer db.reload.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registryAge)
		defer cancel()
		if err := db.readRegistry(ctx); err != nil {
			db.log.WarnContext(ctx, "the registry of tenants could not be read: what is in memory is used", "error", err)
		}
	})
}

// registryChanged reads the registry anew. Where that fails, as while all connections are
// in use, which does not mean that the database is away, the next request tries again.
func (db *DB) registryChanged(ctx context.Context) {
	if err := db.loadRegistry(ctx); err != nil {
		db.log.WarnContext(ctx, "the registry of tenants changed and could not be read", "error", err)
		db.reload.Lock()
		defer db.reload.Unlock()
		r := *db.registry.Load()
		r.read = time.Time{}
		db.registry.Store(&r)
	}
}

// Tenant finds a tenant by its ID. One that is not ready is core.ErrNotFound.
func (db *DB) Tenant(ctx context.Context, id core.TenantID) (*core.Tenant, error) {
	t, err := db.tenant(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find tenant: %w", err)
	}
	c := *t
	return &c, nil
}

// tenant refuses what is not a tenant, before its ID reaches a path or query. A tenant
// that was deleted is none for the requests that began with it, when another one has
// its ID by now.
func (db *DB) tenant(ctx context.Context, id core.TenantID) (*core.Tenant, error) {
	t, ok := db.registry.Load().byID[id] // who is there has an ID that is one
	if !ok && !validTenant(id) {
		return nil, core.ErrNotFound
	}
	if !ok && db.registryOld() {
		if err := db.loadRegistry(ctx); err != nil {
			return nil, err
		}
		t, ok = db.registry.Load().byID[id]
	}
	if !ok {
		return nil, core.ErrNotFound
	}
	if info := core.Request(ctx); id != core.DefaultTenant && info != nil && info.Tenant != nil && info.Tenant.ID == id && info.Tenant.UUID != t.UUID {
		return nil, core.ErrNotFound
	}
	return t, nil
}

// registryOld reports whether another process may have changed the registry.
func (db *DB) registryOld() bool {
	return db.engine.shared() && time.Since(db.registry.Load().read) > registryAge
}

// loadRegistry reads all tenants and domains.
func (db *DB) loadRegistry(ctx context.Context) error {
	db.reload.Lock()
	defer db.reload.Unlock()
	return db.readRegistry(ctx)
}

// readRegistry does it for whoever holds the lock. Tenants that are no longer there are
// forgotten.
func (db *DB) readRegistry(ctx context.Context) error {
	var r *registry
	err := db.rawRead(ctx, core.DefaultTenant, directory, "read registry", func(q *conn) error {
		r = &registry{byID: map[core.TenantID]*core.Tenant{}, byHost: map[string]*core.Tenant{}, read: time.Now()}
		return r.fill(ctx, q)
	})
	if err != nil {
		return err
	}
	before := db.registry.Load()
	if before != nil {
		r.round = before.round + 1
	}
	db.registry.Store(r) // whoever reads it holds the lock
	if before == nil {
		return nil
	}
	for id, t := range before.byID {
		if now := r.byID[id]; now == nil || now.UUID != t.UUID {
			db.forget(id)
		}
	}
	return nil
}

func (r *registry) fill(ctx context.Context, q *conn) error {
	all := map[core.TenantID]*core.Tenant{}
	err := q.each(ctx, func(s scanner) error {
		t, err := scanTenant(s)
		if err != nil {
			return err
		}
		all[t.ID] = t
		if t.Ready {
			r.byID[t.ID] = t
		}
		return nil
	}, `SELECT `+tenantColumns+` FROM tenants t`)
	if err != nil {
		return err
	}
	return q.each(ctx, func(s scanner) error {
		var domain string
		var id core.TenantID
		var primary bool
		if err := s.Scan(&domain, &id, &primary); err != nil {
			return err
		}
		if t := all[id]; t != nil {
			r.byHost[domain] = t
			if primary || t.Origin == "" {
				t.Origin = "https://" + core.JoinHost(domain, "")
			}
		}
		return nil
	}, `SELECT domain, tenant_id, is_primary FROM domains ORDER BY id`)
}
