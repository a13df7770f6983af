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

func roles() resource[core.Role] {
	return resource[core.Role]{
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
	text(f, "model", rule{null: true, blank: true, max: 255}, &a.model)
	text(f, "object_pk", rule{null: true, blank: true, max: 255}, &a.object)
	if a.model != "" || a.object != "" {
		f.fail("object_pk", "Permissions are given on all objects of a kind: leave out model and object_pk.")
	}
}

func assignedShape() shape { return objectShape("PermissionAssignResult", always("id", textShape())) }

// assign gives permissions to a role, and answers with the number of each.
func assign(c *call) (reply, error) {
	a, role, err := changeRole(c, func(a *assignment, r *core.Role) {
		for _, p := range a.permissions {
			if !r.Holds(p) {
				r.Permissions = append(r.Permissions, core.RolePermission{Permission: p})
			}
		}
	})
	if err != nil {
		return reply{}, err
	}
	out := []object{}
	for _, p := range a.permissions {
		for _, held := range role.Permissions {
			if held.Permission == p {
				out = append(out, object{"id": strconv.FormatInt(held.PK, 10)})
			}
		}
	}
	return ok(out)
}

func unassign(c *call) (reply, error) {
	_, _, err := changeRole(c, func(a *assignment, r *core.Role) {
		r.Permissions = slices.DeleteFunc(r.Permissions, func(h core.RolePermission) bool { return slices.Contains(a.permissions, h.Permission) })
	})
	if err != nil {
		return reply{}, err
	}
	return done()
}

func changeRole(c *call, change func(*assignment, *core.Role)) (*assignment, *core.Role, error) {
	a := new(assignment)
	a.read(c.body)
	if err := c.body.err(); err != nil {
		return nil, nil, err
	}
	id, valid := uuid(c.key)
	if !valid {
		return nil, nil, noSuch("Role")
	}
	role, err := c.Store.UpdateRole(c.ctx(), c.t, core.RoleID(id), func(r *core.Role) error { change(a, r); return nil })
	if err != nil {
		return nil, nil, found(err, "Role")
	}
	recordPermissions(c, role, a.permissions)
	return a, role, nil
}

func recordPermissions(c *call, role *core.Role, named []core.Permission) {
	c.event(core.EventModelUpdated, core.Event{
		Message: "Role " + role.Name + ": " + c.r.Method + " of permissions",
		Context: object{
			"model":       object{"app": "authentik_rbac", "model_name": "role", "pk": string(role.ID), "name": role.Name},
			"permissions": named, "held": names(role),
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
	var gone []core.Permission
	role, err := c.Store.UpdateRole(c.ctx(), c.t, found[0].ID, func(r *core.Role) error {
		gone = nil
		r.Permissions = slices.DeleteFunc(r.Permissions, func(h core.RolePermission) bool {
			if h.PK == pk {
				gone = append(gone, h.Permission)
			}
			return h.PK == pk
		})
		return nil
	})
	if errors.Is(err, core.ErrNotFound) {
		return reply{}, noSuch("RoleObjectPermission")
	}
	if err != nil {
		return reply{}, err
	}
	recordPermissions(c, role, gone)
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
// must name as app.model.
func listAssigned(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	app, model, _ := strings.Cut(c.param("model"), ".")
	if !slices.ContainsFunc(kinds(), func(k kind) bool { return k.app == app && k.model == model }) {
		return reply{}, invalid{"model": {"Name a kind of object, such as authentik_core.user."}}
	}
	if c.param("object_pk") != "" {
		return envelope(p, 0, nil) // nothing is given on single objects
	}
	delete(q.Where, "model")
	all, err := every(q, func(q Query) ([]core.Role, int, error) { return c.Store.ListRoles(c.ctx(), c.t, q) })
	if err != nil {
		return reply{}, err
	}
	var rows []any
	for i := range all {
		held := []object{}
		for _, have := range all[i].Permissions {
			if k, ok := known(have.Permission); ok && k.kind.app == app && k.kind.model == model {
				held = append(held, object{"id": have.PK, "codename": k.Codename(), "model": model, "app_label": app, "name": k.name})
			}
		}
		if len(held) > 0 {
			rows = append(rows, object{
				"role_pk": string(all[i].ID), "name": all[i].Name,
				"permissions": []object{}, "object_permissions": []object{}, "model_permissions": held,
			})
		}
	}
	return envelope(p, len(rows), cut(rows, p))
}
