package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postern-sso/postern/core"
)

// Rights is what a user may do in the administration.
func (db *DB) Rights(ctx context.Context, t core.TenantID, u core.UserID) (r core.Rights, err error) {
	err = db.read(ctx, t, directory, "read rights", func(q *conn) error {
		r, err = q.rights(ctx, u)
		return err
	})
	return r, err
}

// up are the groups that the user $1 is in, direct and inherited. CROSS JOIN after it
// makes SQLite begin with these few, and is any join to PostgreSQL.
const up = `WITH RECURSIVE up (id) AS (
		SELECT group_id FROM memberships WHERE user_id = $1
		UNION SELECT p.parent_id FROM group_parents p JOIN up ON up.id = p.group_id
	) `

// upRoles are also the roles that the user $1 has, their own and those of the groups.
const upRoles = `WITH RECURSIVE up (id) AS (
		SELECT group_id FROM memberships WHERE user_id = $1
		UNION SELECT p.parent_id FROM group_parents p JOIN up ON up.id = p.group_id
	), held (id) AS (
		SELECT role_id FROM user_roles WHERE user_id = $1
		UNION SELECT gr.role_id FROM up CROSS JOIN group_roles gr WHERE gr.group_id = up.id
	) `

func (c *conn) rights(ctx context.Context, u core.UserID) (r core.Rights, err error) {
	err = c.row(ctx, up+`SELECT count(*) > 0 FROM up CROSS JOIN groups g WHERE g.id = up.id AND g.superuser`, u).Scan(&r.Superuser)
	if err != nil {
		return core.Rights{}, err
	}
	var held []core.RoleID
	err = c.each(ctx, func(s scanner) error {
		var id core.RoleID
		err := s.Scan(&id)
		held = append(held, id)
		return err
	}, upRoles+`SELECT id FROM held`, u)
	if err != nil || len(held) == 0 { // of most people
		return r, err
	}
	// The roles by name, not joined: PostgreSQL takes those of one person for thousands, and
	// would read the rights of all.
	b := new(builder)
	list := in(b, held)
	err = c.each(ctx, func(s scanner) error {
		var p core.Permission
		err := s.Scan(&p)
		r.Permissions = append(r.Permissions, p)
		return err
	}, `SELECT DISTINCT permission FROM role_permissions WHERE role_id IN (`+list+`) ORDER BY 1`, b.args...)
	if err != nil {
		return core.Rights{}, err
	}
	err = c.each(ctx, func(s scanner) error {
		var o core.ObjectRight
		err := s.Scan(&o.Permission, &o.Object)
		r.Objects = append(r.Objects, o)
		return err
	}, `SELECT DISTINCT permission, object_id FROM role_object_permissions WHERE role_id IN (`+list+`) ORDER BY 1, 2`, b.args...)
	return r, err
}

// errBeyond wraps core.ErrDenied for what is beyond a delegation.
var errBeyond = fmt.Errorf("beyond the rights of who asks: %w", core.ErrDenied)

// limits is what a delegation leaves out of reach, as the transaction found it.
type limits struct {
	rights core.Rights
	above  map[core.Change]bool // by kind and ID
}

// limit reads what the context's delegation may not touch. It is nil where there
// is none, and for a superuser.
func (x *tx) limit(ctx context.Context) (*limits, error) {
	d := core.DelegationOf(ctx)
	if d == nil {
		return nil, nil
	}
	var active bool
	err := x.row(ctx, `SELECT active FROM users WHERE id = $1`, d.By).Scan(&active)
	if errors.Is(err, core.ErrNotFound) || err == nil && !active {
		return nil, errBeyond
	}
	if err != nil {
		return nil, err
	}
	l := &limits{}
	if l.rights, err = x.rights(ctx, d.By); err != nil {
		return nil, err
	}
	for _, p := range d.Needs {
		if !l.rights.Has(p) {
			return nil, errBeyond
		}
	}
	for _, o := range d.NeedsOn {
		if !l.rights.HasOn(o.Permission, o.Object) {
			return nil, errBeyond
		}
	}
	if l.rights.Superuser {
		return nil, nil
	}
	l.above, err = x.above(ctx, l.rights)
	return l, err
}

// maxObjectRights bounds how many rights on single objects one statement compares.
const maxObjectRights = 400

// above finds who and what has a right that is not among rights.
func (x *tx) above(ctx context.Context, rights core.Rights) (map[core.Change]bool, error) {
	b := new(builder)
	foreign := "1 = 1"
	if len(rights.Permissions) > 0 {
		foreign = "permission NOT IN (" + in(b, rights.Permissions) + ")"
	}
	foreignOn := foreign
	for i, o := range rights.Objects {
		if i == maxObjectRights {
			break // the others count as beyond: that refuses more, never less
		}
		foreignOn += " AND NOT (permission = " + b.add(o.Permission) + " AND object_id = " + b.add(o.Object) + ")"
	}
	scope := b.add(core.ScopeAPI)
	out := map[core.Change]bool{}
	err := x.each(ctx, func(s scanner) error {
		var c core.Change
		err := s.Scan(&c.Kind, &c.ID)
		out[c] = true
		return err
	}, `WITH RECURSIVE strong (id) AS (
			SELECT role_id FROM role_permissions WHERE `+foreign+`
			UNION SELECT role_id FROM role_object_permissions WHERE `+foreignOn+`
		), seed (id) AS (
			SELECT id FROM groups WHERE superuser
			UNION SELECT gr.group_id FROM group_roles gr JOIN strong ON strong.id = gr.role_id
		), down (id) AS (
			SELECT id FROM seed
			UNION SELECT p.group_id FROM group_parents p JOIN down ON down.id = p.parent_id
		), people (id) AS (
			SELECT m.user_id FROM memberships m JOIN down ON down.id = m.group_id
			UNION SELECT ur.user_id FROM user_roles ur JOIN strong ON strong.id = ur.role_id
		), api (id) AS (
			SELECT id FROM mappings WHERE kind = 'scope' AND scope_name = `+scope+` OR expression LIKE '%ak_create_jwt%'
		)
		SELECT 'role', id FROM strong
		UNION ALL SELECT 'group', id FROM down
		UNION ALL SELECT 'user', id FROM people
		UNION ALL SELECT 'token', t.id FROM tokens t JOIN people ON people.id = t.user_id
		UNION ALL SELECT 'mapping', id FROM api
		UNION ALL SELECT DISTINCT 'provider', CAST(pm.provider_id AS TEXT) FROM provider_mappings pm JOIN api ON api.id = pm.mapping_id`, b.args...)
	return out, err
}

// within refuses what the transaction did beyond its limits. Every change names what
// it changed, for the outbox; it must not have had more rights than the delegation
// before, nor have more now. Only these need a look: a right comes to somebody only
// by a line that was written, and whoever stands at its lower end is named.
func (x *tx) within(ctx context.Context, l *limits) error {
	if l == nil {
		return nil
	}
	touched := make([]core.Change, 0, len(x.changes)+len(x.concerned))
	for _, c := range append(x.concerned, x.changes...) {
		kind := c.Kind
		if kind == "membership" {
			kind = "user"
		}
		touched = append(touched, core.Change{Kind: kind, ID: c.ID})
	}
	for _, c := range touched {
		if l.above[c] {
			return errBeyond
		}
	}
	now, err := x.above(ctx, l.rights)
	if err != nil {
		return err
	}
	for _, c := range touched {
		if now[c] {
			return errBeyond
		}
	}
	return nil
}

// onlyOn refuses a write that reached another object than those that the delegation's rights
// are on: the name by which it was asked for may have become another's since.
func onlyOn(ctx context.Context, model, id string) error {
	d := core.DelegationOf(ctx)
	if d == nil {
		return nil
	}
	for _, o := range d.NeedsOn {
		if strings.HasSuffix(o.Permission.Codename(), "_"+model) && o.Object != id {
			return errBeyond
		}
	}
	return nil
}

// concerns names a user for within where the change makes no line in the outbox.
func (x *tx) concerns(u core.UserID) {
	x.concerned = append(x.concerned, core.Change{Kind: "user", ID: string(u)})
}
