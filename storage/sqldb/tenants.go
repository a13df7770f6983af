package sqldb

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const tenantColumns = `t.id, t.uuid, t.name, t.ready`

func scanTenant(s scanner, more ...any) (*core.Tenant, error) {
	var t core.Tenant
	if err := s.Scan(append([]any{&t.ID, &t.UUID, &t.Name, &t.Ready}, more...)...); err != nil {
		return nil, err
	}
	return &t, nil
}

func tenantFilter(name string) (filter, bool) {
	switch name {
	case "pk", "tenant_uuid":
		return equals("t.uuid"), true
	case "schema_name":
		return equals("t.id"), true
	case "name":
		return equals("t.name"), true
	case "ready":
		return truth("t.ready"), true
	}
	return filter{}, false
}

func tenantOrder(name string) (string, bool) {
	switch name {
	case "tenant_uuid":
		return "t.uuid", true
	case "schema_name":
		return "t.id", true
	case "name":
		return "t.name_fold", true
	case "ready":
		return "t.ready", true
	}
	return "", false
}

// ListTenants lists tenants, those that are not ready among them: see api.Query. It reads
// the registry itself and not what is in memory of it.
func (db *DB) ListTenants(ctx context.Context, q api.Query) (out []core.Tenant, total int, err error) {
	r := &resource{filter: tenantFilter, order: tenantOrder, search: []string{"t.name_fold", "t.id"}, pk: "t.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, core.DefaultTenant, directory, "list tenants", func(c *conn) error {
		out, total = nil, 0
		err := c.each(ctx, func(s scanner) error {
			t, err := scanTenant(s, &total)
			if err == nil {
				out = append(out, *t)
			}
			return err
		}, `SELECT `+tenantColumns+`, count(*) OVER () FROM tenants t`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `tenants t`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// RegisteredTenant finds a tenant by its UUID, one that is not ready too.
func (db *DB) RegisteredTenant(ctx context.Context, uuid string) (t *core.Tenant, err error) {
	err = db.read(ctx, core.DefaultTenant, directory, "find tenant", func(q *conn) error {
		t, err = scanTenant(q.row(ctx, `SELECT `+tenantColumns+` FROM tenants t WHERE t.uuid = $1`, uuid))
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// registerDefault writes the default tenant's own row, once, and the names by which older
// rows are searched.
func (db *DB) registerDefault(ctx context.Context) error {
	return db.rawWrite(ctx, core.DefaultTenant, directory, "register tenant", func(x *tx) error {
		if _, err := x.insertTenant(ctx, &core.Tenant{ID: core.DefaultTenant, UUID: x.db.newID(), Name: "Default"}); err != nil {
			return err
		}
		names := map[core.TenantID]string{}
		err := x.each(ctx, func(s scanner) error {
			var id core.TenantID
			var name string
			err := s.Scan(&id, &name)
			names[id] = core.Fold(name)
			return err
		}, `SELECT id, name FROM tenants WHERE name_fold = ''`)
		if err != nil {
			return err
		}
		for id, fold := range names {
			if err := x.exec(ctx, `UPDATE tenants SET name_fold = $2 WHERE id = $1 AND name_fold <> $2`, id, fold); err != nil {
				return err
			}
		}
		return nil
	})
}

// insertTenant writes a line of the registry, and reports whether the ID was free.
func (x *tx) insertTenant(ctx context.Context, t *core.Tenant) (bool, error) {
	at := micros(x.db.stamp())
	t.Ready = true
	n, err := x.count(ctx, `INSERT INTO tenants (id, uuid, name, name_fold, ready, brand, created, updated)
		VALUES ($1, $2, $3, $4, $5, '{}', $6, $6) ON CONFLICT (id) DO NOTHING`,
		t.ID, t.UUID, t.Name, core.Fold(t.Name), t.Ready, at)
	return n > 0, err
}

// register writes a new tenant's line in the registry.
func (x *tx) register(ctx context.Context, t *core.Tenant) error {
	free, err := x.insertTenant(ctx, t)
	if err != nil {
		return err
	}
	if !free {
		return errTenantTaken
	}
	x.changed("tenant", string(t.ID), "create")
	return nil
}

var errTenantTaken = &core.FieldError{Field: "schema_name", Message: "Tenant with this schema name already exists.", Err: core.ErrExists}

// newTenantID is what a tenant that is made may be called. It leaves out the default
// tenant and PostgreSQL's template, whose names begin otherwise.
var newTenantID = regexp.MustCompile(`^t_[a-z0-9]{1,61}$`)

// CreateTenant makes a tenant: its tables, what every tenant starts with, and its line
// in the registry, all or nothing. The ID must be new and of the form
// t_[a-z0-9]{1,61}: else a *core.FieldError. A tenant of that name that was deleted
// has nothing in common with it, its UUID neither.
func (db *DB) CreateTenant(ctx context.Context, id core.TenantID, name string) (*core.Tenant, error) {
	if !newTenantID.MatchString(string(id)) {
		return nil, &core.FieldError{Field: "schema_name",
			Message: "Schema name must start with t_, only contain lowercase letters and numbers and be less than 63 characters."}
	}
	t := &core.Tenant{ID: id, UUID: db.newID(), Name: name}
	if err := db.found(ctx, t); err != nil {
		return nil, err
	}
	db.KeepSpare(ctx)
	if err := db.loadRegistry(ctx); err != nil {
		return nil, err
	}
	db.mu.Lock()
	if db.tenants[id] == nil { // else somebody was faster, and readies it
		db.tenants[id] = &tenantState{made: true}
	}
	db.mu.Unlock()
	leave, err := db.visit(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("create tenant: %w", err)
	}
	leave()
	return t, nil
}

// found does all of CreateTenant that the engines do in ways of their own.
func (db *DB) found(ctx context.Context, t *core.Tenant) error {
	db.founding.Lock()
	defer db.founding.Unlock()
	if err := db.unregistered(ctx, t.ID); err != nil {
		return err
	}
	pair, err := db.newKeyPair()
	if err != nil {
		return fmt.Errorf("create tenant: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, foundWait)
	defer cancel()
	switch e := db.engine.(type) {
	case *sqliteEngine:
		return db.foundFiles(ctx, e, t, pair)
	case *postgresEngine:
		return db.foundSchema(ctx, e, t, pair)
	}
	return errors.ErrUnsupported
}

func (db *DB) unregistered(ctx context.Context, id core.TenantID) error {
	return db.read(ctx, core.DefaultTenant, directory, "create tenant", func(q *conn) error {
		there, err := q.found(ctx, `SELECT 1 FROM tenants WHERE id = $1`, id)
		if err == nil && there {
			err = errTenantTaken
		}
		return err
	})
}

// UpdateTenant changes a tenant's name, and whether it is ready: one that is not is not
// served, and its hosts are nobody's. The default tenant is always ready.
func (db *DB) UpdateTenant(ctx context.Context, id core.TenantID, change func(*core.Tenant) error) (t *core.Tenant, err error) {
	err = db.write(ctx, core.DefaultTenant, directory, "update tenant", func(x *tx) error {
		t, err = scanTenant(x.row(ctx, `SELECT `+tenantColumns+` FROM tenants t WHERE t.id = $1`+db.engine.forUpdate(), id))
		if err != nil {
			return err
		}
		uuid := t.UUID
		if err := change(t); err != nil {
			return unwrapped{err}
		}
		switch {
		case t.ID != id || t.UUID != uuid:
			return unwrapped{&core.FieldError{Field: "schema_name", Message: "The schema name of a tenant cannot be changed."}}
		case id == core.DefaultTenant && !t.Ready:
			return unwrapped{&core.FieldError{Field: "ready", Message: "The default tenant is always ready."}}
		}
		x.changed("tenant", string(id), "update")
		return x.exec(ctx, `UPDATE tenants SET name = $2, name_fold = $3, ready = $4, updated = $5 WHERE id = $1`,
			id, t.Name, core.Fold(t.Name), t.Ready, micros(db.stamp()))
	})
	if err != nil {
		return nil, err
	}
	return t, db.loadRegistry(ctx)
}

// DeleteTenant removes a tenant with all that it has. Whoever is at work in it ends
// first, or finds nothing: nobody makes its tables again. Another one that has its name by
// now stays: core.ErrNotFound. The default tenant is refused with a *core.FieldError.
func (db *DB) DeleteTenant(ctx context.Context, id core.TenantID, uuid string) error {
	if id == core.DefaultTenant {
		return &core.FieldError{Field: "schema_name", Message: "The default tenant cannot be deleted.", Err: core.ErrInUse}
	}
	if !validTenant(id) {
		return fmt.Errorf("delete tenant: %w", core.ErrNotFound)
	}
	db.founding.Lock()
	defer db.founding.Unlock()
	// What was begun is ended, even if the caller goes away now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), foundWait)
	defer cancel()
	switch e := db.engine.(type) {
	case *sqliteEngine:
		return db.dropFiles(ctx, e, id, uuid)
	case *postgresEngine:
		return db.dropSchema(ctx, e, id, uuid)
	}
	return errors.ErrUnsupported
}

// unregister takes a tenant out of the registry, its domains with it, and their certificates.
func (x *tx) unregister(ctx context.Context, id core.TenantID, uuid string) error {
	x.changed("tenant", string(id), "delete")
	hosts, err := x.domainsOf(ctx, id)
	if err != nil {
		return err
	}
	if err := x.must(ctx, `DELETE FROM tenants WHERE id = $1 AND uuid = $2`, id, uuid); err != nil {
		return err
	}
	return x.dropCertificates(ctx, hosts)
}
