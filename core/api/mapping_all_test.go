package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

func (e *env) evaluator() *expression.Evaluator {
	return &expression.Evaluator{Directory: e.db, Log: slog.New(slog.DiscardHandler), Now: e.api.Now}
}

func TestMappingsOfAllKinds(t *testing.T) {
	e := open(t)
	scope := e.want(201, "POST", "propertymappings/provider/scope/", map[string]any{"name": "m-a", "scope_name": "a", "expression": "return {}"})
	saml := e.want(201, "POST", "propertymappings/provider/saml/", map[string]any{"name": "m-b", "saml_name": "b", "expression": "return 1"})
	list := e.want(200, "GET", "propertymappings/all/?search=m-", nil)
	e.fitsList(list, "PropertyMapping")
	if got := fmt.Sprint(e.names("propertymappings/all/?search=m-&ordering=-name", "meta_model_name")); got != "[authentik_providers_saml.samlpropertymapping authentik_providers_oauth2.scopemapping]" {
		t.Error(got)
	}
	if got := e.names("propertymappings/all/?managed__isnull=false", "name"); len(got) != 3 {
		t.Errorf("managed: %v", got)
	}
	one := e.want(200, "GET", fmt.Sprintf("propertymappings/all/%v/", scope["pk"]), nil)
	if one["component"] != "ak-property-mapping-provider-scope-form" {
		t.Error(one)
	}
	e.want(204, "DELETE", fmt.Sprintf("propertymappings/all/%v/", saml["pk"]), nil)
	e.want(404, "GET", fmt.Sprintf("propertymappings/provider/saml/%v/", saml["pk"]), nil)
	if types := e.send(e.root, "GET", "propertymappings/all/types/", nil); strings.Count(string(types.body), `"component"`) != 3 {
		t.Errorf("types: %s", types.body)
	}
}

// who may see a mapping, and not change it, does not run it: neither as it is
// stored nor with a source of their own.
func TestMappingTest(t *testing.T) {
	e := open(t)
	e.api.Evaluator = e.evaluator()
	made := e.want(201, "POST", "propertymappings/provider/scope/", map[string]any{"name": "m", "scope_name": "m", "expression": "x = user.username\nreturn {\"who\": x, \"n\": context.get(\"n\")}"})
	path := fmt.Sprintf("propertymappings/all/%v/test/", made["pk"])
	run := func(token string, body map[string]any) answer { return e.send(token, "POST", path, body) }
	body := map[string]any{"user": e.plainPK, "context": map[string]any{"n": 3}}

	role := e.role("r", "authentik_core.view_propertymapping", "authentik_providers_oauth2.view_scopemapping", "authentik_core.view_user")
	_, viewer := e.person("viewer", e.groupWith("g", role))
	for _, b := range []map[string]any{body, {"user": e.plainPK, "expression": "return ak_user_by(username=\"root\").email"}, {}} {
		if a := run(viewer, b); a.status != 403 || strings.Contains(string(a.body), "result") {
			t.Errorf("with the right to view: %d %s", a.status, a.body)
		}
	}
	// Control: with the right to change it, it runs.
	e.permit(role, "authentik_core.view_propertymapping", "authentik_providers_oauth2.change_scopemapping", "authentik_core.view_user")
	a := run(viewer, body)
	is := a.object(t)
	e.fits(is, "PropertyMappingTestResult")
	if a.status != 200 || is["successful"] != true || is["result"] != `{"n":3,"who":"plain"}` {
		t.Errorf("with the right to change: %d %s", a.status, a.body)
	}
	// Whom one may not see one does not test for.
	e.permit(role, "authentik_core.view_propertymapping", "authentik_providers_oauth2.change_scopemapping")
	if a := run(viewer, body); a.status != 403 {
		t.Errorf("for a user who may not be seen: %d %s", a.status, a.body)
	}
	group := e.want(201, "POST", "core/groups/", map[string]any{"name": "team"})["pk"]
	if a := run(viewer, map[string]any{"group": group, "expression": "return group.name"}); a.status != 403 {
		t.Errorf("for a group that may not be seen: %d %s", a.status, a.body)
	}

	for expr, want := range map[string]string{
		"return group.name":             `"team"`,
		"return None":                   "null",
		"x = 1\nreturn 1 / 0":           "line 2: ",
		"x = 1\nreturn {":               "line 2: ",
		"return [0] * ((1 << 30) - 1)":  "line 1: ",
		"while True:\n  pass\nreturn 1": "line ",
		"return open(\"/etc/passwd\")":  "line 1: ",
		"return request.obj.scope_name": `"m"`,
	} {
		a := run(e.root, map[string]any{"group": group, "expression": expr})
		is := a.object(t)
		if a.status != 200 || !strings.Contains(fmt.Sprint(is["result"]), want) || is["successful"] != !strings.HasPrefix(want, "line") {
			t.Errorf("%q: %d %s, want %s", expr, a.status, a.body, want)
		}
	}
	if a := e.send(e.root, "POST", path+"?format_result=true", body); !strings.Contains(string(a.body), `\n    \"n\": 3`) {
		t.Errorf("formatted: %s", a.body)
	}
	e.refused("POST", path, map[string]any{"user": 9999}, "user", "does not exist")
	e.refused("POST", path, map[string]any{"context": "x"}, "context", "dictionary")
}

// bearer knows one access token.
type bearer struct{ user *core.User }

func (b bearer) UserOfToken(_ context.Context, token, scope string) (*core.User, error) {
	switch {
	case token == "broken.token.x":
		return nil, errors.New("the store is away")
	case token != "good.token.x" || scope != core.ScopeAPI:
		return nil, fmt.Errorf("not good: %w", core.ErrDenied)
	}
	return b.user, nil
}

// T-12, T-19: an access token of the scope opens the API as its user, and nothing
// else does; not even that where the user was deactivated.
func TestAccessTokenOpensAPI(t *testing.T) {
	e := open(t)
	u, err := e.db.UserByPK(t.Context(), e.tenant.ID, e.plainPK)
	e.must(err)
	if a := e.send("good.token.x", "GET", "core/users/me/", nil); a.status != 403 {
		t.Errorf("without an OpenID Provider: %d", a.status)
	}
	e.api.AccessTokens = bearer{u}
	a := e.send("good.token.x", "GET", "core/users/me/", nil)
	if a.status != 200 || !strings.Contains(string(a.body), `"username":"plain"`) {
		t.Errorf("a good one: %d %s", a.status, a.body)
	}
	if a := e.send("good.token.x", "GET", "core/users/", nil); a.status != 403 {
		t.Errorf("it gives more than its user has: %d", a.status)
	}
	if a := e.send("other.token.x", "GET", "core/users/me/", nil); a.status != 403 || string(a.body) != `{"detail":"Token invalid/expired"}` {
		t.Errorf("another one: %d %s", a.status, a.body)
	}
	if a := e.send("broken.token.x", "GET", "core/users/me/", nil); a.status != 500 {
		t.Errorf("a store that is away: %d %s", a.status, a.body)
	}
	e.want(200, "PATCH", "core/users/"+itoa(e.plainPK)+"/", map[string]any{"is_active": false})
	if a := e.send("good.token.x", "GET", "core/users/me/", nil); a.status != 403 {
		t.Errorf("of a deactivated user: %d %s", a.status, a.body)
	}
}
