package api_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// Look is how the tests' tenants look: as the directory says, and nothing from memory.
func (e *env) Look(ctx context.Context, t *core.Tenant, host string) core.Look {
	brands, err := e.db.Brands(ctx, t.ID)
	e.must(err)
	settings, err := e.db.Settings(ctx, t.ID)
	e.must(err)
	return core.NewLook(t, host, brands, settings)
}

// What Terraform does with the resource authentik_brand: all fields by PUT, then a GET that
// is compared; and with more than one that is the default.
func TestTerraformBrand(t *testing.T) {
	e := open(t)
	flow := func(slug string) any {
		return e.want(200, "GET", "flows/instances/?slug="+slug, nil)["results"].([]any)[0].(map[string]any)["pk"]
	}
	pair := e.want(200, "POST", "crypto/certificatekeypairs/generate/", map[string]any{"common_name": "pair", "validity_days": 1})["pk"]
	app := e.want(201, "POST", "core/applications/", map[string]any{"name": "app", "slug": "app"})["pk"]
	// Those of the provider's own example, with its defaults.
	wanted := map[string]any{
		"domain": ".", "default": true, "branding_title": "test", "branding_logo": "", "branding_favicon": "", "branding_custom_css": "",
		"branding_default_flow_background": "/static/dist/assets/images/flow_background.jpg", "attributes": map[string]any{},
		"flow_authentication": "", "flow_invalidation": "", "flow_recovery": "", "flow_unenrollment": "", "flow_user_settings": "", "flow_device_code": "",
		"web_certificate": "", "default_application": "", "client_certificates": []any{},
	}
	shown := maps.Clone(wanted)
	for _, name := range []string{"flow_authentication", "flow_invalidation", "flow_recovery", "flow_unenrollment", "flow_user_settings", "flow_device_code", "web_certificate", "default_application"} {
		shown[name] = nil // Terraform takes null for ""
	}
	e.now = e.now.Add(time.Minute) // the first brand is older
	one := &terraform{env: e, path: "core/brands/", shape: "Brand", key: "brand_uuid"}
	one.id = e.want(201, "POST", one.path, wanted)["brand_uuid"].(string)
	one.plan(shown)
	wanted = map[string]any{
		"domain": "Shop.example.com", "default": true, "branding_title": "Shop", "branding_logo": "https://cdn.example.com/logo.png", "branding_favicon": "fa://fa-user",
		"branding_custom_css": ".card { border-radius: 0 }\n", "branding_default_flow_background": "/b.jpg",
		"attributes":          map[string]any{"settings": map[string]any{"theme": map[string]any{"base": "dark", "primary": "#0f766e"}, "locale": "de"}, "n": 1.5},
		"flow_authentication": flow("default-authentication-flow"), "flow_invalidation": flow("default-invalidation-flow"), "flow_recovery": nil,
		"flow_unenrollment": nil, "flow_user_settings": flow("default-user-settings-flow"), "flow_device_code": nil,
		"web_certificate": pair, "default_application": app, "client_certificates": []any{pair},
	}
	one.apply(wanted)
	two := &terraform{env: e, path: "core/brands/", shape: "Brand", key: "brand_uuid"}
	two.apply(map[string]any{"domain": "b.test", "default": true, "branding_title": "B"})
	if got := fmt.Sprint(e.names("core/brands/?default=true", "domain")); got != "[b.test]" {
		t.Errorf("default ones: %s", got)
	}
	wanted["default"] = false
	one.apply(wanted)
	two.destroy()
	if got := fmt.Sprint(e.names("core/brands/?default=true", "domain")); got != "[authentik-default]" {
		t.Errorf("default ones after all: %s", got)
	}
	one.destroy()
	last := e.names("core/brands/", "brand_uuid")[0]
	if a := e.send(e.root, "DELETE", "core/brands/"+last+"/", nil); a.status != 409 || !strings.Contains(string(a.body), "only brand") {
		t.Errorf("the last one: %d %s", a.status, a.body)
	}
	e.refused("PATCH", "core/brands/"+last+"/", map[string]any{"default": false}, "default", "there is no other one")
	if a := e.send(e.root, "PUT", "core/brands/"+last+"/", map[string]any{"domain": "authentik-default", "default": true}); a.status != 200 {
		t.Errorf("an import that changes nothing: %d %s", a.status, a.body)
	}
}

func TestBrandRefusals(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/brands/", map[string]any{"domain": "a.test"})
	const none = "01990000-0000-7000-8000-000000000000"
	for _, v := range []struct {
		field string
		value any
		text  string
	}{
		{"domain", "", "blank"}, {"domain", "https://a.test", "host name"}, {"domain", "a.test:80", "host name"}, {"domain", "*.a.test", "host name"},
		{"domain", "A.test", "already exists"}, {"domain", strings.Repeat("a", 254), "253"},
		{"branding_title", "a\nb", "Control"}, {"branding_title", strings.Repeat("a", 256), "255"},
		{"branding_logo", "javascript:alert(1)", "not allowed"}, {"branding_logo", "data:text/html,x", "not allowed"}, {"branding_favicon", "//evil.test/x", "https://"},
		{"branding_favicon", "/a/../b", "path"}, {"branding_default_flow_background", "/a\\b", "path"}, {"branding_logo", "/" + strings.Repeat("a", 2048), "2048"},
		{"branding_custom_css", "a { background: url(https://evil.test) }", "may load nothing"}, {"branding_custom_css", strings.Repeat("a", core.MaxCSS+1), "no more than"},
		{"flow_authentication", none, "does not exist"}, {"flow_authentication", "x", "valid UUID"}, {"flow_recovery", none, "does not exist"},
		{"default_application", none, "does not exist"}, {"web_certificate", none, "does not exist"}, {"client_certificates", []string{none}, "does not exist"},
		{"attributes", []any{}, "dictionary"}, {"attributes", map[string]any{"settings": map[string]any{"theme": map[string]any{"primary": "red"}}}, "#0f766e"},
		{"default", "perhaps", "boolean"},
	} {
		body := map[string]any{"domain": "b.test", v.field: v.value}
		e.lenient = true
		e.refused("POST", "core/brands/", body, v.field, v.text)
		e.lenient = false
	}
	e.refused("POST", "core/brands/", map[string]any{}, "domain", "required")
	e.refused("POST", "core/brands/", map[string]any{"domain": "b.test", "flow_authentication": e.flows().invalidation}, "flow_authentication", "is for invalidation")
	if got := e.names("core/brands/", "domain"); fmt.Sprint(got) != "[a.test authentik-default]" {
		t.Errorf("left: %v", got)
	}
}

// What pages show, anybody may know, and no more; the nearest brand counts.
func TestCurrentBrand(t *testing.T) {
	e := open(t)
	is := func(host, domain, title string) map[string]any {
		t.Helper()
		r := e.request("GET", "core/brands/current/", nil)
		core.Request(r.Context()).Host = host
		a := e.serve(r)
		got := a.object(t)
		e.fits(got, "CurrentBrand")
		if a.status != 200 || got["matched_domain"] != domain || got["branding_title"] != title {
			t.Errorf("%s: %d %s", host, a.status, a.body)
		}
		if _, there := got["attributes"]; there {
			t.Errorf("attributes are open to all: %v", got)
		}
		return got
	}
	got := is("auth.test:9080", "authentik-default", "Postern")
	if got["ui_theme"] != "automatic" || got["flow_authentication"] != "default-authentication-flow" || got["branding_logo"] != "/-/static/logo.svg" {
		t.Errorf("at the beginning: %v", got)
	}
	e.want(201, "POST", "core/brands/", map[string]any{
		"domain": "auth.test", "branding_title": "Ours", "branding_logo": "/static/dist/assets/icons/icon_left_brand.svg", "branding_favicon": "/f.ico",
		"attributes": map[string]any{"secret": "canary", "settings": map[string]any{"locale": "de", "theme": map[string]any{"base": "light"}}},
	})
	got = is("x.auth.test", "auth.test", "Ours")
	if got["ui_theme"] != "light" || got["default_locale"] != "de" || got["branding_favicon"] != "/f.ico" || got["branding_logo"] != "/-/static/logo.svg" || got["flow_authentication"] != nil {
		t.Errorf("ours: %v", got)
	}
	is("auth.test.evil", "authentik-default", "Postern")
	e.want(200, "PATCH", "admin/settings/", map[string]any{"footer_links": []any{map[string]any{"name": "Imprint", "href": "/imprint"}, map[string]any{"name": "Text", "href": nil}}})
	if links := fmt.Sprint(is("auth.test", "auth.test", "Ours")["ui_footer_links"]); links != "[map[href:/imprint name:Imprint] map[href: name:Text]]" {
		t.Errorf("links: %s", links)
	}
}

// rights on brands are told apart, and nobody gets CSS into pages who is no superuser.
func TestBrandRights(t *testing.T) {
	e := open(t)
	one := e.want(201, "POST", "core/brands/", map[string]any{"domain": "one.test", "branding_custom_css": "a {}"})["brand_uuid"].(string)
	two := e.want(201, "POST", "core/brands/", map[string]any{"domain": "two.test"})["brand_uuid"].(string)
	role := e.role("r")
	_, clerk := e.person("clerk", e.groupWith("clerks", role))
	is := func(status int, method, path string, body any) string {
		t.Helper()
		a := e.send(clerk, method, "core/brands/"+path, body)
		if a.status != status {
			t.Errorf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
		}
		return string(a.body)
	}
	is(403, "GET", "", nil)
	e.giveOn(role, "authentik_brands.brand", one, "authentik_brands.view_brand", "authentik_brands.change_brand")
	if list := is(200, "GET", "", nil); !strings.Contains(list, "one.test") || strings.Contains(list, "two.test") {
		t.Errorf("the list: %s", list)
	}
	is(200, "PATCH", one+"/", map[string]any{"branding_title": "New", "branding_custom_css": "a {}"})
	is(404, "PATCH", two+"/", map[string]any{"branding_title": "New"})
	is(403, "DELETE", one+"/", nil)
	is(403, "POST", "", map[string]any{"domain": "x.test"})
	for field, value := range map[string]any{"branding_custom_css": "b {}", "domain": "other.test", "default": true} {
		if got := is(400, "PATCH", one+"/", map[string]any{field: value}); !strings.Contains(got, field) {
			t.Errorf("%s: %s", field, got)
		}
	}
	// What a mapping may give to applications is not theirs to give; how pages look is.
	e.want(200, "PATCH", "core/brands/"+one+"/", map[string]any{"attributes": map[string]any{"policy": "readonly", "n": 1.5}})
	colour := map[string]any{"locale": "de"}
	is(200, "PATCH", one+"/", map[string]any{"attributes": map[string]any{"policy": "readonly", "n": 1.5, "settings": colour}})
	for _, all := range []map[string]any{{"policy": "consoleAdmin", "n": 1.5}, {}, {"policy": "readonly", "n": 1.5, "more": nil}} {
		if got := is(400, "PATCH", one+"/", map[string]any{"attributes": all}); !strings.Contains(got, "Only a superuser can change what is beside settings") {
			t.Errorf("%v: %s", all, got)
		}
	}
	e.permit(role, "authentik_brands.add_brand")
	if got := is(400, "POST", "", map[string]any{"domain": "x.test", "default": true}); !strings.Contains(got, "default") {
		t.Errorf("a new default: %s", got)
	}
	is(201, "POST", "", map[string]any{"domain": "x.test"})
	e.permit(role, "authentik_brands.change_brand", "authentik_brands.view_brand", "authentik_brands.add_brand")
	is(200, "PATCH", two+"/", map[string]any{"default": true, "domain": "other.test"})
	is(400, "PATCH", two+"/", map[string]any{"branding_custom_css": "b {}"})
	is(400, "POST", "", map[string]any{"domain": "x.test", "branding_custom_css": "b {}"})
	e.want(200, "PATCH", "core/brands/"+two+"/", map[string]any{"branding_custom_css": "b {}"}) // control: a superuser may
	is(200, "PATCH", two+"/", map[string]any{"branding_custom_css": "b {}", "branding_title": "T"})
}
