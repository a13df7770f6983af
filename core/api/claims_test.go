package api_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/session"
)

// What the server is put together from fits.
var (
	_ api.Expressions = (*expression.Evaluator)(nil)
	_ api.Claims      = (*oidc.Provider)(nil)
	_ api.Preview     = (*oidc.Provider)(nil)
	_ api.Sessions    = (*session.Sessions)(nil)
)

// TestExpressions: with the real evaluator, a mapping's syntax is checked where it
// is saved, and its claims are known from then on.
func TestExpressions(t *testing.T) {
	e := open(t)
	evaluator := &expression.Evaluator{Directory: e.db, Log: slog.New(slog.DiscardHandler), Now: e.api.Now}
	e.api.Expressions, e.api.Claims = evaluator, &oidc.Provider{Expressions: evaluator}
	const path = "propertymappings/provider/scope/"
	claims := func(made map[string]any) string {
		list, err := e.db.Mappings(t.Context(), e.tenant.ID, ids(made["pk"]))
		e.must(err)
		return fmt.Sprint(list[0].Claims)
	}
	made := e.want(201, "POST", path, map[string]any{"name": "m", "scope_name": "m", "expression": "return {\n  \"policy\": \"readwrite\",\n}\n"})
	if got := claims(made); got != "[policy]" {
		t.Errorf("claims: %s", got)
	}
	one := fmt.Sprintf("%s%v/", path, made["pk"])
	for expr, want := range map[string]string{
		"if ak_is_group_member(request.user, name=\"admins\"):\n  return {\"policy\": \"consoleAdmin\"}\nreturn None": "[]",
		"return {\"b\": user.email, \"a\": user.name}":                                                                "[a b]",
		"return 1 / 0": "[]",
		"return [1]":   "[]",
		"return {}":    "[]",
	} {
		e.want(200, "PATCH", one, map[string]any{"expression": expr})
		if got := claims(made); got != want {
			t.Errorf("%s: claims %s, want %s", expr, got, want)
		}
	}
	e.want(200, "PATCH", one, map[string]any{"expression": "return {'kept': 1}"})
	e.want(200, "PATCH", one, map[string]any{"name": "renamed"})
	if got := claims(made); got != "[kept]" {
		t.Errorf("a change of the name lost the claims: %s", got)
	}
	e.refused("PATCH", one, map[string]any{"expression": "x = 1\nreturn {"}, "expression", "Expression Syntax Error: line ")
	if is := e.want(200, "GET", one, nil); is["expression"] != "return {'kept': 1}" {
		t.Errorf("a refused expression was saved: %v", is["expression"])
	}
}
