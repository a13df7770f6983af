package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// What is not for superusers alone, by hand: a route that joins one of these two
// lists is a decision.
const openToAll = "GET |GET schema/|GET root/config/|GET core/brands/current/"

const openToUsers = "GET core/applications/|GET core/applications/{}/|GET core/applications/{}/check_access/|GET core/users/me/|GET rbac/permissions/|GET rbac/permissions/{}/" +
	"|GET core/tokens/|POST core/tokens/|GET core/tokens/{}/|PUT core/tokens/{}/|PATCH core/tokens/{}/|DELETE core/tokens/{}/" +
	"|GET core/tokens/{}/view_key/|POST core/tokens/{}/set_key/" +
	"|GET core/authenticated_sessions/|GET core/authenticated_sessions/{}/|DELETE core/authenticated_sessions/{}/|DELETE core/authenticated_sessions/bulk_delete/"

// byHand are the routes that need another right than the one of their method on
// the kind that their path names.
var byHand = map[string]string{
	"POST policies/all/{}/test/":                            "authentik_policies_expression.change_expressionpolicy",
	"POST propertymappings/all/{}/test/":                    "authentik_core.view_propertymapping",
	"GET admin/version/":                                    "authentik_rbac.view_system_info",
	"GET admin/settings/":                                   "authentik_rbac.view_system_settings",
	"PUT admin/settings/":                                   "authentik_rbac.edit_system_settings",
	"PATCH admin/settings/":                                 "authentik_rbac.edit_system_settings",
	"POST core/applications/{}/set_icon_url/":               "authentik_core.change_application",
	"POST core/applications/{}/set_icon/":                   "authentik_core.change_application",
	"GET admin/file/":                                       "authentik_rbac.view_media_files",
	"POST admin/file/":                                      "authentik_rbac.manage_media_files",
	"DELETE admin/file/":                                    "authentik_rbac.manage_media_files",
	"POST crypto/certificatekeypairs/generate/":             "authentik_crypto.add_certificatekeypair",
	"GET crypto/certificatekeypairs/{}/view_certificate/":   "authentik_crypto.view_certificatekeypair_certificate",
	"GET crypto/certificatekeypairs/{}/view_private_key/":   "authentik_crypto.view_certificatekeypair_key",
	"POST core/users/{}/set_password/":                      "authentik_core.reset_user_password",
	"POST core/users/{}/recovery/":                          "authentik_core.reset_user_password",
	"POST core/groups/{}/add_user/":                         "authentik_core.add_user_to_group",
	"POST core/groups/{}/remove_user/":                      "authentik_core.remove_user_from_group",
	"POST rbac/permissions/assigned_by_roles/{}/assign/":    "authentik_rbac.assign_role_permissions",
	"PATCH rbac/permissions/assigned_by_roles/{}/unassign/": "authentik_rbac.unassign_role_permissions",
	"DELETE rbac/permissions/roles/{}/":                     "authentik_rbac.unassign_role_permissions",
}

// kindOfPath is what rights under a path are about.
var kindOfPath = map[string]string{
	"core/users/": "authentik_core user", "core/groups/": "authentik_core group", "core/applications/": "authentik_core application",
	"providers/all/": "authentik_core provider", "providers/oauth2/": "authentik_providers_oauth2 oauth2provider",
	"providers/proxy/": "authentik_providers_proxy proxyprovider", "propertymappings/provider/scope/": "authentik_providers_oauth2 scopemapping",
	"propertymappings/provider/saml/": "authentik_providers_saml samlpropertymapping", "propertymappings/provider/scim/": "authentik_providers_scim scimmapping",
	"core/brands/": "authentik_brands brand", "crypto/certificatekeypairs/": "authentik_crypto certificatekeypair", "flows/instances/": "authentik_flows flow",
	"propertymappings/all/": "authentik_core propertymapping", "events/events/": "authentik_events event", "policies/all/": "authentik_policies policy", "policies/expression/": "authentik_policies_expression expressionpolicy",
	"policies/bindings/": "authentik_policies policybinding", "core/application_entitlements/": "authentik_core applicationentitlement",
	"rbac/roles/": "authentik_rbac role", "rbac/permissions/assigned_by_roles/": "authentik_rbac role",
}

// accessOf is who may use an operation, by hand.
func accessOf(op api.Operation) string {
	name := op.Method + " " + op.Pattern
	switch {
	case slices.Contains(strings.Split(openToAll, "|"), name):
		return "public"
	case slices.Contains(strings.Split(openToUsers, "|"), name):
		return "loggedIn"
	case strings.HasPrefix(op.Pattern, "tenants/"):
		return "tenantsKey"
	case byHand[name] != "":
		return byHand[name]
	}
	verb := map[string]string{"GET": "view", "POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}[op.Method]
	for prefix, kind := range kindOfPath {
		if app, model, _ := strings.Cut(kind, " "); strings.HasPrefix(op.Pattern, prefix) {
			return app + "." + verb + "_" + model
		}
	}
	return "superusers"
}

// walk asks for every operation as nobody, as an ordinary user, as one who has every
// right but that of the operation, as one who has only that, and as a superuser, and
// tells where the answer is not what it should be.
func walk(e *env) []string {
	var out []string
	all := api.Permissions()
	role := e.role("walker")
	_, walker := e.person("walker", e.groupWith("walkers", role))
	for _, op := range e.api.Operations() {
		name, access := op.Method+" "+op.Pattern, accessOf(op)
		if op.Access != access {
			out = append(out, fmt.Sprintf("%s: the table says %s, the list %s", name, op.Access, access))
		}
		// An object that nobody has: what is left is the route's own answer.
		path := strings.ReplaceAll(op.Pattern, "{}", "2147483647")
		var body any
		if op.Method != http.MethodGet && op.Method != http.MethodDelete {
			body = map[string]any{}
		}
		const refused = `{"detail":"You do not have permission to perform this action."}`
		ask := func(who, token, want string) {
			a := e.send(token, op.Method, path, body)
			if want != "" && (a.status != 403 || string(a.body) != want) || want == "" && (a.status == 403 || a.status >= 500) {
				out = append(out, fmt.Sprintf("%s as %s: %d %.300s", name, who, a.status, a.body))
			}
		}
		unless := func(open bool, want string) string {
			if open {
				return ""
			}
			return want
		}
		if access == "tenantsKey" {
			e.forgiveWrongKeys()
			for who, token := range map[string]string{"nobody": "", "a user": e.plain, "a superuser": e.root} {
				if a := e.send(token, op.Method, path, body); a.status != http.StatusForbidden {
					out = append(out, fmt.Sprintf("%s as %s: %d %.300s", name, who, a.status, a.body))
				}
			}
			ask("who has the key", tenantsKey, "")
			continue
		}
		ask("nobody", "", unless(access == "public", `{"detail":"Authentication credentials were not provided."}`))
		ask("a user", e.plain, unless(access == "public" || access == "loggedIn", refused))
		ask("a superuser", e.root, "")
		if !strings.Contains(access, ".") {
			continue
		}
		e.permit(role, slices.DeleteFunc(slices.Clone(all), func(p core.Permission) bool { return string(p) == access })...)
		ask("one with every right but this", walker, refused)
		e.permit(role, core.Permission(access))
		ask("one with this right alone", walker, "")
	}
	return out
}

// every operation is asked for with no login, as a user, with delegated
// rights, and as a superuser; only what is listed by hand is open, and each verb
// needs its own right.
func TestAccessWalk(t *testing.T) {
	e := open(t)
	for _, m := range walk(e) {
		t.Error(m)
	}
	if n := len(e.api.Operations()); n < 70 {
		t.Errorf("the table has %d operations only", n)
	}
	// Control: a route that is open by mistake is found, and one with the right of
	// another verb.
	for _, wrong := range []string{"public", "authentik_core.view_group"} {
		weak := open(t)
		weak.api.Weaken("GET", "core/users/", wrong)
		if walk(weak) == nil {
			t.Errorf("a route with the access %s was not found", wrong)
		}
	}
}

// a route that does not say who may use it is not built.
func TestUnsetAccessPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a route without an access was built")
		}
	}()
	api.BuildUnset()
}

// a user reaches no token but their own, by any verb.
func TestForeignTokens(t *testing.T) {
	e := open(t)
	for _, v := range []struct {
		method, path string
		body         any
	}{
		{"GET", "core/tokens/of-root/", nil},
		{"PUT", "core/tokens/of-root/", map[string]any{"identifier": "mine"}},
		{"PATCH", "core/tokens/of-root/", map[string]any{"description": "mine"}},
		{"DELETE", "core/tokens/of-root/", nil},
		{"GET", "core/tokens/of-root/view_key/", nil},
		{"POST", "core/tokens/of-root/set_key/", map[string]any{"key": strings.Repeat("x", 40)}},
	} {
		a := e.send(e.plain, v.method, v.path, v.body)
		if a.status != 404 || string(a.body) != `{"detail":"No Token matches the given query."}` {
			t.Errorf("%s %s: %d %s", v.method, v.path, a.status, a.body)
		}
	}
	list := e.send(e.plain, "GET", "core/tokens/", nil)
	if s := string(list.body); !strings.Contains(s, "of-plain") || strings.Contains(s, "of-root") {
		t.Errorf("the user's list of tokens: %s", s)
	}
	for _, filter := range []string{"user__username=root", "user__username=root&user__username=plain&identifier=of-root"} {
		if a := e.send(e.plain, "GET", "core/tokens/?"+filter, nil); strings.Contains(string(a.body), `"of-root"`) {
			t.Errorf("?%s shows a foreign token", filter)
		}
	}
	// Control: the same calls on a token of their own work.
	for _, path := range []string{"core/tokens/of-plain/", "core/tokens/of-plain/view_key/"} {
		if a := e.send(e.plain, "GET", path, nil); a.status != 200 {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
	if a := e.send(e.root, "GET", "core/tokens/of-root/", nil); a.status != 200 {
		t.Errorf("the token is gone: %d", a.status)
	}
}

// a user changes neither whose a token is nor what it is for.
func TestTokenOwnerAndIntent(t *testing.T) {
	e := open(t)
	for field, value := range map[string]any{"user": e.rootPK, "intent": "app_password"} {
		a := e.send(e.plain, "PATCH", "core/tokens/of-plain/", map[string]any{field: value})
		if a.status != 400 || !strings.Contains(string(a.body), `"`+field+`"`) {
			t.Errorf("PATCH %s: %d %s", field, a.status, a.body)
		}
	}
	a := e.send(e.plain, "POST", "core/tokens/", map[string]any{"identifier": "theirs", "user": e.rootPK})
	if a.status != 400 {
		t.Errorf("a user made a token for another: %d %s", a.status, a.body)
	}
	if is := e.want(200, "GET", "core/tokens/of-plain/", nil); is["user"] != float64(e.plainPK) || is["intent"] != "api" {
		t.Errorf("the token is now %v", is)
	}
	// Control: a superuser may, so it is the rule that refused.
	e.want(200, "PATCH", "core/tokens/of-plain/", map[string]any{"intent": "app_password", "user": e.rootPK})
	if a := e.send(e.plain, "GET", "core/users/me/", nil); a.status != 403 {
		t.Errorf("an app password opens the API: %d", a.status)
	}
	for _, intent := range []string{"recovery", "verification"} {
		e.refused("POST", "core/tokens/", map[string]any{"identifier": "x", "intent": intent}, "intent", "Invalid intent")
	}
}

// who administers nothing makes nobody an administrator.
func TestNoSelfPromotion(t *testing.T) {
	e := open(t)
	admins := e.want(200, "GET", "core/groups/?is_superuser=true&name=test+admins", nil)["results"].([]any)[0].(map[string]any)["pk"]
	own := e.want(201, "POST", "core/groups/", map[string]any{"name": "own", "users": []any{e.plainPK}})["pk"]
	attempts := []struct {
		method, path string
		body         map[string]any
	}{
		{"PATCH", fmt.Sprintf("core/groups/%v/", own), map[string]any{"parents": []any{admins}}},
		{"PATCH", fmt.Sprintf("core/groups/%v/", own), map[string]any{"parent": admins}},
		{"PATCH", fmt.Sprintf("core/groups/%v/", own), map[string]any{"is_superuser": true}},
		{"POST", fmt.Sprintf("core/groups/%v/add_user/", admins), map[string]any{"pk": e.plainPK}},
		{"PATCH", fmt.Sprintf("core/users/%d/", e.plainPK), map[string]any{"groups": []any{admins}}},
		{"PATCH", fmt.Sprintf("core/users/%d/", e.plainPK), map[string]any{"is_superuser": true}},
	}
	super := func() any {
		return e.want(200, "GET", fmt.Sprintf("core/users/%d/", e.plainPK), nil)["is_superuser"]
	}
	for _, v := range attempts {
		if a := e.send(e.plain, v.method, v.path, v.body); a.status != 403 {
			t.Errorf("%s %s %v: %d %s", v.method, v.path, v.body, a.status, a.body)
		}
		if super() != false {
			t.Fatalf("%s %s %v made the user a superuser", v.method, v.path, v.body)
		}
	}
	// the computed field is ignored even from a superuser. Control: the first
	// attempt does work for one, through a parent.
	e.want(200, attempts[5].method, attempts[5].path, attempts[5].body)
	if super() != false {
		t.Error("is_superuser was written")
	}
	e.want(200, attempts[0].method, attempts[0].path, attempts[0].body)
	if super() != true {
		t.Error("a parent that is a superuser group does not count")
	}
}

// what the caller may not decide is ignored: identity, what is computed,
// what has a call of its own.
func TestMassAssignment(t *testing.T) {
	e := open(t)
	made := e.want(201, "POST", "core/users/", map[string]any{
		"username": "mass", "name": "Mass", "pk": 1, "uuid": "00000000-0000-7000-8000-000000000000", "uid": "x", "is_superuser": true,
		"password": "taken over", "tenant": "t_b", "tenant_id": "t_b", "email": "m@example.com", "email_verified": true,
		"password_change_date": "2000-01-01T00:00:00Z", "date_joined": "2000-01-01T00:00:00Z", "__proto__": map[string]any{"x": 1},
	})
	if made["pk"] == 1.0 || made["is_superuser"] != false || strings.HasPrefix(made["date_joined"].(string), "2000") ||
		made["uuid"] == "00000000-0000-7000-8000-000000000000" || made["uid"] == "x" {
		t.Errorf("read-only fields were written: %v", made)
	}
	if len(e.passwords.of) != 0 {
		t.Error("a password was set without set_password")
	}
	u, err := e.db.UserByPK(t.Context(), e.tenant.ID, int64(made["pk"].(float64)))
	e.must(err)
	if u.EmailVerified {
		t.Error("email_verified was written")
	}
	token := e.want(201, "POST", "core/tokens/", map[string]any{"identifier": "mass", "key": "chosen-by-the-caller-0123456789", "managed": "goauthentik.io/x"})
	if token["managed"] != nil {
		t.Errorf("managed was written: %v", token)
	}
	if key := e.want(200, "GET", "core/tokens/mass/view_key/", nil)["key"]; key == "chosen-by-the-caller-0123456789" {
		t.Error("the key was written")
	}
	mapping := e.want(201, "POST", "propertymappings/provider/scope/", map[string]any{
		"name": "own", "scope_name": "own", "expression": "return {}", "managed": "goauthentik.io/providers/oauth2/scope-own", "claims": []string{"iss"},
	})
	if mapping["managed"] != nil {
		t.Errorf("an administrator's mapping passes for a default one: %v", mapping)
	}
}

// an address that changes is no longer proven.
func TestEmailVerifiedResets(t *testing.T) {
	e := open(t)
	path := fmt.Sprintf("core/users/%d/", e.plainPK)
	e.want(200, "PATCH", path, map[string]any{"email": "a@example.com"})
	verified := func() bool {
		u, err := e.db.UserByPK(t.Context(), e.tenant.ID, e.plainPK)
		e.must(err)
		return u.EmailVerified
	}
	_, err := e.db.UpdateUser(t.Context(), e.tenant.ID, e.plainPK, verify)
	e.must(err)
	e.want(200, "PATCH", path, map[string]any{"name": "Other", "email": "A@example.com"})
	if !verified() {
		t.Error("the proof was lost although the address is the same") // the control
	}
	e.want(200, "PATCH", path, map[string]any{"email": "b@example.com"})
	if verified() {
		t.Error("a new address passes for proven")
	}
}

// What one change does not name, it leaves as another one made it meanwhile.
func TestTokenChangesAtOnce(t *testing.T) {
	e := open(t)
	soon := e.now.Add(time.Minute).UTC()
	store := &meanwhile{Store: e.api.Store, change: func() {
		_, err := e.db.UpdateToken(t.Context(), core.DefaultTenant, "of-plain", func(k *core.Token) error {
			k.Expiring, k.Expires = true, soon
			return nil
		})
		e.must(err)
	}}
	e.api.Store = store
	e.want(200, "PATCH", "core/tokens/of-plain/", map[string]any{"description": "new"})
	k, err := e.db.Token(t.Context(), core.DefaultTenant, "of-plain")
	e.must(err)
	if !k.Expires.Equal(soon) || k.Description != "new" {
		t.Errorf("the token is now %+v", k)
	}
}

// meanwhile is a store in which something changes just before a token is saved.
type meanwhile struct {
	api.Store
	change func()
}

func (m *meanwhile) UpdateToken(ctx context.Context, t core.TenantID, identifier string, change func(*core.Token) error) (*core.Token, error) {
	m.change()
	return m.Store.UpdateToken(ctx, t, identifier, change)
}
