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
	byID   map[core.TenantID]*core.Tenant
	byHost map[string]*core.Tenant
	read   time.Time
}

// registryAge bounds for how long a tenant that another process made may stay
// unknown here.
const registryAge = 5 * time.Second

// TenantByHost finds the tenant that owns a host, exactly or without a leading
// "www.". Nobody's host is core.ErrNotFound. It answers from memory; what another
// process changed is known some seconds later.
func (db *DB) TenantByHost(ctx context.Context, host string) (*core.Tenant, error) {
	if db.registryOld() {
		db.refreshRegistry(ctx)
	}
	t, ok := db.registry.Load().host(strings.ToLower(host))
	if !ok {
		return nil, errNoTenant
	}
	return t, nil
}

// errNoTenant is made once: each request to a guarded application asks for its host.
var errNoTenant = fmt.Errorf("find tenant by host: %w", core.ErrNotFound)

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

// Tenant finds a tenant by its ID.
func (db *DB) Tenant(ctx context.Context, id core.TenantID) (*core.Tenant, error) {
	if err := db.exists(ctx, id); err != nil {
		return nil, fmt.Errorf("find tenant: %w", err)
	}
	t := *db.registry.Load().byID[id]
	return &t, nil
}

// exists refuses what is not a tenant, before its ID reaches a path or query.
func (db *DB) exists(ctx context.Context, id core.TenantID) error {
	if !validTenant(id) {
		return core.ErrNotFound
	}
	if _, ok := db.registry.Load().byID[id]; ok {
		return nil
	}
	if !db.registryOld() {
		return core.ErrNotFound
	}
	if err := db.loadRegistry(ctx); err != nil {
		return err
	}
	if _, ok := db.registry.Load().byID[id]; !ok {
		return core.ErrNotFound
	}
	return nil
}

// registryOld reports whether another process may have changed the registry.
func (db *DB) registryOld() bool {
	return db.engine.shared() && time.Since(db.registry.Load().read) > registryAge
}

// ready lets a tenant's tables be used: on first use by this process they are
// migrated and seeded.
func (db *DB) ready(ctx context.Context, id core.TenantID) error {
	if err := db.exists(ctx, id); err != nil {
		return err
	}
	db.mu.Lock()
	state := db.tenants[id]
	if state == nil {
		state = new(tenantState)
		db.tenants[id] = state
	}
	db.mu.Unlock()
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.ready {
		return nil
	}
	if err := db.engine.create(ctx, id); err != nil {
		return err
	}
	if err := db.seed(ctx, id); err != nil {
		return err
	}
	if err := db.followFrom(ctx, id); err != nil {
		return err
	}
	state.ready = true
	return nil
}

// registerDefault writes the default tenant's own row, once.
func (db *DB) registerDefault(ctx context.Context) error {
	return db.rawWrite(ctx, core.DefaultTenant, directory, "register tenant", func(x *tx) error {
		return x.insertTenant(ctx, core.DefaultTenant, "Default")
	})
}

func (x *tx) insertTenant(ctx context.Context, id core.TenantID, name string) error {
	at := micros(x.db.stamp())
	return x.exec(ctx, `INSERT INTO tenants (id, uuid, name, ready, brand, created, updated)
		VALUES ($1, $2, $3, $4, '{}', $5, $5) ON CONFLICT (id) DO NOTHING`,
		id, x.db.newID(), name, true, at)
}

// CreateTenant makes a tenant: its tables, what every tenant starts with, and its
// line in the registry. The ID must be new and of the form t_[a-z0-9]{1,61}.
func (db *DB) CreateTenant(ctx context.Context, id core.TenantID, name string) (*core.Tenant, error) {
	if !validTenant(id) || id == core.DefaultTenant {
		return nil, &core.FieldError{Field: "schema_name",
			Message: "Schema name must start with t_, only contain lowercase letters and numbers and be less than 63 characters."}
	}
	if err := db.loadRegistry(ctx); err != nil {
		return nil, err
	}
	if _, ok := db.registry.Load().byID[id]; ok {
		return nil, &core.FieldError{Field: "schema_name", Message: "tenant with this schema name already exists.", Err: core.ErrExists}
	}
	if err := db.engine.create(ctx, id); err != nil {
		return nil, fmt.Errorf("create tenant: %w", err)
	}
	err := db.write(ctx, core.DefaultTenant, directory, "create tenant", func(x *tx) error {
		x.changed("tenant", string(id), "create")
		return x.insertTenant(ctx, id, name)
	})
	if err != nil {
		return nil, err
	}
	if err := db.loadRegistry(ctx); err != nil {
		return nil, err
	}
	if err := db.ready(ctx, id); err != nil {
		return nil, fmt.Errorf("create tenant: %w", err)
	}
	return db.Tenant(ctx, id)
}

// AddDomain gives a tenant a host. A host has one owner.
func (db *DB) AddDomain(ctx context.Context, id core.TenantID, domain string, primary bool) error {
	host, port, err := core.NormalizeHost(domain)
	if err != nil || port != "" {
		return &core.FieldError{Field: "domain", Message: "Enter a host name without scheme, port and path."}
	}
	if err := db.exists(ctx, id); err != nil {
		return fmt.Errorf("add domain: %w", err)
	}
	err = db.write(ctx, core.DefaultTenant, directory, "add domain", func(x *tx) error {
		n, err := x.next(ctx, "domain")
		if err != nil {
			return err
		}
		if primary {
			if err := x.exec(ctx, `UPDATE domains SET is_primary = $2 WHERE tenant_id = $1`, id, false); err != nil {
				return err
			}
		}
		x.changed("tenant", string(id), "update")
		return x.taken(x.exec(ctx, `INSERT INTO domains (id, domain, is_primary, tenant_id) VALUES ($1, $2, $3, $4)`, n, host, primary, id))
	})
	if err != nil {
		return err
	}
	return db.loadRegistry(ctx)
}

// loadRegistry reads all tenants and domains.
func (db *DB) loadRegistry(ctx context.Context) error {
	db.reload.Lock()
	defer db.reload.Unlock()
	return db.readRegistry(ctx)
}

// readRegistry does it for whoever holds the lock.
func (db *DB) readRegistry(ctx context.Context) error {
	var r *registry
	err := db.rawRead(ctx, core.DefaultTenant, directory, "read registry", func(q *conn) error {
		r = &registry{byID: map[core.TenantID]*core.Tenant{}, byHost: map[string]*core.Tenant{}, read: time.Now()}
		return r.fill(ctx, q)
	})
	if err != nil {
		return err
	}
	db.registry.Store(r)
	return nil
}

func (r *registry) fill(ctx context.Context, q *conn) error {
	err := q.each(ctx, func(s scanner) error {
		var t core.Tenant
		var brand string
		if err := s.Scan(&t.ID, &t.UUID, &t.Name, &brand); err != nil {
			return err
		}
		r.byID[t.ID] = &t
		return fromJSON(brand, &t.Brand)
	}, `SELECT id, uuid, name, brand FROM tenants WHERE ready = $1`, true)
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
		if t := r.byID[id]; t != nil {
			r.byHost[domain] = t
			if primary || t.Origin == "" {
				t.Origin = "https://" + core.JoinHost(domain, "")
			}
		}
		return nil
	}, `SELECT domain, tenant_id, is_primary FROM domains ORDER BY id`)
}
