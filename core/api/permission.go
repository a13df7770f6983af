package api

import (
	"cmp"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
)

// kind is one kind of object that rights are given on, named as in Django.
type kind struct {
	app, model string
	appName    string
	name       string
	verbs      string      // some of "view add change delete"
	more       [][2]string // codename and name of what is permitted beside
}

// all four verbs.
const fully = "view add change delete"

// kinds is everything that rights are given on. What a route needs is one of these.
func kinds() []kind {
	return []kind{
		{app: "authentik_core", model: "user", appName: "authentik Core", name: "User", verbs: fully,
			more: [][2]string{{"reset_user_password", "Reset Password"}}},
		{app: "authentik_core", model: "group", appName: "authentik Core", name: "Group", verbs: fully,
			more: [][2]string{{"add_user_to_group", "Add user to group"}, {"remove_user_from_group", "Remove user from group"}}},
		{app: "authentik_core", model: "token", appName: "authentik Core", name: "Token", verbs: "view change delete",
			more: [][2]string{{"view_token_key", "View token's key"}, {"set_token_key", "Set a token's key"}}},
		{app: "authentik_core", model: "authenticatedsession", appName: "authentik Core", name: "Authenticated Session", verbs: "view delete"},
		{app: "authentik_core", model: "application", appName: "authentik Core", name: "Application", verbs: fully},
		{app: "authentik_core", model: "applicationentitlement", appName: "authentik Core", name: "Application Entitlement", verbs: fully},
		{app: "authentik_core", model: "provider", appName: "authentik Core", name: "Provider", verbs: "view delete"},
		{app: "authentik_core", model: "propertymapping", appName: "authentik Core", name: "Property Mapping", verbs: "view delete"},
		{app: "authentik_providers_oauth2", model: "oauth2provider", appName: "authentik Providers.OAuth2", name: "OAuth2/OpenID Provider", verbs: fully},
		{app: "authentik_providers_oauth2", model: "scopemapping", appName: "authentik Providers.OAuth2", name: "Scope Mapping", verbs: fully},
		{app: "authentik_providers_proxy", model: "proxyprovider", appName: "authentik Providers.Proxy", name: "Proxy Provider", verbs: fully},
		{app: "authentik_providers_saml", model: "samlpropertymapping", appName: "authentik Providers.SAML", name: "SAML Provider Property Mapping", verbs: fully},
		{app: "authentik_providers_scim", model: "scimmapping", appName: "authentik Providers.SCIM", name: "SCIM Provider Mapping", verbs: fully},
		{app: "authentik_brands", model: "brand", appName: "authentik Brands", name: "Brand", verbs: fully},
		{app: "authentik_crypto", model: "certificatekeypair", appName: "authentik Crypto", name: "Certificate-Key Pair", verbs: fully,
			more: [][2]string{{"view_certificatekeypair_certificate", "View Certificate-Key pair's certificate"}, {"view_certificatekeypair_key", "View Certificate-Key pair's private key"}}},
		{app: "authentik_flows", model: "flow", appName: "authentik Flows", name: "Flow", verbs: "view"},
		{app: "authentik_policies", model: "policy", appName: "authentik Policies", name: "Policy", verbs: "view delete"},
		{app: "authentik_policies", model: "policybinding", appName: "authentik Policies", name: "Policy Binding", verbs: fully},
		{app: "authentik_policies_expression", model: "expressionpolicy", appName: "authentik Policies.Expression", name: "Expression Policy", verbs: fully},
		{app: "authentik_events", model: "event", appName: "authentik Events", name: "Event", verbs: "view"},
		{app: "authentik_rbac", model: "role", appName: "authentik RBAC", name: "Role", verbs: fully,
			more: [][2]string{{"assign_role_permissions", "Can assign permissions to roles"}, {"unassign_role_permissions", "Can unassign permissions from roles"}}},
		{app: "authentik_rbac", model: "systempermission", appName: "authentik RBAC", name: "System permission",
			more: [][2]string{{"view_system_info", "Can view system info"}, {"view_system_settings", "Can view system settings"}, {"edit_system_settings", "Can edit system settings"},
				{"view_media_files", "Can view media files"}, {"manage_media_files", "Can manage media files"}}},
	}
}

// right is the permission of one verb on a kind.
func right(verb, app, model string) core.Permission {
	return core.Permission(app + "." + verb + "_" + strings.ToLower(model))
}

// permission is one right, as the API shows it.
type permission struct {
	core.Permission
	kind kind
	name string
}

// id is the number that the API shows: the same on every server.
func (p permission) id() int64 {
	return int64(crc32.ChecksumIEEE([]byte(p.Permission)) &^ (1 << 31))
}

// permissions lists every right, by application, model and codename.
func permissions() []permission {
	var out []permission
	for _, k := range kinds() {
		for verb := range strings.FieldsSeq(k.verbs) {
			out = append(out, permission{right(verb, k.app, k.model), k, "Can " + verb + " " + k.name})
		}
		for _, m := range k.more {
			out = append(out, permission{core.Permission(k.app + "." + m[0]), k, m[1]})
		}
	}
	slices.SortFunc(out, func(a, b permission) int {
		return cmp.Or(cmp.Compare(a.kind.app, b.kind.app), cmp.Compare(a.kind.model, b.kind.model), cmp.Compare(a.Permission, b.Permission))
	})
	return out
}

// known finds a right by its full name.
func known(p core.Permission) (permission, bool) {
	for _, q := range permissions() {
		if q.Permission == p {
			return q, true
		}
	}
	return permission{}, false
}

func (p permission) show() object {
	return object{
		"id": p.id(), "name": p.name, "codename": p.Codename(), "model": p.kind.model, "app_label": p.kind.app,
		"app_label_verbose": p.kind.appName, "model_verbose": p.kind.name,
	}
}

func permissionShape() shape {
	return objectShape("Permission", append([]member{always("id", integerShape())},
		texts("name", "codename", "model", "app_label", "app_label_verbose", "model_verbose")...)...)
}

func permissionListing() listing {
	return listing{
		filters: map[string]filter{"codename": byText, "content_type__model": byText, "content_type__app_label": byText, "role": byUUID},
		order:   []string{"name", "codename"},
	}
}

// listPermissions lists all rights there are, or those of one role.
func listPermissions(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	keep := func(permission) bool { return true }
	if id := c.param("role"); id != "" {
		if err := c.require(right("view", "authentik_rbac", "role")); err != nil {
			return reply{}, err
		}
		role, err := c.Store.Role(c.ctx(), c.t, core.RoleID(id))
		if err != nil {
			return reply{}, found(err, "Role")
		}
		keep = func(p permission) bool { return role.Holds(p.Permission) }
	}
	words := strings.Fields(core.Fold(q.Search))
	all := slices.DeleteFunc(permissions(), func(p permission) bool {
		text := core.Fold(p.name + "\n" + string(p.Permission) + "\n" + p.kind.model)
		for _, w := range words {
			if !strings.Contains(text, w) {
				return true
			}
		}
		for name, have := range map[string]string{"codename": p.Codename(), "content_type__model": p.kind.model, "content_type__app_label": p.kind.app} {
			if want := c.param(name); want != "" && want != have {
				return true
			}
		}
		return !keep(p)
	})
	for _, by := range slices.Backward(q.Order) {
		field, down := strings.CutPrefix(by, "-")
		slices.SortStableFunc(all, func(a, b permission) int {
			if down {
				a, b = b, a
			}
			if field == "name" {
				return cmp.Compare(core.Fold(a.name), core.Fold(b.name))
			}
			return cmp.Compare(a.Codename(), b.Codename())
		})
	}
	var results []any
	for _, right := range cut(all, p) {
		results = append(results, right.show())
	}
	return envelope(p, len(all), results)
}

func retrievePermission(c *call) (reply, error) {
	for _, p := range permissions() {
		if strconv.FormatInt(p.id(), 10) == c.key {
			return ok(p.show())
		}
	}
	return reply{}, noSuch("Permission")
}
