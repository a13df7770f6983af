package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core/oidc"
)

// TestPreviewWarnings: a provider that is set up for MinIO as the guides have it gives
// no warning, and each mistake gives one that names its field and what is right.
func TestPreviewWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		mapping  string // the expression of the scope minio; empty: as it should be
		provider map[string]any
		query    string
		field    string // empty: no warning
		text     string
	}{
		"as it should be":                {},
		"a list of policies":             {mapping: `return {"policy": ["readwrite", "diagnostics"]}`},
		"a list with commas":             {mapping: `return {"policy": "readwrite,diagnostics"}`},
		"every scope requested":          {query: "&scope=openid+email+profile+minio"},
		"no policy":                      {mapping: `return {"other": 1}`, field: "property_mappings", text: "policy claim missing"},
		"None for this user":             {mapping: `return None`, field: "property_mappings", text: "policy claim missing"},
		"mapping not assigned":           {provider: map[string]any{"property_mappings": []any{}}, field: "property_mappings", text: "add a scope mapping"},
		"scope not requested":            {query: "&scope=openid+email", field: "scope", text: "the scope minio, which was not requested"},
		"scope that there is not":        {query: "&scope=openid+minio+groups", field: "scope", text: `for the scope "groups"`},
		"no signing key":                 {provider: map[string]any{"signing_key": nil}, field: "signing_key", text: "kid"},
		"claims not in the ID token":     {provider: map[string]any{"include_claims_in_id_token": false}, field: "include_claims_in_id_token", text: "true"},
		"encrypted":                      {provider: map[string]any{"encryption_key": "pair"}, field: "encryption_key", text: "empty"},
		"an object":                      {mapping: `return {"policy": {"name": "readwrite"}}`, field: "policy", text: "an object; MinIO takes a string"},
		"a number":                       {mapping: `return {"policy": 7}`, field: "policy", text: "a number; MinIO takes a string"},
		"true":                           {mapping: `return {"policy": True}`, field: "policy", text: "true or false; MinIO takes a string"},
		"a list with a number":           {mapping: `return {"policy": ["readwrite", 1]}`, field: "policy", text: "something else than strings"},
		"nothing":                        {mapping: `return {"policy": ""}`, field: "policy", text: "names nothing"},
		"an empty list":                  {mapping: `return {"policy": []}`, field: "policy", text: "names nothing"},
		"another case":                   {mapping: `return {"policy": "readOnly"}`, field: "policy", text: `write "readonly", not "readOnly"`},
		"a name that MinIO has not":      {mapping: `return {"policy": "team-data"}`, field: "policy", text: `no policy "team-data" from the start`},
		"a mapping that fails":           {mapping: "x = 1\nreturn {\"policy\": user.nothing}", field: "property_mappings", text: "fails for this user: line 2: "},
		"a mapping that spends too much": {mapping: "return {\"policy\": \"x\" * ((1<<30)-1)}", field: "property_mappings", text: "fails for this user: line 1: "},
	} {
		e := open(t)
		evaluator := e.evaluator()
		op := &oidc.Provider{Store: e.db, Users: e.db, Applications: e.db, Expressions: evaluator, Events: e.db, Now: e.api.Now, Log: e.api.Log}
		e.api.Evaluator, e.api.Preview = evaluator, op
		if c.mapping == "" {
			c.mapping = `return {"policy": "readwrite"}`
		}
		mapping := e.want(201, "POST", "propertymappings/provider/scope/", map[string]any{"name": "minio", "scope_name": "minio", "expression": c.mapping})["pk"]
		pair := e.want(200, "GET", "crypto/certificatekeypairs/", nil)["results"].([]any)[0].(map[string]any)["pk"]
		all := []any{mapping}
		for _, m := range e.want(200, "GET", "propertymappings/provider/scope/?managed__isnull=false", nil)["results"].([]any) {
			all = append(all, m.(map[string]any)["pk"])
		}
		body := e.flows().with(map[string]any{
			"name": "Minio", "client_id": "minio", "client_secret": strings.Repeat("s", 40), "sub_mode": "user_username", "signing_key": pair,
			"property_mappings": all, "redirect_uris": []any{map[string]any{"matching_mode": "strict", "url": "https://minio.example.com/oauth_callback"}},
		})
		for k, v := range c.provider {
			if v == "pair" {
				v = pair
			}
			body[k] = v
		}
		pk := e.want(201, "POST", "providers/oauth2/", body)["pk"]
		e.want(201, "POST", "core/applications/", map[string]any{"name": "Minio", "slug": "minio", "provider": pk})
		got := e.want(200, "GET", fmt.Sprintf("providers/oauth2/%v/preview_user/?for_user=%d%s", pk, e.plainPK, c.query), nil)
		e.fits(got, "PropertyMappingPreview")
		if got["preview"].(map[string]any)["sub"] != "plain" {
			t.Errorf("%s: %v", name, got["preview"])
		}
		warnings := got["warnings"].([]any)
		if c.field == "" {
			if len(warnings) > 0 {
				t.Errorf("%s: %v", name, warnings)
			}
			continue
		}
		if len(warnings) == 0 {
			t.Errorf("%s: no warning", name)
			continue
		}
		first := warnings[0].(map[string]any)
		if first["field"] != c.field || !strings.Contains(first["message"].(string), c.text) {
			t.Errorf("%s: %v, want %s: %s", name, first, c.field, c.text)
		}
	}
}

// A client that is no MinIO gets no advice about policies.
func TestPreviewOfOtherClients(t *testing.T) {
	e := open(t)
	pk := e.want(201, "POST", "providers/oauth2/", e.flows().with(map[string]any{"name": "Wiki", "client_id": "wiki", "redirect_uris": []any{}}))["pk"]
	got := e.want(200, "GET", fmt.Sprintf("providers/oauth2/%v/preview_user/", pk), nil)
	if w := got["warnings"].([]any); len(w) != 0 {
		t.Errorf("%v", w)
	}
}
