package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const groupColumns = `g.id, g.pk, g.name, g.superuser, g.attributes, g.created, g.updated`

func scanGroup(s scanner, more ...any) (*core.Group, error) {
	var g core.Group
	var attributes string
	var created, updated int64
	err := s.Scan(append([]any{&g.ID, &g.PK, &g.Name, &g.Superuser, &attributes, &created, &updated}, more...)...)
	if err != nil {
		return nil, err
	}
	g.Created, g.Updated = fromMicros(created), fromMicros(updated)
	g.Attributes, err = fromJSONObject(attributes)
	return &g, err
}

// group reads one group, with its parents and roles. lock is "" or the engine's
// forUpdate.
func (c *conn) group(ctx context.Context, id core.GroupID, lock string) (*core.Group, error) {
	g, err := scanGroup(c.row(ctx, `SELECT `+groupColumns+` FROM groups g WHERE g.id = $1`+lock, id))
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, func(s scanner) error {
		var p core.GroupID
		err := s.Scan(&p)
		g.Parents = append(g.Parents, p)
		return err
	}, `SELECT parent_id FROM group_parents WHERE group_id = $1 ORDER BY parent_id`, id)
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, func(s scanner) error {
		var r core.RoleID
		err := s.Scan(&r)
		g.Roles = append(g.Roles, r)
		return err
	}, `SELECT role_id FROM group_roles WHERE group_id = $1 ORDER BY role_id`, id)
	return g, err
}

// groups reads a list of groups, with their parents and roles, and the count that the
// query's last column holds.
func (c *conn) groups(ctx context.Context, query string, args ...any) (out []core.Group, total int, err error) {
	err = c.each(ctx, func(s scanner) error {
		g, err := scanGroup(s, &total)
		if err == nil {
			out = append(out, *g)
		}
		return err
	}, query, args...)
	if err != nil || len(out) == 0 {
		return nil, total, err
	}
	at := make(map[core.GroupID]*core.Group, len(out))
	b := new(builder)
	ids := make([]core.GroupID, len(out))
	for i := range out {
		at[out[i].ID] = &out[i]
		ids[i] = out[i].ID
	}
	list := in(b, ids)
	err = c.each(ctx, func(s scanner) error {
		var id core.GroupID
		var isRole bool
		var other string
		if err := s.Scan(&isRole, &id, &other); err != nil {
			return err
		}
		if isRole {
			at[id].Roles = append(at[id].Roles, core.RoleID(other))
		} else {
			at[id].Parents = append(at[id].Parents, core.GroupID(other))
		}
		return nil
	}, `SELECT false, group_id, parent_id FROM group_parents WHERE group_id IN (`+list+`)
		UNION ALL SELECT true, group_id, role_id FROM group_roles WHERE group_id IN (`+list+`) ORDER BY 2, 3`, b.args...)
	return out, total, err
}

// Group finds a group by ID.
func (db *DB) Group(ctx context.Context, t core.TenantID, id core.GroupID) (g *core.Group, err error) {
	err = db.read(ctx, t, directory, "read group", func(q *conn) error {
		g, err = q.group(ctx, id, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

func groupFilter(name string) (filter, bool) {
	switch name {
	case "pk", "group_uuid":
		return equals("g.id"), true
	case "num_pk":
		return number("g.pk"), true
	case "name":
		return equals("g.name"), true
	case "is_superuser":
		return truth("g.superuser"), true
	case "members_by_pk":
		return number(`g.id IN (SELECT m.group_id FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.pk`).close(), true
	case "parents":
		return equals(`g.id IN (SELECT p.group_id FROM group_parents p WHERE p.parent_id`).close(), true
	case "roles_by_pk":
		return equals(`g.id IN (SELECT r.group_id FROM group_roles r WHERE r.role_id`).close(), true
	case "members_by_username":
		return folded(`g.id IN (SELECT m.group_id FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.username_fold`).close(), true
	case "attributes":
		return filter{asPairs, `g.id IN (SELECT a.group_id FROM group_attributes a WHERE a.pair = %s)`}, true
	}
	return filter{}, false
}

func groupOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "g.id", true
	case "num_pk":
		return "g.pk", true
	case "name":
		return "g.name_fold", true
	case "is_superuser":
		return "g.superuser", true
	}
	return "", false
}

// ListGroups lists groups: see api.Query.
func (db *DB) ListGroups(ctx context.Context, t core.TenantID, q api.Query) (out []core.Group, total int, err error) {
	r := &resource{filter: groupFilter, order: groupOrder, search: []string{"g.name_fold"}, pk: "g.pk"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list groups", func(c *conn) error {
		out, total, err = c.groups(ctx, `SELECT `+groupColumns+`, count(*) OVER () FROM groups g`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `groups g`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// GroupMembers lists a group's direct members by PK, at most limit.
func (db *DB) GroupMembers(ctx context.Context, t core.TenantID, id core.GroupID, limit int) (out []core.User, err error) {
	err = db.read(ctx, t, directory, "read group's members", func(q *conn) error {
		out, err = q.users(ctx, `SELECT `+userColumns+` FROM users u JOIN memberships m ON m.user_id = u.id
			WHERE m.group_id = $1 ORDER BY u.pk LIMIT $2`, id, limit)
		if err != nil || len(out) > 0 {
			return err
		}
		var n int
		return q.row(ctx, `SELECT 1 FROM groups WHERE id = $1`, id).Scan(&n)
	})
	return out, err
}
