package expression

import (
	"errors"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// team is a group as expressions see one.
type team struct {
	group  *core.Group
	folded string // its name, folded once it is needed
	known  known
}

func (r *run) newGroups(groups []core.Group) []*object {
	out := make([]*object, len(groups))
	for i := range groups {
		out[i] = r.newGroup(&groups[i])
	}
	return out
}

func (r *run) newGroup(g *core.Group) *object {
	r.alloc(320)
	t := &team{group: g}
	o := &object{kind: "Group", id: string(g.ID), data: t, text: func() string { return g.Name }}
	o.get = func(name string) starlark.Value {
		v := t.known.value(name)
		if v == nil {
			if v = r.groupAttribute(g, name); v != nil {
				t.known.keep(name, v)
			}
		}
		return v
	}
	return o
}

// asGroup is what stands behind a group's object. Only objects made by newGroup are given to it.
func asGroup(o *object) *team {
	t, ok := o.data.(*team)
	if !ok {
		fail("TypeError: a group is needed here, not %s", quote(o.kind))
	}
	return t
}

// groupAttribute finds an attribute of a group (authentik/core/models.py, Group).
func (r *run) groupAttribute(g *core.Group, name string) starlark.Value {
	switch name {
	case "pk", "group_uuid", "uuid":
		return starlark.String(string(g.ID))
	case "num_pk":
		return starlark.MakeInt64(g.PK)
	case "name":
		return starlark.String(g.Name)
	case "is_superuser":
		return starlark.Bool(g.Superuser)
	case "attributes":
		r.alloc(weight(g.Attributes) / 4)
		return r.fromGo(orEmpty(g.Attributes), 0)
	case "date_joined", "created":
		return newTime(g.Created)
	case "parents":
		return r.manager("Group", func() []*object { return r.parents(g) })
	case "parent":
		if all := r.parents(g); len(all) > 0 {
			return all[0]
		}
		return starlark.None
	case "users":
		return r.manager("User", func() []*object { return r.members(g) })
	case "roles":
		return r.manager("Role", func() []*object { return nil }) // there are no roles
	case "is_member":
		return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
			u := asUser(a.one())
			for _, other := range u.all(r) {
				if other.id == string(g.ID) {
					return starlark.True
				}
			}
			return starlark.False
		}}
	}
	return nil
}

func (r *run) parents(g *core.Group) []*object {
	var out []*object
	for _, id := range g.Parents {
		var parent *core.Group
		r.ask("find a parent group", func(d Directory) error {
			p, err := d.Group(r.ctx, r.tenant, id)
			if errors.Is(err, core.ErrNotFound) {
				return nil // it was deleted meanwhile
			}
			parent = p
			return err
		})
		if parent != nil {
			out = append(out, r.newGroup(parent))
		}
	}
	return out
}

func (r *run) members(g *core.Group) []*object {
	var users []core.User
	r.ask("find the members of a group", func(d Directory) (err error) {
		users, err = d.GroupMembers(r.ctx, r.tenant, g.ID, maxRows+1)
		return err
	})
	if len(users) > maxRows {
		fail("a group has more than %d members: ask group.is_member(user) instead", maxRows)
	}
	out := make([]*object, len(users))
	for i := range users {
		r.alloc(weight(users[i].Attributes))
		out[i] = r.newUser(&users[i], nil)
	}
	return out
}
