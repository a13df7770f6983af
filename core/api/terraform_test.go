package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// terraform plays what the Terraform provider does with one resource: create is
// POST and then GET, refresh is GET, update is PUT and then GET, destroy is DELETE.
// It plans again after each change, and fails where the plan would not be empty:
// where GET does not say what was sent.
type terraform struct {
	*env
	path, shape, key string
	id               string
}

func (tf *terraform) apply(body map[string]any) map[string]any {
	tf.Helper()
	method, path, status := "POST", tf.path, 201
	if tf.id != "" {
		method, path, status = "PUT", tf.path+tf.id+"/", 200
	}
	changed := tf.want(status, method, path, body)
	tf.fits(changed, tf.shape)
	tf.id = fmt.Sprint(changed[tf.key])
	return tf.plan(body)
}

// plan reads the object and compares it with what is wanted, as the provider does.
func (tf *terraform) plan(wanted map[string]any) map[string]any {
	tf.Helper()
	is := tf.want(200, "GET", tf.path+tf.id+"/", nil)
	tf.fits(is, tf.shape)
	for name, value := range wanted {
		if !same(name, value, is[name]) {
			tf.Errorf("%s%s: plan is not empty: %s is %v, wanted %v", tf.path, tf.id, name, is[name], value)
		}
	}
	return is
}

func (tf *terraform) destroy() {
	tf.Helper()
	tf.want(204, "DELETE", tf.path+tf.id+"/", nil)
	a := tf.send(tf.root, "GET", tf.path+tf.id+"/", nil)
	if a.status != 404 || !strings.Contains(string(a.body), "matches the given query.") {
		tf.Errorf("GET after DELETE: %d %s", a.status, a.body)
	}
}

// same compares as the provider does: one newline at an expression's end and the
// order of a set do not count.
func same(name string, wanted, is any) bool {
	data, _ := json.Marshal(wanted)
	var w any
	_ = json.Unmarshal(data, &w)
	if name == "expression" {
		text, _ := w.(string)
		return is == text || is == strings.TrimSuffix(text, "\n")
	}
	a, isList := w.([]any)
	b, alsoList := is.([]any)
	if isList && alsoList && name != "redirect_uris" {
		if len(a) != len(b) {
			return false
		}
		count := map[string]int{}
		for i := range a {
			count[fmt.Sprint(a[i])]++
			count[fmt.Sprint(b[i])]--
		}
		for _, n := range count {
			if n != 0 {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(w, is)
}

// data finds one object by a filter, as a data source does: the first result wins,
// and every result must pass the filter.
func (e *env) data(path, filter, value, shape string) map[string]any {
	e.Helper()
	list := e.want(200, "GET", path+"?"+url.Values{filter: {value}}.Encode(), nil)
	e.fitsList(list, shape)
	rows := list["results"].([]any)
	if len(rows) != 1 || rows[0].(map[string]any)[filter] != value {
		e.Fatalf("%s?%s=%s: %v", path, filter, value, rows)
	}
	return rows[0].(map[string]any)
}

// TestTerraform plays plan, apply, plan, update, import and destroy of an OAuth2
// client with a mapping of its own and an application: once with the values that
// were recorded, then with others.
func TestTerraform(t *testing.T) {
	type values struct {
		name, secret, expression, changed, host string
		newTab                                  bool
		subMode                                 string
	}
	runs := []values{
		{"minio", "minio-secret-0123456789", "return {\n  \"policy\": \"readwrite\",\n}\n", "return {\n  \"policy\": [\"readwrite\",\"diagnostics\"],\n}\n", "minio.apps.example.test", true, "user_username"},
	}
	for range 3 {
		r := func() string { return strings.ToLower(core.RandomAlphanumeric(9)) }
		runs = append(runs, values{r(), r() + r() + "~!$%&'()*+,;=", "# " + r() + " ü\n\n\treturn {'" + r() + "': 1}\n", "return {}", r() + ".example.org:8443", false, "hashed_user_id"})
	}
	for _, v := range runs {
		t.Run(v.name, func(t *testing.T) {
			e := open(t)
			e.fits(e.want(200, "GET", "root/config/", nil), "Config")
			pair := e.data("crypto/certificatekeypairs/", "name", core.SelfSignedKeyPair, "CertificateKeyPair")
			consent := e.data("flows/instances/", "slug", core.FlowImplicitConsent, "Flow")
			invalidation := e.data("flows/instances/", "slug", core.FlowProviderInvalidation, "Flow")
			var mappings []any
			for _, scope := range []string{"openid", "email", "profile"} {
				m := e.data("propertymappings/provider/scope/", "managed", "goauthentik.io/providers/oauth2/scope-"+scope, "ScopeMapping")
				mappings = append(mappings, m["pk"])
			}
			for _, text := range []string{"certificate", "private_key"} {
				pem := e.want(200, "GET", fmt.Sprintf("crypto/certificatekeypairs/%s/view_%s/", pair["pk"], text), nil)
				e.fits(pem, "CertificateData")
				if !strings.HasPrefix(pem["data"].(string), "-----BEGIN ") {
					t.Errorf("view_%s: %v", text, pem)
				}
			}

			scope := &terraform{env: e, path: "propertymappings/provider/scope/", shape: "ScopeMapping", key: "pk"}
			mapping := map[string]any{"expression": v.expression, "name": v.name, "scope_name": v.name}
			mappings = append(mappings, scope.apply(mapping)["pk"])

			provider := &terraform{env: e, path: "providers/oauth2/", shape: "OAuth2Provider", key: "pk"}
			client := map[string]any{
				"access_code_validity": "minutes=1", "access_token_validity": "minutes=10", "authentication_flow": nil,
				"authorization_flow": consent["pk"], "client_id": v.name, "client_secret": v.secret, "client_type": "confidential",
				"encryption_key": nil, "include_claims_in_id_token": true, "invalidation_flow": invalidation["pk"],
				"issuer_mode": "per_provider", "jwt_federation_providers": []int{}, "jwt_federation_sources": []string{},
				"logout_method": "backchannel", "name": "P " + v.name, "property_mappings": mappings,
				"redirect_uris":           []any{map[string]any{"matching_mode": "strict", "url": "https://" + v.host + "/oauth_callback"}},
				"refresh_token_threshold": "seconds=0", "refresh_token_validity": "days=30", "signing_key": pair["pk"], "sub_mode": v.subMode,
			}
			pk := provider.apply(client)["pk"]

			application := &terraform{env: e, path: "core/applications/", shape: "Application", key: "slug"}
			app := map[string]any{
				"backchannel_providers": []int{}, "meta_icon": "https://" + v.host + "/logo.svg", "meta_launch_url": "https://" + v.host,
				"name": "App " + v.name, "open_in_new_tab": v.newTab, "policy_engine_mode": "any", "provider": pk, "slug": v.name,
			}
			shown := application.apply(app)
			if shown["launch_url"] != app["meta_launch_url"] || shown["meta_icon_url"] != app["meta_icon"] {
				t.Errorf("launch_url or meta_icon_url: %v", shown)
			}
			if got := provider.plan(client)["assigned_application_slug"]; got != v.name {
				t.Errorf("assigned_application_slug is %v", got)
			}

			// Update.
			mapping["expression"] = v.changed
			scope.apply(mapping)
			client["redirect_uris"] = append(client["redirect_uris"].([]any), map[string]any{"matching_mode": "regex", "url": `http://127\.0\.0\.1:.*/oauth_callback`})
			provider.apply(client)

			// Import: by number, and by slug.
			(&terraform{env: e, path: provider.path, shape: provider.shape, id: fmt.Sprint(pk)}).plan(client)
			(&terraform{env: e, path: application.path, shape: application.shape, id: v.name}).plan(app)

			application.destroy()
			provider.destroy()
			scope.destroy()
		})
	}
}

// TestTerraformOthers plays the other resources.
func TestTerraformOthers(t *testing.T) {
	e := open(t)
	consent := e.data("flows/instances/", "slug", core.FlowExplicitConsent, "Flow")["pk"]
	invalidation := e.data("flows/instances/", "slug", core.FlowProviderInvalidation, "Flow")["pk"]
	list := e.want(200, "GET", "propertymappings/provider/scope/?managed=goauthentik.io%2Fproviders%2Foauth2%2Fscope-openid&managed=goauthentik.io%2Fproviders%2Foauth2%2Fscope-email", nil)
	e.fitsList(list, "ScopeMapping")
	if n := len(list["results"].([]any)); n != 2 {
		t.Errorf("two managed names found %d mappings", n)
	}

	group := &terraform{env: e, path: "core/groups/", shape: "Group", key: "pk"}
	wanted := map[string]any{"attributes": map[string]any{"quota": 5, "big": json.Number("12345678901234567")}, "is_superuser": false, "name": "staff", "parents": []string{}, "roles": []string{}, "users": []int{}}
	staff := group.apply(wanted)
	raw := e.send(e.root, "GET", "core/groups/"+group.id+"/?include_children=false&include_inherited_roles=false&include_parents=false&include_users=false", nil)
	slim := raw.object(t)
	e.fits(slim, "Group")
	if slim["users_obj"] != nil || slim["children_obj"] != nil || slim["parents_obj"] != nil {
		t.Errorf("what was not asked for is there: %v", slim)
	}
	if !strings.Contains(string(raw.body), "12345678901234567") {
		t.Errorf("a large number lost its digits: %s", raw.body)
	}

	proxy := &terraform{env: e, path: "providers/proxy/", shape: "ProxyProvider", key: "pk"}
	number := proxy.apply(map[string]any{
		"access_token_validity": "minutes=10", "authentication_flow": nil, "authorization_flow": consent, "external_host": "https://app.example.test",
		"intercept_header_auth": true, "internal_host_ssl_validation": true, "invalidation_flow": invalidation, "jwt_federation_providers": []int{},
		"jwt_federation_sources": []string{}, "mode": "forward_single", "name": "fa", "property_mappings": []string{}, "refresh_token_validity": "days=30",
	})["pk"]

	user := &terraform{env: e, path: "core/users/", shape: "User", key: "pk"}
	alice := user.apply(map[string]any{
		"attributes": map[string]any{}, "email": "alice@example.com", "groups": []any{staff["pk"]}, "is_active": true, "name": "Alice",
		"path": "users", "roles": []string{}, "type": "internal", "username": "alice",
	})
	e.want(204, "POST", "core/users/"+user.id+"/set_password/", map[string]any{"password": " hunter2hunter2 "})
	if got := e.passwords.of[core.UserID(alice["uuid"].(string))]; got != " hunter2hunter2 " {
		t.Errorf("the password was kept as %q", got)
	}

	application := &terraform{env: e, path: "core/applications/", shape: "Application", key: "slug"}
	application.apply(map[string]any{"backchannel_providers": []int{}, "name": "fa", "open_in_new_tab": false, "policy_engine_mode": "any", "provider": number, "slug": "fa"})

	token := &terraform{env: e, path: "core/tokens/", shape: "Token", key: "identifier"}
	token.apply(map[string]any{"expiring": true, "identifier": "svc", "intent": "api", "user": alice["pk"]})
	key := e.want(200, "GET", "core/tokens/svc/view_key/", nil)
	e.fits(key, "TokenView")
	if len(key["key"].(string)) != 60 {
		t.Errorf("the key is %d characters long", len(key["key"].(string)))
	}
	e.fits(e.send(key["key"].(string), "GET", "core/users/me/", nil).object(t), "SessionUser")

	for kind, extra := range map[string]map[string]any{
		"saml": {"saml_name": "urn:oid:1.2", "friendly_name": nil}, "scim": {},
	} {
		m := &terraform{env: e, path: "propertymappings/provider/" + kind + "/", shape: strings.ToUpper(kind) + map[string]string{"saml": "PropertyMapping", "scim": "Mapping"}[kind], key: "pk"}
		body := map[string]any{"name": "own " + kind, "expression": "return 1"}
		for k, v := range extra {
			body[k] = v
		}
		m.apply(body)
		body["expression"] = "return 2"
		m.apply(body)
		m.destroy()
	}

	wanted["users"] = []any{alice["pk"]}
	group.apply(wanted)
	token.destroy()
	user.destroy()
	group.destroy()
	application.destroy()
	proxy.destroy()
}
