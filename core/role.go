package core

import (
	"slices"
	"strings"
	"time"
)

// RoleID is a UUIDv7 in text form.
type RoleID string

// Permission is a right on all objects of one kind, as authentik writes it: the
// application label, a dot and the codename, such as "authentik_core.change_user".
type Permission string

// Codename is what follows the dot.
func (p Permission) Codename() string {
	_, codename, _ := strings.Cut(string(p), ".")
	return codename
}

// App is the application label, which stands before the dot.
func (p Permission) App() string {
	app, _, _ := strings.Cut(string(p), ".")
	return app
}

// Role is a named set of permissions. Groups and users have roles; a member of a group, or
// of one below it, has what they permit.
type Role struct {
	ID          RoleID
	Name        string // unique in the tenant
	Permissions []RolePermission
	Objects     []RolePermission // on single objects
	Created     time.Time
	Updated     time.Time
}

// RolePermission is one permission of a role. PK is the number that the API shows
// for it: set by the store, unique in the tenant, never given twice.
type RolePermission struct {
	PK         int64
	Permission Permission
	Object     string // the key by which the API names the one object; "": all of its kind
}

// Holds reports whether the role has the permission.
func (r *Role) Holds(p Permission) bool {
	for _, held := range r.Permissions {
		if held.Permission == p {
			return true
		}
	}
	return false
}

// HoldsOn reports whether the role has the permission on the one object, by itself.
func (r *Role) HoldsOn(p Permission, object string) bool {
	return slices.ContainsFunc(r.Objects, func(h RolePermission) bool { return h.Permission == p && h.Object == object })
}

// ObjectRight is a permission on one object, which is named as the API does.
type ObjectRight struct {
	Permission Permission
	Object     string
}

// Rights is what a user may do in the administration: the union of what their own roles and
// those of all their groups permit, direct and inherited. The zero value may nothing.
type Rights struct {
	Superuser   bool // may everything
	Permissions []Permission
	Objects     []ObjectRight // beside those on all objects of a kind
}

// Has reports whether p is among the rights, on every object.
func (r Rights) Has(p Permission) bool {
	return r.Superuser || slices.Contains(r.Permissions, p)
}

// HasOn reports whether p is among the rights on one object.
func (r Rights) HasOn(p Permission, object string) bool {
	return r.Has(p) || object != "" && slices.Contains(r.Objects, ObjectRight{p, object})
}

// On lists the objects on which p is given singly.
func (r Rights) On(p Permission) []string {
	var out []string
	for _, o := range r.Objects {
		if o.Permission == p {
			out = append(out, o.Object)
		}
	}
	return out
}

// Within reports whether none of the rights is beyond those of most.
func (r Rights) Within(most Rights) bool {
	if r.Superuser && !most.Superuser {
		return false
	}
	for _, p := range r.Permissions {
		if !most.Has(p) {
			return false
		}
	}
	for _, o := range r.Objects {
		if !most.HasOn(o.Permission, o.Object) {
			return false
		}
	}
	return true
}
