package core

import (
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

// Role is a named set of permissions. Groups have roles; a member of a group, or
// of one below it, has what they permit.
type Role struct {
	ID          RoleID
	Name        string // unique in the tenant
	Permissions []RolePermission
	Created     time.Time
	Updated     time.Time
}

// RolePermission is one permission of a role. PK is the number that the API shows
// for it: set by the store, unique in the tenant, never given twice.
type RolePermission struct {
	PK         int64
	Permission Permission
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

// Rights is what a user may do in the administration: the union of what the roles
// of all their groups permit, direct and inherited. The zero value may nothing.
type Rights struct {
	Superuser   bool // may everything
	Permissions []Permission
}

// Has reports whether p is among the rights.
func (r Rights) Has(p Permission) bool {
	if r.Superuser {
		return true
	}
	for _, held := range r.Permissions {
		if held == p {
			return true
		}
	}
	return false
}
