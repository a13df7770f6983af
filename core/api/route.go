package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// access says who may use a route: one of the five below, or those who have the
// permission of that name. Superusers have every permission. Its zero value is no
// answer, and refused when the table is built.
type access string

const (
	// public: everybody, logged in or not.
	public access = "public"
	// loggedIn: every active user. The handler then shows only what is theirs.
	loggedIn access = "loggedIn"
	// superusers: members of a group that makes them so.
	superusers access = "superusers"
	// tenantsKey: who has the key of the tenants API, and nobody else.
	tenantsKey access = "tenantsKey"
	// byRight: who has the right on the kind of a resource that the verb needs. Only
	// what makes a resource's routes takes it.
	byRight access = "byRight"
)

// permitted are those who have a permission.
func permitted(verb, app, model string) access { return access(right(verb, app, model)) }

// known reports whether it is an answer.
func (a access) known() bool {
	if a == public || a == loggedIn || a == superusers || a == tenantsKey {
		return true
	}
	_, ok := known(core.Permission(a))
	return ok
}

// route is one line of the table. It is written without field names, so that a
// line without an access or a description does not compile.
type route struct {
	method  string
	pattern string // below Prefix, ends in a slash; "{name}" stands for one segment
	access  access
	serve   handler
	operation
}

// routes is the whole API: method, path, who, what answers, and what it is.
func (h *Handler) routes() []route {
	const (
		get    = http.MethodGet
		post   = http.MethodPost
		remove = http.MethodDelete
	)
	all := []route{
		{get, "", public, h.index, about("List the operations").by(indexParameters()...).gives(indexShape()).sends(htmlType)},
		{get, "schema/", public, showSchema, about("This description of the API, as an OpenAPI document").
			by(parameter{name: "format", kind: byText, choices: []string{"json", "yaml"}, text: "The form, if the Accept header is not to decide."}).sends(openAPIYAML, openAPIJSON)},
		{get, "root/config/", public, rootConfig, about("Settings that clients read first").gives(configShape())},
		{get, "admin/version/", "authentik_rbac.view_system_info", version, about("The version of the server").gives(versionShape())},

		{get, "flows/instances/", "authentik_flows.view_flow", listFlows, about("List flows").lists(flowShape(), flowListing()).ofObjects()},
		{get, "flows/instances/{slug}/", "authentik_flows.view_flow", retrieveFlow, about("Show a flow").gives(flowShape()).ofObjects()},

		{get, "core/applications/", loggedIn, listApplications, applications().listed().by(applicationParameters()...)},
		{get, "core/applications/{slug}/", loggedIn, retrieveApplication, applications().shown()},
		{get, "core/applications/{slug}/check_access/", loggedIn, checkAccess, about("Check whether a user may open an application, and why").by(forUser()).gives(policyTestShape())},
		{post, "core/applications/{slug}/set_icon_url/", "authentik_core.change_application", setIconURL, about("Set an application's icon").takes("FilePathRequest", readIconURL(new(string))).gives(dictShape()).ofObjects()},

		{get, "providers/all/", "authentik_core.view_provider", listProviders, about("List providers of every kind").lists(providerShape(), providerListing())},
		{get, "providers/all/{id}/", "authentik_core.view_provider", retrieveProvider, about("Show a provider of any kind").gives(providerShape())},
		{remove, "providers/all/{id}/", "authentik_core.delete_provider", deleteProvider, about("Delete a provider of any kind")},
		{get, "providers/oauth2/{id}/setup_urls/", "authentik_providers_oauth2.view_oauth2provider", setupURLs, about("URLs to configure a client with").gives(setupURLsShape())},
		{get, "providers/oauth2/{id}/preview_user/", "authentik_providers_oauth2.view_oauth2provider", previewUser, about("Preview what a client learns of a user").by(forUser(), parameter{name: "scope", kind: byText, text: "The scopes that the client requests, with spaces between. All that it may have, where it is left out."}).gives(previewShape())},

		{get, "crypto/certificatekeypairs/{kp_uuid}/view_certificate/", "authentik_crypto.view_certificatekeypair_certificate", viewCertificate, about("Show a certificate").gives(pemShape()).downloads(pemType)},
		{get, "crypto/certificatekeypairs/{kp_uuid}/view_private_key/", "authentik_crypto.view_certificatekeypair_key", viewPrivateKey, about("Show a private key").gives(pemShape()).downloads(pemType)},
		{post, "crypto/certificatekeypairs/generate/", "authentik_crypto.add_certificatekeypair", generateKeyPair, about("Generate a key pair with a certificate that it signs itself").takes("CertificateGenerationRequest", (&generation{}).read).gives(keyPairs().shape())},

		{get, "core/users/me/", loggedIn, me, about("Show the user who asks").gives(sessionUserShape())},
		{post, "core/users/service_account/", "authentik_core.add_user", createServiceAccount, about("Create an account for a machine").takes("UserServiceAccountRequest", newServiceAccount().read).gives(serviceAccountShape())},
		{post, "core/users/{id}/set_password/", "authentik_core.reset_user_password", setPassword, about("Set a user's password").takes("UserPasswordSetRequest", readPassword(new(core.Secret)))},
		{post, "core/users/{id}/recovery/", "authentik_core.reset_user_password", recovery, about("Make a link with which a user sets a new password").takes("UserRecoveryLinkRequest", readRecovery(new(core.Timedelta))).gives(linkShape())},

		{post, "core/groups/{group_uuid}/add_user/", "authentik_core.add_user_to_group", addMember, about("Put a user into a group").takes("UserAccountRequest", readMember(new(int64)))},
		{post, "core/groups/{group_uuid}/remove_user/", "authentik_core.remove_user_from_group", removeMember, about("Take a user out of a group").takes("UserAccountRequest", readMember(new(int64)))},

		{get, "core/tokens/{identifier}/view_key/", loggedIn, viewTokenKey, about("Show a token's key").gives(tokenViewShape())},
		{post, "core/tokens/{identifier}/set_key/", loggedIn, setTokenKey, about("Set a token's key").takes("TokenSetKeyRequest", readKey(new(core.Secret)))},
	}
	all = append(all, h.rightRoutes()...)
	all = append(all, tenantRoutes()...)
	all = append(all, fileRoutes()...)
	all = append(all, users().routes("core/users/", byRight)...)
	all = append(all, groups().routes("core/groups/", byRight)...)
	all = append(all, tokens().routes("core/tokens/", loggedIn)...)
	all = append(all, applications().writeRoutes("core/applications/", byRight)...)
	all = append(all, clients().routes("providers/oauth2/", byRight)...)
	all = append(all, proxyProviders().routes("providers/proxy/", byRight)...)
	all = append(all, scopeMappings().routes("propertymappings/provider/scope/", byRight)...)
	all = append(all, samlMappings().routes("propertymappings/provider/saml/", byRight)...)
	all = append(all, scimMappings().routes("propertymappings/provider/scim/", byRight)...)
	all = append(all, brands().routes("core/brands/", byRight)...)
	all = append(all, route{get, "core/brands/current/", public, currentBrand, about("Show the brand of this host").gives(currentBrandShape())})
	all = append(all, settingsRoutes()...)
	all = append(all, sessionRoutes()...)
	all = append(all, policyRoutes()...)
	all = append(all, eventRoutes()...)
	all = append(all, mappingRoutes()...)
	all = append(all, bindings().routes("policies/bindings/", byRight)...)
	all = append(all, entitlements().routes("core/application_entitlements/", byRight)...)
	return append(all, keyPairs().routes("crypto/certificatekeypairs/", byRight)...)
}

// rightRoutes are those of roles and permissions.
func (h *Handler) rightRoutes() []route {
	return append(roles().routes("rbac/roles/", byRight), []route{
		{http.MethodGet, "rbac/permissions/", loggedIn, listPermissions, about("List permissions").lists(permissionShape(), permissionListing())},
		{http.MethodGet, "rbac/permissions/{id}/", loggedIn, retrievePermission, about("Show a permission").gives(permissionShape())},
		{http.MethodGet, "rbac/permissions/assigned_by_roles/", "authentik_rbac.view_role", listAssigned, about("List the roles that have rights on a kind of object").lists(roleAssignedShape(), assignedListing())},
		{http.MethodPost, "rbac/permissions/assigned_by_roles/{uuid}/assign/", "authentik_rbac.assign_role_permissions", assign, about("Give permissions to a role").takes("PermissionAssignRequest", new(assignment).read).gives(listShape(assignedShape()))},
		{http.MethodPatch, "rbac/permissions/assigned_by_roles/{uuid}/unassign/", "authentik_rbac.unassign_role_permissions", unassign, about("Take permissions from a role").takes("PatchedPermissionAssignRequest", new(assignment).read)},
		{http.MethodDelete, "rbac/permissions/roles/{id}/", "authentik_rbac.unassign_role_permissions", removeAssigned, about("Take a permission from a role, by the number that giving it had")},
	}...)
}

// methodSet is what one path answers to.
type methodSet map[string]route

// allow is the Allow header (RFC 9110 §10.2.1).
func (m methodSet) allow() string {
	names := []string{http.MethodOptions}
	for name := range m {
		names = append(names, name)
		if name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

type table map[string]methodSet

// newTable panics on a route that says too little, or that is listed twice: the
// table is part of the program.
func newTable(routes []route) table {
	t := table{}
	for _, r := range routes {
		r.check()
		path := r.path()
		if t[path] == nil {
			t[path] = methodSet{}
		}
		if _, twice := t[path][r.method]; twice {
			panic(fmt.Sprintf("api: %s %s is there twice", r.method, r.pattern))
		}
		t[path][r.method] = r
	}
	return t
}

// find returns what a request path answers to, nil for nothing, and the segment
// that stands where the pattern has "{}". A path is answered without its last
// slash too. A word of the API goes before an object of that name.
func (t table) find(path string) (methodSet, string) {
	rest, ok := strings.CutPrefix(path+"/", Prefix)
	if !ok || strings.Contains(rest, "{}") {
		return nil, ""
	}
	if strings.HasSuffix(path, "/") {
		rest = strings.TrimSuffix(rest, "/")
	}
	if m, ok := t[rest]; ok {
		return m, ""
	}
	segments := strings.Split(rest, "/")
	for i, key := range segments[:len(segments)-1] {
		if key == "" || len(key) > 255 {
			continue
		}
		segments[i] = "{}"
		if m, ok := t[strings.Join(segments, "/")]; ok {
			return m, key
		}
		segments[i] = key
	}
	return nil, ""
}

// quoteMethod keeps a method that somebody made up short and printable.
func quoteMethod(method string) string { return fmt.Sprintf("%.40q", method) }
