package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const mappingColumns = `m.id, m.kind, coalesce(m.managed, ''), m.name, m.expression, m.scope_name, m.description, m.saml_name,
	m.friendly_name, m.claims, m.created, m.updated`

func scanMapping(s scanner, more ...any) (*core.PropertyMapping, error) {
	var m core.PropertyMapping
	var claims string
	var created, updated int64
	err := s.Scan(append([]any{&m.ID, &m.Kind, &m.Managed, &m.Name, &m.Expression, &m.ScopeName, &m.Description, &m.SAMLName,
		&m.FriendlyName, &claims, &created, &updated}, more...)...)
	if err != nil {
		return nil, err
	}
	m.Created, m.Updated = fromMicros(created), fromMicros(updated)
	return &m, fromJSON(claims, &m.Claims)
}

func (c *conn) mappings(ctx context.Context, query string, args ...any) (out []core.PropertyMapping, total int, err error) {
	err = c.each(ctx, func(s scanner) error {
		m, err := scanMapping(s, &total)
		if err == nil {
			out = append(out, *m)
		}
		return err
	}, query, args...)
	return out, total, err
}

func (c *conn) mapping(ctx context.Context, kind core.MappingKind, id core.MappingID, lock string) (*core.PropertyMapping, error) {
	return scanMapping(c.row(ctx, `SELECT `+mappingColumns+` FROM mappings m WHERE m.id = $1 AND m.kind = $2`+lock, id, kind))
}

// Mapping finds a property mapping of a kind.
func (db *DB) Mapping(ctx context.Context, t core.TenantID, kind core.MappingKind, id core.MappingID) (m *core.PropertyMapping, err error) {
	err = db.read(ctx, t, directory, "read mapping", func(q *conn) error {
		m, err = q.mapping(ctx, kind, id, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Mappings returns those of the IDs that exist, ordered by folded name.
func (db *DB) Mappings(ctx context.Context, t core.TenantID, ids []core.MappingID) (out []core.PropertyMapping, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = db.read(ctx, t, directory, "read mappings", func(q *conn) error {
		b := new(builder)
		list := in(b, ids)
		out, _, err = q.mappings(ctx, `SELECT `+mappingColumns+`, 0 FROM mappings m WHERE m.id IN (`+list+`) ORDER BY m.name_fold, m.id`, b.args...)
		return err
	})
	return out, err
}

func mappingFilter(name string) (filter, bool) {
	switch name {
	case "pk", "pm_uuid":
		return equals("m.id"), true
	case "name":
		return equals("m.name"), true
	case "managed":
		return equals("m.managed"), true
	case "managed__isnull":
		return null("m.managed IS NULL"), true
	case "scope_name":
		return equals("m.scope_name"), true
	case "saml_name":
		return equals("m.saml_name"), true
	case "friendly_name":
		return equals("m.friendly_name"), true
	}
	return filter{}, false
}

func mappingOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "m.id", true
	case "name":
		return "m.name_fold", true
	case "managed":
		return "coalesce(m.managed, '')", true
	case "scope_name":
		return "m.scope_name", true
	case "saml_name":
		return "m.saml_name", true
	case "friendly_name":
		return "m.friendly_name", true
	}
	return "", false
}

// ListMappings lists the property mappings of a kind: see api.Query.
func (db *DB) ListMappings(ctx context.Context, t core.TenantID, kind core.MappingKind, q api.Query) (out []core.PropertyMapping, total int, err error) {
	r := &resource{filter: mappingFilter, order: mappingOrder, search: []string{"m.name_fold"}, pk: "m.id"}
	clauses, args, err := r.list(q, "m.kind = $1", kind)
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list mappings", func(c *conn) error {
		out, total, err = c.mappings(ctx, `SELECT `+mappingColumns+`, count(*) OVER () FROM mappings m`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `mappings m`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// CreateMapping saves a new property mapping and sets ID, Created and Updated.
func (db *DB) CreateMapping(ctx context.Context, t core.TenantID, m *core.PropertyMapping) error {
	return db.write(ctx, t, directory, "create mapping", func(x *tx) error { return x.createMapping(ctx, m) })
}

func (x *tx) createMapping(ctx context.Context, m *core.PropertyMapping) error {
	claims, err := toJSON(m.Claims)
	if err != nil {
		return err
	}
	id, now := core.MappingID(x.db.newID()), x.db.stamp()
	err = x.exec(ctx, `INSERT INTO mappings (id, kind, managed, name, name_fold, expression, scope_name, description, saml_name,
			friendly_name, claims, created, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)`,
		id, m.Kind, orNull(m.Managed), m.Name, core.Fold(m.Name), m.Expression, m.ScopeName, m.Description, m.SAMLName,
		m.FriendlyName, claims, micros(now))
	if err != nil {
		return x.taken(err)
	}
	x.changed("mapping", string(id), "create")
	m.ID, m.Created, m.Updated = id, now, now
	return nil
}

// UpdateMapping loads a property mapping, calls change and saves. Its kind stays.
func (db *DB) UpdateMapping(ctx context.Context, t core.TenantID, kind core.MappingKind, id core.MappingID, change func(*core.PropertyMapping) error) (m *core.PropertyMapping, err error) {
	err = db.write(ctx, t, directory, "update mapping", func(x *tx) error {
		m, err = x.mapping(ctx, kind, id, db.engine.forUpdate())
		if err != nil {
			return err
		}
		created := m.Created
		if err := change(m); err != nil {
			return unwrapped{err}
		}
		m.ID, m.Kind, m.Created, m.Updated = id, kind, created, db.stamp()
		claims, err := toJSON(m.Claims)
		if err != nil {
			return err
		}
		err = x.must(ctx, `UPDATE mappings SET managed = $2, name = $3, name_fold = $4, expression = $5, scope_name = $6, description = $7,
				saml_name = $8, friendly_name = $9, claims = $10, updated = $11 WHERE id = $1`,
			id, orNull(m.Managed), m.Name, core.Fold(m.Name), m.Expression, m.ScopeName, m.Description,
			m.SAMLName, m.FriendlyName, claims, micros(m.Updated))
		x.changed("mapping", string(id), "update")
		return x.taken(err)
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// DeleteMapping deletes a property mapping and takes it from its providers.
func (db *DB) DeleteMapping(ctx context.Context, t core.TenantID, kind core.MappingKind, id core.MappingID) error {
	return db.write(ctx, t, directory, "delete mapping", func(x *tx) error {
		x.changed("mapping", string(id), "delete")
		return x.must(ctx, `DELETE FROM mappings WHERE id = $1 AND kind = $2`, id, kind)
	})
}
