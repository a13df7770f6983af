package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
)

func roles() *resource[core.Role] {
	return &resource[core.Role]{
		model: "Role", app: "authentik_rbac", verbose: "Role", key: "uuid",
		members: []member{always("pk", uuidShape())},
		listing: listing{filters: map[string]filter{"name": byText}, order: []string{"name", "pk"}, preset: []string{"name"}},
		find:    findRole,
		page:    func(c *call, q Query) ([]core.Role, int, error) { return c.Store.ListRoles(c.ctx(), c.t, q) },
		create:  func(c *call, r *core.Role) error { return c.Store.CreateRole(c.ctx(), c.t, r) },
		update: func(c *call, key string, change func(*core.Role) error) (*core.Role, error) {
			id, _ := uuid(key)
			return c.Store.UpdateRole(c.ctx(), c.t, core.RoleID(id), change)
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.Store.DeleteRole(c.ctx(), c.t, core.RoleID(id))
		},
		fresh: func(*call) *core.Role { return &core.Role{} },
		read: func(f *fields, r *core.Role) {
			text(f, "name", rule{required: true, max: 150}, &r.Name)
		},
		show:  func(_ *call, r *core.Role) (any, error) { return showRole(r), nil },
		label: func(r *core.Role) (string, string) { return string(r.ID), r.Name },
	}
}

func findRole(c *call, key string) (*core.Role, error) {
	id, valid := uuid(key)
	if !valid {
		return nil, core.ErrNotFound
	}
	return c.Store.Role(c.ctx(), c.t, core.RoleID(id))
}

func showRole(r *core.Role) object { return object{"pk": string(r.ID), "name": r.Name} }

// assignment is a body that names permissions to give to a role, or to take.
type assignment struct {
	permissions []core.Permission
	model       string
	object      string
}

// maxPermissions bounds how many one body names.
const maxPermissions = 500

func (a *assignment) read(f *fields) {
	if !f.tells("permissions", rule{required: true}, listShape(textShape()).atMost(maxPermissions).known("Such as authentik_core.view_user.")) {
		items, _ := f.items("permissions", rule{required: true})
		if !f.has("permissions") {
			f.fail("permissions", "This field is required.") // by PATCH too
		}
		if len(items) > maxPermissions {
			f.fail("permissions", fmt.Sprintf("Ensure this field has no more than %d elements.", maxPermissions))
			items = nil
		}
		for _, raw := range items {
			var p core.Permission
			if json.Unmarshal(raw, &p) != nil {
				f.fail("permissions", "Not a valid string.")
				continue
			}
			if _, there := known(p); !there {
				f.fail("permissions", fmt.Sprintf("There is no permission %s. Write it as in authentik_core.view_user; rbac/permissions/ lists them.", quoted(raw)))
			} else if !slices.Contains(a.permissions, p) {
				a.permissions = append(a.permissions, p)
			}
		}
	}
	a.readObject(f)
}

func assignedShape() shape { return objectShape("PermissionAssignResult", always("id", textShape())) }

// assign gives permissions to a role, and answers with the number of each.
func assign(c *call) (reply, error) {
	a, role, err := changeRole(c, (*assignment).checkObject, func(a *assignment, r *core.Role) {
		for _, p := range a.permissions {
			switch {
			case a.object != "" && !r.HoldsOn(p, a.object):
				r.Objects = append(r.Objects, core.RolePermission{Permission: p, Object: a.object})
			case a.object == "" && !r.Holds(p):
				r.Permissions = append(r.Permissions, core.RolePermission{Permission: p})
			}
		}
	})
	if err != nil {
		return reply{}, err
	}
	out := []object{}
	for _, p := range a.permissions {
		for _, held := range slices.Concat(role.Permissions, role.Objects) {
			if held.Permission == p && held.Object == a.object {
				out = append(out, object{"id": strconv.FormatInt(held.PK, 10)})
			}
		}
	}
	return ok(out)
}

func unassign(c *call) (reply, error) {
	_, _, err := changeRole(c, nil, func(a *assignment, r *core.Role) {
		gone := func(h core.RolePermission) bool {
			return h.Object == a.object && slices.Contains(a.permissions, h.Permission)
		}
		r.Permissions, r.Objects = slices.DeleteFunc(r.Permissions, gone), slices.DeleteFunc(r.Objects, gone)
	})
	if err != nil {
		return reply{}, err
	}
	return done()
}

// changeRole changes what a role permits, after a check of what the body names, if any.
func changeRole(c *call, check func(*assignment, *call) error, change func(*assignment, *core.Role)) (*assignment, *core.Role, error) {
	a := new(assignment)
	a.read(c.body)
	if err := c.body.err(); err != nil {
		return nil, nil, err
	}
	id, valid := uuid(c.key)
	if !valid {
		return nil, nil, noSuch("Role")
	}
	if check != nil {
		if err := check(a, c); err != nil {
			return nil, nil, err
		}
	}
	role, err := c.Store.UpdateRole(c.ctx(), c.t, core.RoleID(id), func(r *core.Role) error { change(a, r); return nil })
	if err != nil {
		return nil, nil, found(err, "Role")
	}
	recordPermissions(c, role, a.permissions, a.object)
	return a, role, nil
}

func recordPermissions(c *call, role *core.Role, named []core.Permission, on string) {
	c.event(core.EventModelUpdated, core.Event{
		Message: "Role " + role.Name + ": " + c.r.Method + " of permissions",
		Context: object{
			"model":       object{"app": "authentik_rbac", "model_name": "role", "pk": string(role.ID), "name": role.Name},
			"permissions": named, "object_pk": on, "held": names(role),
		},
	})
}

func names(r *core.Role) []core.Permission {
	out := make([]core.Permission, len(r.Permissions))
	for i, p := range r.Permissions {
		out[i] = p.Permission
	}
	return out
}

// removeAssigned takes the permission from a role that assign gave this number.
func removeAssigned(c *call) (reply, error) {
	pk, err := strconv.ParseInt(c.key, 10, 64)
	if err != nil {
		return reply{}, noSuch("RoleObjectPermission")
	}
	found, _, err := c.Store.ListRoles(c.ctx(), c.t, Query{Where: map[string][]string{"permission_pk": {strconv.FormatInt(pk, 10)}}, Limit: 1})
	if err != nil {
		return reply{}, err
	}
	if len(found) == 0 {
		return reply{}, noSuch("RoleObjectPermission")
	}
	var gone []core.RolePermission
	role, err := c.Store.UpdateRole(c.ctx(), c.t, found[0].ID, func(r *core.Role) error {
		gone = nil
		numbered := func(h core.RolePermission) bool {
			if h.PK == pk {
				gone = append(gone, h)
			}
			return h.PK == pk
		}
		r.Permissions, r.Objects = slices.DeleteFunc(r.Permissions, numbered), slices.DeleteFunc(r.Objects, numbered)
		return nil
	})
	if errors.Is(err, core.ErrNotFound) {
		return reply{}, noSuch("RoleObjectPermission")
	}
	if err != nil {
		return reply{}, err
	}
	for _, h := range gone {
		recordPermissions(c, role, []core.Permission{h.Permission}, h.Object)
	}
	return done()
}

func assignedListing() listing {
	return listing{filters: map[string]filter{"model": byText, "object_pk": byText}, order: []string{"name"}, preset: []string{"name"}}
}

func roleAssignedShape() shape {
	model := objectShape("RoleModelPermission", append([]member{always("id", integerShape())}, texts("codename", "model", "app_label", "name")...)...)
	object := objectShape("RoleObjectPermission", append(slices.Clone(model.members), always("object_pk", textShape()))...)
	return objectShape("RoleAssignedObjectPermission", always("role_pk", textShape()), always("name", textShape()),
		always("permissions", listShape(object)), always("object_permissions", listShape(object)), always("model_permissions", listShape(model)))
}

// listAssigned lists the roles that have a right on a kind of object, which the query
// must name as app.model, or on one object of it.
func listAssigned(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	app, model, _ := strings.Cut(c.param("model"), ".")
	if !slices.ContainsFunc(kinds(), func(k kind) bool { return k.app == app && k.model == model }) {
		return reply{}, invalid{"model": {"Name a kind of object, such as authentik_core.user."}}
	}
	single := c.param("object_pk")
	delete(q.Where, "model")
	delete(q.Where, "object_pk")
	all, err := every(q, func(q Query) ([]core.Role, int, error) { return c.Store.ListRoles(c.ctx(), c.t, q) })
	if err != nil {
		return reply{}, err
	}
	var rows []any
	for i := range all {
		onAll := assigned(all[i].Permissions, app, model, "")
		onOne := assigned(all[i].Objects, app, model, single)
		if len(onOne) > 0 || single == "" && len(onAll) > 0 {
			rows = append(rows, object{
				"role_pk": string(all[i].ID), "name": all[i].Name,
				"permissions": onOne, "object_permissions": onOne, "model_permissions": onAll,
			})
		}
	}
	return envelope(p, len(rows), cut(rows, p))
}

// assigned are the permissions on a kind of object, or on one of them.
func assigned(held []core.RolePermission, app, model, only string) []object {
	out := []object{}
	for _, have := range held {
		k, ok := known(have.Permission)
		if !ok || k.kind.app != app || k.kind.model != model || only != "" && have.Object != only {
			continue
		}
		row := object{"id": have.PK, "codename": k.Codename(), "model": model, "app_label": app, "name": k.name}
		if have.Object != "" {
			row["object_pk"] = have.Object
		}
		out = append(out, row)
	}
	return out
}
