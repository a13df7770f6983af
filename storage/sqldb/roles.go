package sqldb

import (
	"cmp"
	"context"
	"slices"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const roleColumns = `r.id, r.name, r.created, r.updated`

func scanRole(s scanner, more ...any) (*core.Role, error) {
	var r core.Role
	var created, updated int64
	if err := s.Scan(append([]any{&r.ID, &r.Name, &created, &updated}, more...)...); err != nil {
		return nil, err
	}
	r.Created, r.Updated = fromMicros(created), fromMicros(updated)
	return &r, nil
}

// roles reads a list of roles, with their permissions, and the count that the
// query's last column holds.
func (c *conn) roles(ctx context.Context, query string, args ...any) (out []core.Role, total int, err error) {
	err = c.each(ctx, func(s scanner) error {
		r, err := scanRole(s, &total)
		if err == nil {
			out = append(out, *r)
		}
		return err
	}, query, args...)
	if err != nil || len(out) == 0 {
		return nil, total, err
	}
	at := make(map[core.RoleID]*core.Role, len(out))
	b := new(builder)
	ids := make([]core.RoleID, len(out))
	for i := range out {
		at[out[i].ID], ids[i] = &out[i], out[i].ID
	}
	list := in(b, ids)
	err = c.each(ctx, func(s scanner) error {
		var id core.RoleID
		var p core.RolePermission
		if err := s.Scan(&id, &p.PK, &p.Permission); err != nil {
			return err
		}
		at[id].Permissions = append(at[id].Permissions, p)
		return nil
	}, `SELECT role_id, pk, permission FROM role_permissions WHERE role_id IN (`+list+`) ORDER BY role_id, permission`, b.args...)
	if err != nil {
		return nil, 0, err
	}
	err = c.each(ctx, func(s scanner) error {
		var id core.RoleID
		var p core.RolePermission
		if err := s.Scan(&id, &p.PK, &p.Permission, &p.Object); err != nil {
			return err
		}
		at[id].Objects = append(at[id].Objects, p)
		return nil
	}, `SELECT role_id, pk, permission, object_id FROM role_object_permissions WHERE role_id IN (`+list+`) ORDER BY role_id, permission, object_id`, b.args...)
	return out, total, err
}

func (c *conn) role(ctx context.Context, id core.RoleID) (*core.Role, error) {
	found, _, err := c.roles(ctx, `SELECT `+roleColumns+`, 0 FROM roles r WHERE r.id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, core.ErrNotFound
	}
	return &found[0], nil
}

// Role finds a role by ID.
func (db *DB) Role(ctx context.Context, t core.TenantID, id core.RoleID) (r *core.Role, err error) {
	err = db.read(ctx, t, directory, "read role", func(q *conn) error {
		r, err = q.role(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func roleFilter(name string) (filter, bool) {
	switch name {
	case "pk", "uuid":
		return equals("r.id"), true
	case "name":
		return equals("r.name"), true
	case "permission":
		return equals(`r.id IN (SELECT p.role_id FROM role_permissions p WHERE p.permission`).close(), true
	case "permission_pk":
		return filter{asInt, `r.id IN (SELECT p.role_id FROM role_permissions p WHERE p.pk IN (%[1]s)
			UNION SELECT o.role_id FROM role_object_permissions o WHERE o.pk IN (%[1]s))`}, true
	}
	return filter{}, false
}

func roleOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "r.id", true
	case "name":
		return "r.name_fold", true
	}
	return "", false
}

// ListRoles lists roles: see api.Query.
func (db *DB) ListRoles(ctx context.Context, t core.TenantID, q api.Query) (out []core.Role, total int, err error) {
	r := &resource{filter: roleFilter, order: roleOrder, search: []string{"r.name_fold"}, pk: "r.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list roles", func(c *conn) error {
		out, total, err = c.roles(ctx, `SELECT `+roleColumns+`, count(*) OVER () FROM roles r`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `roles r`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// CreateRole saves a new role with its permissions, and sets ID, Created and
// Updated, and the PK of each permission.
func (db *DB) CreateRole(ctx context.Context, t core.TenantID, r *core.Role) error {
	return db.write(ctx, t, directory, "create role", func(x *tx) error {
		id, now := core.RoleID(db.newID()), db.stamp()
		err := x.exec(ctx, `INSERT INTO roles (id, name, name_fold, created, updated) VALUES ($1, $2, $3, $4, $4)`,
			id, r.Name, core.Fold(r.Name), micros(now))
		if err != nil {
			return x.taken(err)
		}
		x.changed("role", string(id), "create")
		held, err := x.setPermissions(ctx, id, nil, r.Permissions)
		if err != nil {
			return err
		}
		on, err := x.setPermissions(ctx, id, nil, r.Objects)
		if err != nil {
			return err
		}
		r.ID, r.Permissions, r.Objects, r.Created, r.Updated = id, held, on, now, now
		return nil
	})
}

// UpdateRole loads a role, calls change and saves. Permissions that it had keep
// their PK.
func (db *DB) UpdateRole(ctx context.Context, t core.TenantID, id core.RoleID, change func(*core.Role) error) (r *core.Role, err error) {
	err = db.write(ctx, t, directory, "update role", func(x *tx) error {
		// Whoever writes the row first holds it: two changes take turns.
		if err := x.must(ctx, `UPDATE roles SET updated = $2 WHERE id = $1`, id, micros(db.stamp())); err != nil {
			return err
		}
		if r, err = x.role(ctx, id); err != nil {
			return err
		}
		old := *r
		old.Permissions, old.Objects = slices.Clone(r.Permissions), slices.Clone(r.Objects)
		if err := change(r); err != nil {
			return unwrapped{err}
		}
		r.ID, r.Created, r.Updated = old.ID, old.Created, old.Updated
		if err := x.exec(ctx, `UPDATE roles SET name = $2, name_fold = $3 WHERE id = $1`, id, r.Name, core.Fold(r.Name)); err != nil {
			return x.taken(err)
		}
		x.changed("role", string(id), "update")
		if r.Permissions, err = x.setPermissions(ctx, id, old.Permissions, r.Permissions); err != nil {
			return err
		}
		r.Objects, err = x.setPermissions(ctx, id, old.Objects, r.Objects)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// setPermissions makes a role's permissions what want names, ordered by name and object.
// Those on all objects are in one table, those on single ones in another.
func (x *tx) setPermissions(ctx context.Context, id core.RoleID, have, want []core.RolePermission) ([]core.RolePermission, error) {
	var out []core.RolePermission
	names := func(list []core.RolePermission, p core.RolePermission) bool {
		return slices.ContainsFunc(list, func(r core.RolePermission) bool { return r.Permission == p.Permission && r.Object == p.Object })
	}
	for _, old := range have {
		if names(want, old) {
			out = append(out, old)
			continue
		}
		table := "role_permissions"
		if old.Object != "" {
			table = "role_object_permissions"
		}
		if err := x.exec(ctx, `DELETE FROM `+table+` WHERE pk = $1`, old.PK); err != nil {
			return nil, err
		}
	}
	for _, add := range want {
		if names(out, add) {
			continue
		}
		pk, err := x.next(ctx, "role_permission")
		if err != nil {
			return nil, err
		}
		if add.Object == "" {
			err = x.exec(ctx, `INSERT INTO role_permissions (pk, role_id, permission) VALUES ($1, $2, $3)`, pk, id, add.Permission)
		} else {
			err = x.exec(ctx, `INSERT INTO role_object_permissions (pk, role_id, permission, object_id) VALUES ($1, $2, $3, $4)`, pk, id, add.Permission, add.Object)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, core.RolePermission{PK: pk, Permission: add.Permission, Object: add.Object})
	}
	slices.SortFunc(out, func(a, b core.RolePermission) int {
		return cmp.Or(cmp.Compare(a.Permission, b.Permission), cmp.Compare(a.Object, b.Object))
	})
	return out, nil
}

// DeleteRole deletes a role, and takes it from its groups.
func (db *DB) DeleteRole(ctx context.Context, t core.TenantID, id core.RoleID) error {
	return db.write(ctx, t, directory, "delete role", func(x *tx) error {
		x.changed("role", string(id), "delete")
		return x.must(ctx, `DELETE FROM roles WHERE id = $1`, id)
	})
}
