package sqldb

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-sso/postern/core"
)

// CreateGroup saves a new group with its direct members, and sets ID, PK,
// Created and Updated.
func (db *DB) CreateGroup(ctx context.Context, t core.TenantID, g *core.Group, members []int64) error {
	return db.write(ctx, t, directory, "create group", func(x *tx) error { return x.createGroup(ctx, g, members) })
}

func (x *tx) createGroup(ctx context.Context, g *core.Group, members []int64) error {
	attributes, err := attributesText(g.Attributes)
	if err != nil {
		return err
	}
	id, now := core.GroupID(x.db.newID()), x.db.stamp()
	pk, err := x.next(ctx, "group")
	if err != nil {
		return err
	}
	err = x.exec(ctx, `INSERT INTO groups (id, pk, name, name_fold, superuser, attributes, created, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`, id, pk, g.Name, core.Fold(g.Name), g.Superuser, attributes, micros(now))
	if err != nil {
		return x.taken(err)
	}
	if err := x.setAttributes(ctx, "group", string(id), attributes); err != nil {
		return err
	}
	x.changed("group", string(id), "create")
	if err := x.setParents(ctx, id, g.Parents); err != nil {
		return err
	}
	if err := x.setRoles(ctx, id, nil, g.Roles); err != nil {
		return err
	}
	if err := x.setMembers(ctx, id, members); err != nil {
		return err
	}
	g.ID, g.PK, g.Created, g.Updated = id, pk, now, now
	return nil
}

// UpdateGroup loads a group, calls change and saves. Members that are not nil
// replace the direct ones.
func (db *DB) UpdateGroup(ctx context.Context, t core.TenantID, id core.GroupID, change func(*core.Group) ([]int64, error)) (g *core.Group, err error) {
	err = db.write(ctx, t, directory, "update group", func(x *tx) error {
		g, err = x.group(ctx, id, db.engine.forUpdate())
		if err != nil {
			return err
		}
		old := *g
		old.Parents, old.Roles = slices.Clone(g.Parents), slices.Clone(g.Roles)
		members, err := change(g)
		if err != nil {
			return unwrapped{err}
		}
		g.ID, g.PK, g.Created, g.Updated = old.ID, old.PK, old.Created, db.stamp()
		attributes, err := attributesText(g.Attributes)
		if err != nil {
			return err
		}
		err = x.must(ctx, `UPDATE groups SET name = $2, name_fold = $3, superuser = $4, attributes = $5, updated = $6 WHERE id = $1`,
			id, g.Name, core.Fold(g.Name), g.Superuser, attributes, micros(g.Updated))
		if err != nil {
			return x.taken(err)
		}
		if err := x.setAttributes(ctx, "group", string(id), attributes); err != nil {
			return err
		}
		x.changed("group", string(id), "update")
		if !slices.Equal(old.Parents, g.Parents) {
			if err := x.setParents(ctx, id, g.Parents); err != nil {
				return err
			}
		}
		if err := x.setRoles(ctx, id, old.Roles, g.Roles); err != nil {
			return err
		}
		if members == nil {
			return nil
		}
		return x.setMembers(ctx, id, members)
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// setParents replaces a group's parents. One that is the group itself, or below
// it, is refused: the group would be its own ancestor.
func (x *tx) setParents(ctx context.Context, id core.GroupID, parents []core.GroupID) error {
	// Two changes at once could each be right and close a circle together.
	if _, err := x.next(ctx, "group_tree"); err != nil {
		return err
	}
	if err := x.exec(ctx, `DELETE FROM group_parents WHERE group_id = $1`, id); err != nil {
		return err
	}
	for _, p := range parents {
		if err := x.refers(ctx, "parents", p, `SELECT 1 FROM groups WHERE id = $1`); err != nil {
			return err
		}
		var below bool
		err := x.row(ctx, `WITH RECURSIVE down (id) AS (
				SELECT id FROM groups WHERE id = $1
				UNION SELECT p.group_id FROM group_parents p JOIN down ON down.id = p.parent_id
			) SELECT count(*) > 0 FROM down WHERE id = $2`, id, p).Scan(&below)
		if err != nil {
			return err
		}
		if below {
			return &core.FieldError{Field: "parents", Message: "A group cannot be below itself: choose parents that are not this group or one of its descendants."}
		}
		err = x.exec(ctx, `INSERT INTO group_parents (group_id, parent_id) VALUES ($1, $2) ON CONFLICT (group_id, parent_id) DO NOTHING`, id, p)
		if err != nil {
			return err
		}
	}
	return nil
}

// setRoles makes a group's roles what want says.
func (x *tx) setRoles(ctx context.Context, id core.GroupID, have, want []core.RoleID) error {
	for _, r := range have {
		if slices.Contains(want, r) {
			continue
		}
		if err := x.exec(ctx, `DELETE FROM group_roles WHERE group_id = $1 AND role_id = $2`, id, r); err != nil {
			return err
		}
	}
	for _, r := range want {
		if slices.Contains(have, r) {
			continue
		}
		n, err := x.count(ctx, `INSERT INTO group_roles (group_id, role_id)
			SELECT CAST($1 AS TEXT), id FROM roles WHERE id = $2 ON CONFLICT (group_id, role_id) DO NOTHING`, id, r)
		if errors.Is(err, errText) || err == nil && n == 0 {
			err = x.refers(ctx, "roles", r, `SELECT 1 FROM roles WHERE id = $1`)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setMembers replaces a group's direct members, given by PK.
func (x *tx) setMembers(ctx context.Context, id core.GroupID, pks []int64) error {
	have := map[int64]core.UserID{}
	err := x.each(ctx, func(s scanner) error {
		var pk int64
		var u core.UserID
		err := s.Scan(&pk, &u)
		have[pk] = u
		return err
	}, `SELECT u.pk, u.id FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.group_id = $1`, id)
	if err != nil {
		return err
	}
	want := map[int64]bool{}
	for _, pk := range pks {
		if want[pk] {
			continue
		}
		want[pk] = true
		if _, ok := have[pk]; ok {
			continue
		}
		if err := x.join(ctx, id, pk); err != nil {
			return err
		}
	}
	for pk, u := range have {
		if want[pk] {
			continue
		}
		if err := x.exec(ctx, `DELETE FROM memberships WHERE user_id = $1 AND group_id = $2`, u, id); err != nil {
			return err
		}
		x.changed("membership", string(u), "update")
	}
	return nil
}

// join makes a user, given by PK, a direct member.
func (x *tx) join(ctx context.Context, id core.GroupID, pk int64) error {
	var u core.UserID
	if err := x.row(ctx, `SELECT id FROM users WHERE pk = $1`, pk).Scan(&u); errors.Is(err, core.ErrNotFound) {
		return missing("users", pk)
	} else if err != nil {
		return err
	}
	added, err := x.addMember(ctx, id, u)
	if added {
		x.changed("membership", string(u), "update")
	}
	return err
}

// DeleteGroup deletes a group. Its members and children stay.
func (db *DB) DeleteGroup(ctx context.Context, t core.TenantID, id core.GroupID) error {
	return db.write(ctx, t, directory, "delete group", func(x *tx) error {
		x.changed("group", string(id), "delete")
		return x.must(ctx, `DELETE FROM groups WHERE id = $1`, id)
	})
}

// AddMember makes a user a direct member. One who is a member stays one. A group
// or user that does not exist is core.ErrNotFound.
func (db *DB) AddMember(ctx context.Context, t core.TenantID, id core.GroupID, user int64) error {
	return db.write(ctx, t, directory, "add member", func(x *tx) error {
		var one int
		if err := x.row(ctx, `SELECT 1 FROM groups WHERE id = $1`, id).Scan(&one); err != nil {
			return err
		}
		return x.join(ctx, id, user)
	})
}

// RemoveMember ends a direct membership. One who is no member is no error.
func (db *DB) RemoveMember(ctx context.Context, t core.TenantID, id core.GroupID, user int64) error {
	return db.write(ctx, t, directory, "remove member", func(x *tx) error {
		var one int
		if err := x.row(ctx, `SELECT 1 FROM groups WHERE id = $1`, id).Scan(&one); err != nil {
			return err
		}
		var u core.UserID
		if err := x.row(ctx, `SELECT id FROM users WHERE pk = $1`, user).Scan(&u); err != nil {
			return err
		}
		n, err := x.count(ctx, `DELETE FROM memberships WHERE user_id = $1 AND group_id = $2`, u, id)
		if n > 0 {
			x.changed("membership", string(u), "update")
		}
		return err
	})
}
