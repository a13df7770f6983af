package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
)

// TestApplicationsOfAUser: an ordinary user sees what they may open, and nothing
// of how it is connected.
func TestApplicationsOfAUser(t *testing.T) {
	e := open(t)
	p := e.want(201, "POST", "providers/oauth2/", e.flows().with(map[string]any{"name": "p", "redirect_uris": []any{
		map[string]any{"matching_mode": "regex", "url": "https://.*"}, map[string]any{"matching_mode": "strict", "url": "https://p.test/cb?x=1"},
	}}))["pk"]
	e.want(201, "POST", "core/applications/", map[string]any{"name": "A", "slug": "a", "provider": p})
	e.want(201, "POST", "core/applications/", map[string]any{"name": "B", "slug": "b", "meta_launch_url": "https://b.test/%(username)s?m=%(email)s&u=%(uuid)s&x=%(unknown)s"})
	e.want(201, "POST", "core/applications/", map[string]any{"name": "C", "slug": "c", "meta_launch_url": "blank://blank"})
	e.want(200, "PATCH", fmt.Sprintf("core/users/%d/", e.plainPK), map[string]any{"username": "a/b&c=d", "email": "x+y@example.com"})
	u, err := e.db.UserByPK(t.Context(), e.tenant.ID, e.plainPK)
	e.must(err)
	list := e.send(e.plain, "GET", "core/applications/", nil).object(t)
	e.fitsList(list, "Application")
	want := map[string]any{
		"a": "https://p.test?x=1", "b": "https://b.test/a%2Fb%26c%3Dd?m=x%2By%40example.com&u=" + string(u.ID) + "&x=%(unknown)s", "c": nil,
	}
	rows := list["results"].([]any)
	for _, row := range rows {
		o := row.(map[string]any)
		if o["launch_url"] != want[o["slug"].(string)] {
			t.Errorf("%s: launch_url is %v, want %v", o["slug"], o["launch_url"], want[o["slug"].(string)])
		}
		if o["provider_obj"] != nil {
			t.Errorf("%s shows how it is connected: %v", o["slug"], o["provider_obj"])
		}
	}
	if len(rows) != 3 {
		t.Errorf("%d applications", len(rows))
	}
	if a := e.send(e.plain, "GET", fmt.Sprintf("core/applications/?for_user=%d", e.rootPK), nil); a.status != 403 {
		t.Errorf("for_user as an ordinary user: %d", a.status)
	}
	if got := strings.Join(e.names(fmt.Sprintf("core/applications/?for_user=%d&only_with_launch_url=true", e.plainPK), "slug"), " "); got != "a b" {
		t.Errorf("for_user: %s", got)
	}
	if is := e.want(200, "GET", fmt.Sprintf("core/applications/a/check_access/?for_user=%d", e.plainPK), nil); is["passing"] != true || len(is["log_messages"].([]any)) != 1 {
		t.Errorf("check_access: %v", is)
	}
	// Who is not active may open nothing.
	e.want(200, "PATCH", fmt.Sprintf("core/users/%d/", e.plainPK), map[string]any{"is_active": false})
	if got := e.names(fmt.Sprintf("core/applications/?for_user=%d", e.plainPK), "slug"); len(got) != 0 {
		t.Errorf("an inactive user may open %v", got)
	}
	if got := len(e.names(fmt.Sprintf("core/applications/?superuser_full_list=true&for_user=%d", e.plainPK), "slug")); got != 3 {
		t.Errorf("the full list has %d", got)
	}
	e.want(200, "POST", "core/applications/c/set_icon_url/", map[string]any{"url": "https://c.test/i.svg"})
	if is := e.want(200, "GET", "core/applications/c/", nil); is["meta_icon"] != "https://c.test/i.svg" || is["meta_icon_url"] != "https://c.test/i.svg" {
		t.Errorf("icon: %v", is)
	}
	e.want(204, "DELETE", fmt.Sprintf("providers/oauth2/%v/", p), nil)
	if is := e.want(200, "GET", "core/applications/a/", nil); is["provider"] != nil || is["provider_obj"] != nil {
		t.Errorf("the provider is gone, and the application says %v", is["provider"])
	}
}

// TestApplicationsUnderARule: an application that a rule keeps from a user is not
// there for them. The Caddyfile's rule is what the policy knows so far.
func TestApplicationsUnderARule(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/applications/", map[string]any{"name": "A", "slug": "a"})
	e.api.Store = guarded{e.db, []string{"staff"}}
	for _, query := range []string{"", "?superuser_full_list=true", "?superuser_full_list=true&only_with_launch_url=false"} {
		if got := e.send(e.plain, "GET", "core/applications/"+query, nil).object(t)["results"].([]any); len(got) != 0 {
			t.Errorf("%s: a stranger sees %v", query, got)
		}
	}
	if a := e.send(e.plain, "GET", "core/applications/a/", nil); a.status != 404 || string(a.body) != `{"detail":"No Application matches the given query."}` {
		t.Errorf("a stranger: %d %s", a.status, a.body)
	}
	if a := e.send(e.root, "GET", "core/applications/a/", nil); a.status != 200 {
		t.Errorf("a superuser: %d", a.status)
	}
	if got := len(e.names("core/applications/?superuser_full_list=true", "slug")); got != 1 {
		t.Errorf("the full list has %d", got)
	}
	// Control: a member sees it.
	e.want(201, "POST", "core/groups/", map[string]any{"name": "staff", "users": []any{e.plainPK}})
	if a := e.send(e.plain, "GET", "core/applications/a/", nil); a.status != 200 {
		t.Errorf("a member: %d", a.status)
	}
}

// TestSetupURLs: what does not depend on an application is there at once.
func TestSetupURLs(t *testing.T) {
	e := open(t)
	p := e.want(201, "POST", "providers/oauth2/", e.flows().with(map[string]any{"name": "p", "redirect_uris": []any{}}))["pk"]
	path := fmt.Sprintf("providers/oauth2/%v/setup_urls/", p)
	if is := e.want(200, "GET", path, nil); is["issuer"] != nil || is["token"] != origin+"/application/o/token/" {
		t.Errorf("%v", is)
	}
	e.want(201, "POST", "core/applications/", map[string]any{"name": "A", "slug": "my-app", "provider": p})
	own := origin + "/application/o/my-app/"
	is := e.want(200, "GET", path, nil)
	for field, want := range map[string]string{
		"issuer": own, "authorize": origin + "/application/o/authorize/", "user_info": origin + "/application/o/userinfo/",
		"provider_info": own + ".well-known/openid-configuration", "logout": own + "end-session/", "jwks": own + "jwks/",
	} {
		if is[field] != want {
			t.Errorf("%s is %v, want %s", field, is[field], want)
		}
	}
	e.want(200, "PATCH", fmt.Sprintf("providers/oauth2/%v/", p), map[string]any{"issuer_mode": "global"})
	if is := e.want(200, "GET", path, nil); is["issuer"] != origin+"/" {
		t.Errorf("global issuer: %v", is["issuer"])
	}
	preview := e.want(200, "GET", fmt.Sprintf("providers/oauth2/%v/preview_user/?for_user=%d", p, e.plainPK), nil)["preview"].(map[string]any)
	if preview["app"] != "my-app" || preview["preferred_username"] != "plain" {
		t.Errorf("preview: %v", preview)
	}
	e.refused("GET", fmt.Sprintf("providers/oauth2/%v/preview_user/?for_user=9999", p), nil, "for_user", "not found")
}

// with the token of one tenant nothing of another can be reached: not
// by path, not by reference, not by filter; and it opens nothing there.
func TestTenantsApart(t *testing.T) {
	e := open(t)
	other, err := e.db.CreateTenant(t.Context(), "t_b", "B")
	e.must(err)
	b := *e
	b.tenant = other
	admins := &core.Group{Name: "b admins", Superuser: true}
	e.must(e.db.CreateGroup(t.Context(), other.ID, admins, nil))
	for range 5 { // numbers that the first tenant does not have
		b.person("u" + core.RandomAlphanumeric(6))
	}
	b.rootPK, b.root = b.person("b-root", admins.ID)
	for name, path := range map[string]string{"a's token": "core/users/", "me": "core/users/me/"} {
		if a := b.send(e.root, "GET", path, nil); a.status != 403 || string(a.body) != `{"detail":"Token invalid/expired"}` {
			t.Errorf("%s at b: %d %s", name, a.status, a.body)
		}
	}
	flows := b.flows()
	group := b.want(201, "POST", "core/groups/", map[string]any{"name": "b-group"})["pk"]
	pair := b.want(200, "POST", "crypto/certificatekeypairs/generate/", map[string]any{"common_name": "b-pair", "validity_days": 1, "alg": "ecdsa"})["pk"]
	scope := b.want(201, "POST", "propertymappings/provider/scope/", map[string]any{"name": "b-scope", "scope_name": "b", "expression": "return {}"})["pk"]
	saml := b.want(201, "POST", "propertymappings/provider/saml/", map[string]any{"name": "b-saml", "saml_name": "b", "expression": "return 1"})["pk"]
	scim := b.want(201, "POST", "propertymappings/provider/scim/", map[string]any{"name": "b-scim", "expression": "return 1"})["pk"]
	client := b.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "b-client", "client_id": "b", "redirect_uris": []any{}}))["pk"]
	proxy := b.want(201, "POST", "providers/proxy/", flows.with(map[string]any{"name": "b-proxy", "external_host": "https://b.test", "mode": "forward_single"}))["pk"]
	app := b.want(201, "POST", "core/applications/", map[string]any{"name": "b-app", "slug": "b-app", "provider": client})["pk"]
	rule := b.want(201, "POST", "policies/expression/", map[string]any{"name": "b-policy", "expression": "return True"})["pk"]
	bound := b.want(201, "POST", "policies/bindings/", map[string]any{"target": app, "policy": rule, "order": 0})["pk"]
	entitlement := b.want(201, "POST", "core/application_entitlements/", map[string]any{"app": app, "name": "b-entitlement"})["pbm_uuid"]
	b.want(201, "POST", "core/tokens/", map[string]any{"identifier": "b-token"})
	brand := b.want(201, "POST", "core/brands/", map[string]any{"domain": "b.test"})["brand_uuid"]
	role := b.want(201, "POST", "rbac/roles/", map[string]any{"name": "b-role"})["pk"]
	assigned := b.send(b.root, "POST", fmt.Sprintf("rbac/permissions/assigned_by_roles/%v/assign/", role), map[string]any{"permissions": []string{"authentik_core.view_user"}})
	if string(assigned.body) != `[{"id":"1"}]` {
		t.Fatalf("assign: %d %s", assigned.status, assigned.body)
	}
	b.session("b-root", "00000000-0000-7000-8000-0000000000bb")
	ids := map[string]any{
		"core/authenticated_sessions/": "00000000-0000-7000-8000-0000000000bb",
		"core/users/":                  b.rootPK, "core/groups/": group, "core/tokens/": "b-token", "core/applications/": "b-app", "crypto/": pair,
		"propertymappings/provider/scope/": scope, "propertymappings/provider/saml/": saml, "propertymappings/provider/scim/": scim,
		"core/brands/": brand, "policies/expression/": rule, "policies/all/": rule, "policies/bindings/": bound, "core/application_entitlements/": entitlement,
		"providers/oauth2/": client, "providers/proxy/": proxy, "providers/all/": client,
		"propertymappings/all/": scope, "events/events/": b.want(200, "GET", "events/events/", nil)["results"].([]any)[0].(map[string]any)["pk"],
		"rbac/roles/": role, "rbac/permissions/assigned_by_roles/": role, "rbac/permissions/roles/": 1,
	}
	checked := 0
	for _, op := range e.api.Operations() {
		if !strings.Contains(op.Pattern, "{}") || strings.HasPrefix(op.Pattern, "flows/") || op.Pattern == "rbac/permissions/{}/" { // the same for all
			continue
		}
		if op.Access == "tenantsKey" { // about all tenants, and for nobody in one: see TestTenantsKey
			continue
		}
		var id any
		for prefix, v := range ids {
			if strings.HasPrefix(op.Pattern, prefix) {
				id = v
			}
		}
		if id == nil {
			t.Errorf("%s is not covered", op.Pattern)
		}
		path := strings.ReplaceAll(op.Pattern, "{}", fmt.Sprint(id))
		var body any
		if op.Method != "GET" && op.Method != "DELETE" {
			body = map[string]any{"name": "stolen", "pk": 1, "key": strings.Repeat("k", 40), "url": "https://x.test", "password": "long enough",
				"permissions": []string{"authentik_core.view_user"}}
		}
		a := e.send(e.root, op.Method, path, body)
		if strings.HasSuffix(op.Pattern, "/set_icon/") {
			a = e.sendForm(e.root, path, "icon.png", png, "clear", "true")
		}
		if a.status != 404 || !strings.Contains(string(a.body), "matches the given query.") {
			t.Errorf("%s %s of another tenant: %d %s", op.Method, path, a.status, a.body)
		}
		checked++
	}
	if checked < 45 {
		t.Errorf("only %d operations were checked", checked)
	}
	// By reference.
	own := e.want(201, "POST", "core/applications/", map[string]any{"name": "own", "slug": "own"})["pk"]
	for _, v := range []struct {
		path  string
		body  map[string]any
		field string
	}{
		{"core/users/", map[string]any{"username": "x", "name": "x", "groups": []any{group}}, "groups"},
		{"core/groups/", map[string]any{"name": "x", "parents": []any{group}}, "parents"},
		{"core/groups/", map[string]any{"name": "x", "users": []any{b.rootPK}}, "users"},
		{"core/groups/", map[string]any{"name": "x", "roles": []any{role}}, "roles"},
		{"core/tokens/", map[string]any{"identifier": "x", "user": b.rootPK}, "user"},
		{"core/applications/", map[string]any{"name": "x", "slug": "x", "provider": client}, "provider"},
		{"core/application_entitlements/", map[string]any{"name": "x", "app": app}, "app"},
		{"policies/bindings/", map[string]any{"target": app, "user": e.plainPK, "order": 0}, "target"},
		{"policies/bindings/", map[string]any{"target": entitlement, "user": e.plainPK, "order": 0}, "target"},
		{"policies/bindings/", map[string]any{"target": own, "policy": rule, "order": 0}, "policy"},
		{"policies/bindings/", map[string]any{"target": own, "group": group, "order": 0}, "group"},
		{"policies/bindings/", map[string]any{"target": own, "user": b.rootPK, "order": 0}, "user"},
		{"providers/oauth2/", e.flows().with(map[string]any{"name": "x", "redirect_uris": []any{}, "signing_key": pair}), "signing_key"},
		{"providers/oauth2/", e.flows().with(map[string]any{"name": "x", "redirect_uris": []any{}, "property_mappings": []any{scope}}), "property_mappings"},
		{"providers/oauth2/", flows.with(map[string]any{"name": "x", "redirect_uris": []any{}}), "authorization_flow"},
	} {
		e.refused("POST", v.path, v.body, v.field, "object does not exist")
	}
	for _, path := range []string{"core/users/", "core/groups/", "core/tokens/", "core/applications/?superuser_full_list=true", "providers/all/", "crypto/certificatekeypairs/", "propertymappings/provider/scope/", "policies/all/", "policies/expression/", "core/application_entitlements/", "rbac/roles/"} {
		if a := e.send(e.root, "GET", path, nil); strings.Contains(string(a.body), `"b-`) {
			t.Errorf("%s shows what belongs to another tenant", path)
		}
		// Control: it is there for its own.
		if a := b.send(b.root, "GET", path, nil); !strings.Contains(string(a.body), `"b-`) {
			t.Errorf("%s does not show it to its own tenant: %s", path, a.body)
		}
	}
}

// guarded is a directory whose applications all have a rule.
type guarded struct {
	*sqldb.DB
	allow []string
}

func (g guarded) ApplicationBySlug(ctx context.Context, t core.TenantID, slug string) (*core.Application, error) {
	a, err := g.DB.ApplicationBySlug(ctx, t, slug)
	if a != nil {
		a.AllowGroups = g.allow
	}
	return a, err
}

func (g guarded) ListApplications(ctx context.Context, t core.TenantID, q api.Query) ([]core.Application, int, error) {
	list, n, err := g.DB.ListApplications(ctx, t, q)
	for i := range list {
		list[i].AllowGroups = g.allow
	}
	return list, n, err
}
