package api

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/postern-sso/postern/core"
)

// groupRow is a group, and its direct members where a body names them.
type groupRow struct {
	core.Group
	members []int64 // nil: not named
}

func groups() *resource[groupRow] {
	return &resource[groupRow]{
		model: "Group", app: "authentik_core", verbose: "Group", key: "group_uuid",
		members: append(partialGroupShape().members,
			always("users_obj", listShape(partialUserShape()).orNull()),
			always("parents_obj", listShape(relatedGroupShape()).orNull()), always("parent_name", textShape().orNull()),
			always("children", listShape(uuidShape())), always("children_obj", listShape(relatedGroupShape()).orNull()),
			always("roles_obj", listShape(roleShape())), always("inherited_roles_obj", listShape(roleShape()).orNull()),
		),
		params: []parameter{
			flag("include_users", true, "Show the direct members."), flag("include_parents", false, "Show the parents."),
			flag("include_children", false, "Show the children."), flag("include_inherited_roles", false, "Show the roles of the parents."),
		},
		listing: listing{
			filters: map[string]filter{
				"name": byText, "is_superuser": byBool, "members_by_pk": byInts, "members_by_username": byTexts, "attributes": byText,
			},
			order:  []string{"name", "is_superuser", "num_pk", "pk"},
			preset: []string{"name"},
		},
		find: func(c *call, key string) (*groupRow, error) {
			id, valid := uuid(key)
			if !valid {
				return nil, core.ErrNotFound
			}
			g, err := c.Store.Group(c.ctx(), c.t, core.GroupID(id))
			if err != nil {
				return nil, err
			}
			return &groupRow{Group: *g}, nil
		},
		page: func(c *call, q Query) ([]groupRow, int, error) {
			groups, count, err := c.Store.ListGroups(c.ctx(), c.t, q)
			rows := make([]groupRow, len(groups))
			for i := range groups {
				rows[i].Group = groups[i]
			}
			return rows, count, err
		},
		create: func(c *call, g *groupRow) error { return c.Store.CreateGroup(c.ctx(), c.t, &g.Group, g.members) },
		update: func(c *call, key string, change func(*groupRow) error) (*groupRow, error) {
			id, _ := uuid(key)
			g, err := c.Store.UpdateGroup(c.ctx(), c.t, core.GroupID(id), func(g *core.Group) ([]int64, error) {
				row := &groupRow{Group: *g}
				err := change(row)
				*g = row.Group
				return row.members, err
			})
			if err != nil {
				return nil, err
			}
			return &groupRow{Group: *g}, nil
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.Store.DeleteGroup(c.ctx(), c.t, core.GroupID(id))
		},
		fresh: func(*call) *groupRow { return &groupRow{Group: core.Group{Attributes: object{}}} },
		read: func(f *fields, g *groupRow) {
			text(f, "name", rule{required: true, max: 1000}, &g.Name)
			boolean(f, "is_superuser", &g.Superuser)
			integers(f, "users", &g.members)
			dict(f, "attributes", &g.Attributes)
			references(f, "parents", &g.Parents)
			var parent core.GroupID
			reference(f, "parent", rule{null: true, about: "The only parent. Has no effect beside parents."}, &parent)
			if f.has("parent") && !f.has("parents") { // before 2026 there was one
				if g.Parents = []core.GroupID{parent}; parent == "" {
					g.Parents = []core.GroupID{}
				}
			}
			references(f, "roles", &g.Roles)
		},
		check:  checkGroup,
		gather: gatherInGroups,
		show:   showGroup,
		label:  func(g *groupRow) (string, string) { return string(g.ID), g.Name },
	}
}

func checkGroup(c *call, f *fields, g, old *groupRow) error {
	for _, id := range g.Parents {
		field := "parents"
		if !f.has(field) {
			field = "parent"
		}
		if old != nil && id == old.ID {
			f.fail(field, "A group cannot be its own parent.")
			continue
		}
		if _, err := c.group(id); errors.Is(err, core.ErrNotFound) && f.has(field) {
			f.fail(field, noPK(string(id)))
		} else if err != nil && !errors.Is(err, core.ErrNotFound) {
			return err
		}
	}
	for _, id := range g.Roles {
		if !f.has("roles") {
			break
		}
		if _, err := c.role(id); errors.Is(err, core.ErrNotFound) {
			f.fail("roles", noPK(string(id)))
		} else if err != nil {
			return err
		}
	}
	if err := mayRegroup(c, f, g, old); err != nil {
		return err
	}
	for _, pk := range g.members {
		if _, err := c.Store.UserByPK(c.ctx(), c.t, pk); errors.Is(err, core.ErrNotFound) {
			f.fail("users", noPK(strconv.FormatInt(pk, 10)))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// mayRegroup refuses to change who is in a group, or in those above it, without the
// right to put users into groups and to take them out.
func mayRegroup(c *call, f *fields, g, old *groupRow) error {
	var parents []core.GroupID
	if old != nil {
		parents = old.Parents
	}
	if err := c.mayMove(parents, g.Parents); err != nil {
		return err
	}
	if g.members == nil || c.super || len(f.errs) > 0 {
		return nil
	}
	var had []int64
	if old != nil {
		members, err := membersOf(c, old.ID)
		if err != nil {
			return err
		}
		had = pks(members)
	}
	if slices.ContainsFunc(g.members, func(pk int64) bool { return !slices.Contains(had, pk) }) {
		if err := c.require("authentik_core.add_user_to_group"); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(had, func(pk int64) bool { return !slices.Contains(g.members, pk) }) {
		return c.require("authentik_core.remove_user_from_group")
	}
	return nil
}

// membersOf are the direct members, by PK.
func membersOf(c *call, id core.GroupID) ([]core.User, error) {
	return every(Query{Where: map[string][]string{"groups_by_pk": {string(id)}}, Order: []string{"pk"}},
		func(q Query) ([]core.User, int, error) { return c.Store.ListUsers(c.ctx(), c.t, q) })
}

// showRoles shows those that may be seen.
func showRoles(c *call, ids []core.RoleID) ([]object, error) {
	out := []object{}
	if !c.may("authentik_rbac.view_role") {
		return out, nil
	}
	for _, id := range ids {
		r, err := c.role(id)
		if errors.Is(err, core.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, showRole(r))
	}
	return out, nil
}

// inheritedRoles are the roles of all groups above.
func inheritedRoles(c *call, parents []core.GroupID) ([]core.RoleID, error) {
	var out []core.RoleID
	queue, met := slices.Clone(parents), map[core.GroupID]bool{}
	for len(queue) > 0 {
		id := queue[0]
		if queue = queue[1:]; met[id] {
			continue
		}
		met[id] = true
		g, err := c.group(id)
		if errors.Is(err, core.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		for _, r := range g.Roles {
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
		queue = append(queue, g.Parents...)
	}
	return out, nil
}

// briefGroup is a group as something belongs to it.
func briefGroup(g *core.Group) object {
	return object{
		"pk": string(g.ID), "group_uuid": string(g.ID), "num_pk": g.PK, "name": g.Name, "is_superuser": g.Superuser,
		"attributes": attributes(g.Attributes),
	}
}

func partialGroupShape() shape {
	return objectShape("PartialGroup", always("pk", uuidShape()), always("group_uuid", uuidShape()), always("num_pk", integerShape()),
		always("name", textShape()), always("is_superuser", booleanShape()), always("attributes", dictShape()))
}

func relatedGroupShape() shape {
	s := partialGroupShape()
	s.name = "RelatedGroup"
	return s
}

func showGroup(c *call, g *groupRow) (any, error) {
	members, children := c.looked.members[g.ID], c.looked.children[g.ID]
	out := briefGroup(&g.Group)
	own := object{
		"users": pks(members), "users_obj": nil, "parents": list(g.Parents), "parents_obj": nil,
		"parent": nil, "parent_name": nil, "children": childIDs(children), "children_obj": nil,
		"roles": list(g.Roles), "inherited_roles_obj": nil,
	}
	maps.Copy(out, own)
	var err error
	if out["roles_obj"], err = showRoles(c, g.Roles); err != nil {
		return nil, err
	}
	if c.wants("include_users", true) && c.may("authentik_core.view_user") {
		people := make([]object, 0, len(members))
		for i := range members {
			people = append(people, briefUser(c, &members[i]))
		}
		out["users_obj"] = people
	}
	if c.wants("include_children", false) {
		below := make([]object, 0, len(children))
		for i := range children {
			below = append(below, briefGroup(&children[i]))
		}
		out["children_obj"] = below
	}
	if c.wants("include_inherited_roles", false) {
		inherited, err := inheritedRoles(c, g.Parents)
		if err != nil {
			return nil, err
		}
		if out["inherited_roles_obj"], err = showRoles(c, inherited); err != nil {
			return nil, err
		}
	}
	above := make([]object, 0, len(g.Parents))
	for i, id := range g.Parents {
		p, err := c.group(id)
		if errors.Is(err, core.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		above = append(above, briefGroup(p))
		if i == 0 {
			out["parent"], out["parent_name"] = string(p.ID), p.Name
		}
	}
	if c.wants("include_parents", false) {
		out["parents_obj"] = above
	}
	return out, nil
}

func pks(users []core.User) []int64 {
	out := make([]int64, len(users))
	for i := range users {
		out[i] = users[i].PK
	}
	return out
}

func childIDs(groups []core.Group) []core.GroupID {
	out := make([]core.GroupID, len(groups))
	for i := range groups {
		out[i] = groups[i].ID
	}
	return out
}

func addMember(c *call) (reply, error) { return changeMember(c, c.Store.AddMember, "added to") }
func removeMember(c *call) (reply, error) {
	return changeMember(c, c.Store.RemoveMember, "removed from")
}

// changeMember puts a user into a group, or takes one out.
func changeMember(c *call, change memberChange, what string) (reply, error) {
	id, valid := uuid(c.key)
	if !valid {
		return reply{}, noSuch("Group")
	}
	g, err := c.Store.Group(c.ctx(), c.t, core.GroupID(id))
	if err != nil {
		return reply{}, found(err, "Group")
	}
	pk := int64(0)
	readMember(&pk)(c.body)
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	u, err := c.Store.UserByPK(c.ctx(), c.t, pk)
	if err == nil && !c.may("authentik_core.view_user") && u.ID != c.user.ID {
		err = core.ErrNotFound // who cannot be seen is not there
	}
	if err != nil {
		return reply{}, found(err, "User")
	}
	if err := change(c.ctx(), c.t, g.ID, pk); err != nil {
		return reply{}, found(err, "User")
	}
	c.event(core.EventModelUpdated, core.Event{
		Message: "Group " + g.Name + ": " + u.UserName + " " + what + " it",
		Context: object{"model": object{"app": "authentik_core", "model_name": "group", "pk": string(g.ID), "name": g.Name}, "user": u.PK},
	})
	return done()
}

// readMember reads whom to put in or take out.
func readMember(pk *int64) func(*fields) {
	return func(f *fields) { integer(f, "pk", rule{required: true, about: "The user's number."}, pk) }
}

type memberChange func(ctx context.Context, t core.TenantID, id core.GroupID, user int64) error
