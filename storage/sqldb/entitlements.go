package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const entitlementColumns = `e.id, e.application_id, e.name, e.attributes, e.created, e.updated`

func scanEntitlement(s scanner, more ...any) (*core.Entitlement, error) {
	var e core.Entitlement
	var attributes string
	var created, updated int64
	if err := s.Scan(append([]any{&e.ID, &e.Application, &e.Name, &attributes, &created, &updated}, more...)...); err != nil {
		return nil, err
	}
	e.Created, e.Updated = fromMicros(created), fromMicros(updated)
	var err error
	e.Attributes, err = fromJSONObject(attributes)
	return &e, err
}

func (c *conn) entitlements(ctx context.Context, query string, args ...any) (out []core.Entitlement, total int, err error) {
	err = c.each(ctx, func(s scanner) error {
		e, err := scanEntitlement(s, &total)
		if err == nil {
			out = append(out, *e)
		}
		return err
	}, query, args...)
	return out, total, err
}

// Entitlement finds an entitlement by ID.
func (db *DB) Entitlement(ctx context.Context, t core.TenantID, id core.EntitlementID) (e *core.Entitlement, err error) {
	err = db.read(ctx, t, directory, "read entitlement", func(q *conn) error {
		e, err = scanEntitlement(q.row(ctx, `SELECT `+entitlementColumns+` FROM entitlements e WHERE e.id = $1`, id))
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Entitlements returns those of all applications, ordered by folded name.
func (db *DB) Entitlements(ctx context.Context, t core.TenantID) (out []core.Entitlement, err error) {
	err = db.read(ctx, t, directory, "read entitlements", func(q *conn) error {
		out, _, err = q.entitlements(ctx, `SELECT `+entitlementColumns+`, 0 FROM entitlements e ORDER BY e.name_fold, e.id`)
		return err
	})
	return out, err
}

func entitlementFilter(name string) (filter, bool) {
	switch name {
	case "pk", "pbm_uuid":
		return equals("e.id"), true
	case "name":
		return equals("e.name"), true
	case "app":
		return equals("e.application_id"), true
	}
	return filter{}, false
}

func entitlementOrder(name string) (string, bool) {
	switch name {
	case "pk", "pbm_uuid":
		return "e.id", true
	case "name":
		return "e.name_fold", true
	case "app":
		return "e.application_id", true
	}
	return "", false
}

// ListEntitlements lists entitlements: see api.Query.
func (db *DB) ListEntitlements(ctx context.Context, t core.TenantID, q api.Query) (out []core.Entitlement, total int, err error) {
	r := &resource{filter: entitlementFilter, order: entitlementOrder, search: []string{"e.name_fold"}, pk: "e.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list entitlements", func(c *conn) error {
		out, total, err = c.entitlements(ctx, `SELECT `+entitlementColumns+`, count(*) OVER () FROM entitlements e`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `entitlements e`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// CreateEntitlement saves a new entitlement and sets ID, Created and Updated.
func (db *DB) CreateEntitlement(ctx context.Context, t core.TenantID, e *core.Entitlement) error {
	return db.write(ctx, t, directory, "create entitlement", func(x *tx) error {
		attributes, err := attributesText(e.Attributes)
		if err != nil {
			return err
		}
		if err := x.refers(ctx, "app", e.Application, `SELECT 1 FROM applications WHERE id = $1`); err != nil {
			return err
		}
		id, now := core.EntitlementID(db.newID()), db.stamp()
		err = x.exec(ctx, `INSERT INTO entitlements (id, application_id, name, name_fold, attributes, created, updated)
			VALUES ($1, $2, $3, $4, $5, $6, $6)`, id, e.Application, e.Name, core.Fold(e.Name), attributes, micros(now))
		if err != nil {
			return x.taken(err)
		}
		x.changed("entitlement", string(id), "create")
		e.ID, e.Created, e.Updated = id, now, now
		return nil
	})
}

// UpdateEntitlement loads an entitlement, calls change and saves.
func (db *DB) UpdateEntitlement(ctx context.Context, t core.TenantID, id core.EntitlementID, change func(*core.Entitlement) error) (e *core.Entitlement, err error) {
	err = db.write(ctx, t, directory, "update entitlement", func(x *tx) error {
		e, err = scanEntitlement(x.row(ctx, `SELECT `+entitlementColumns+` FROM entitlements e WHERE e.id = $1`+db.engine.forUpdate(), id))
		if err != nil {
			return err
		}
		created := e.Created
		if err := change(e); err != nil {
			return unwrapped{err}
		}
		e.ID, e.Created, e.Updated = id, created, db.stamp()
		attributes, err := attributesText(e.Attributes)
		if err != nil {
			return err
		}
		if err := x.refers(ctx, "app", e.Application, `SELECT 1 FROM applications WHERE id = $1`); err != nil {
			return err
		}
		err = x.must(ctx, `UPDATE entitlements SET application_id = $2, name = $3, name_fold = $4, attributes = $5, updated = $6 WHERE id = $1`,
			id, e.Application, e.Name, core.Fold(e.Name), attributes, micros(e.Updated))
		x.changed("entitlement", string(id), "update")
		return x.taken(err)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// DeleteEntitlement deletes an entitlement with its bindings.
func (db *DB) DeleteEntitlement(ctx context.Context, t core.TenantID, id core.EntitlementID) error {
	return db.write(ctx, t, directory, "delete entitlement", func(x *tx) error {
		x.changed("entitlement", string(id), "delete")
		return x.must(ctx, `DELETE FROM entitlements WHERE id = $1`, id)
	})
}
