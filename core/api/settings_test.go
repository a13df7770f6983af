package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// What Terraform does with the resource authentik_system_settings: all of them by PUT, then
// a GET that is compared.
func TestTerraformSettings(t *testing.T) {
	e := open(t)
	first := e.want(200, "GET", "admin/settings/", nil)
	e.fits(first, "Settings")
	for name, value := range map[string]any{
		"avatars": "gravatar,initials", "default_user_change_name": true, "default_user_change_email": false, "default_user_change_username": false,
		"event_retention": "days=365", "gdpr_compliance": true, "impersonation": true, "impersonation_require_reason": true,
		"default_token_duration": "days=1", "default_token_length": 60, "reputation_lower_limit": -5, "reputation_upper_limit": 5,
		"pagination_default_page_size": 100, "pagination_max_page_size": 500, "footer_links": []any{}, "flags": map[string]any{},
	} {
		if !same(name, value, first[name]) {
			t.Errorf("at the beginning %s is %v, want %v", name, first[name], value)
		}
	}
	wanted := map[string]any{
		"avatars": "initials", "default_user_change_name": false, "default_user_change_email": true, "default_user_change_username": true,
		"event_retention": "days=30", "footer_links": []any{map[string]any{"name": "Imprint", "href": "https://example.com/imprint"}}, "gdpr_compliance": false,
		"impersonation": false, "default_token_duration": "minutes=30", "default_token_length": 80, "reputation_lower_limit": -9, "reputation_upper_limit": 9,
		"pagination_default_page_size": 20, "pagination_max_page_size": 100, "flags": map[string]any{"policies_buffered_access_view": false},
	}
	plan := func(what string, is map[string]any) {
		t.Helper()
		e.fits(is, "Settings")
		for name, value := range wanted {
			if !same(name, value, is[name]) {
				t.Errorf("%s: %s is %v, wanted %v", what, name, is[name], value)
			}
		}
	}
	plan("PUT", e.want(200, "PUT", "admin/settings/", wanted))
	plan("GET", e.want(200, "GET", "admin/settings/", nil))
	wanted["avatars"] = "none"
	plan("PATCH", e.want(200, "PATCH", "admin/settings/", map[string]any{"avatars": "none"}))
	e.want(200, "PUT", "admin/settings/", map[string]any{"footer_links": nil}) // the provider of 2025.2 sends null
	wanted["footer_links"] = []any{}
	plan("PUT of one", e.want(200, "GET", "admin/settings/", nil))
}

func TestSettingsRefusals(t *testing.T) {
	e := open(t)
	e.lenient = true
	link := func(name, href any) []any { return []any{map[string]any{"name": name, "href": href}} }
	for _, v := range []struct {
		field string
		value any
		text  string
	}{
		{"event_retention", "minutes=1", "too short"}, {"event_retention", "often", "not a duration"}, {"default_token_duration", "days=0", "too short"},
		{"default_token_length", 0, "greater than or equal to 1"}, {"default_token_length", 256, "less than or equal to 255"}, {"default_token_length", "x", "integer"},
		{"reputation_lower_limit", 1, "less than or equal to 0"}, {"reputation_upper_limit", -1, "greater than or equal to 0"},
		{"pagination_default_page_size", -1, "greater than or equal to 0"}, {"footer_links", "x", "list"}, {"footer_links", []any{"x"}, "Link 1"},
		{"footer_links", link("x", "javascript:alert(1)"), "href must"}, {"footer_links", link("x", "//evil.test"), "href must"}, {"footer_links", link("x", "mailto:nobody"), "href must"},
		{"footer_links", link("", "/"), "Link 1"}, {"footer_links", link("a\nb", "/"), "Link 1"}, {"footer_links", make([]any, 51), "no more than 50"},
		{"flags", []any{}, "dictionary"}, {"gdpr_compliance", "perhaps", "boolean"},
	} {
		e.refused("PUT", "admin/settings/", map[string]any{v.field: v.value, "avatars": "changed"}, v.field, v.text)
	}
	if got := e.want(200, "GET", "admin/settings/", nil)["avatars"]; got != "gravatar,initials" {
		t.Errorf("half of it was kept: %v", got)
	}
	e.want(200, "PATCH", "admin/settings/", map[string]any{"footer_links": link("Write to us", "mailto:help@example.com")})
}

// Whoever may change settings, and no more, does not erase the audit log with them.
func TestRetentionIsShortenedBySuperusers(t *testing.T) {
	e := open(t)
	role := e.role("r")
	_, clerk := e.person("clerk", e.groupWith("clerks", role))
	e.permit(role, "authentik_rbac.edit_system_settings", "authentik_rbac.view_system_settings")
	try := func(status int, body map[string]any) {
		t.Helper()
		if a := e.send(clerk, "PATCH", "admin/settings/", body); a.status != status || status != 200 && !strings.Contains(string(a.body), "event_retention") {
			t.Errorf("%v: %d %s, want %d", body, a.status, a.body, status)
		}
	}
	try(400, map[string]any{"event_retention": "hours=1", "avatars": "none"})
	if is := e.want(200, "GET", "admin/settings/", nil); is["event_retention"] != "days=365" || is["avatars"] == "none" {
		t.Errorf("refused, and changed: %v", is)
	}
	try(200, map[string]any{"event_retention": "days=365", "avatars": "none"})
	try(200, map[string]any{"event_retention": "days=400"})
	e.want(200, "PATCH", "admin/settings/", map[string]any{"event_retention": "days=30"})
	told := false
	for i := range e.events.list {
		told = told || strings.Contains(e.events.list[i].Message, "event_retention days=30 instead of days=400")
	}
	if !told {
		t.Error("the audit log does not tell what was changed")
	}
}

// What a setting means, it does from the next request on.
func TestSettingsMatter(t *testing.T) {
	e := open(t)
	made := func(identifier string) (key string, life time.Duration) {
		t.Helper()
		expires, err := time.Parse(time.RFC3339Nano, e.want(201, "POST", "core/tokens/", map[string]any{"identifier": identifier})["expires"].(string))
		e.must(err)
		return e.want(200, "GET", "core/tokens/"+identifier+"/view_key/", nil)["key"].(string), expires.Sub(e.now)
	}
	if key, life := made("before"); len(key) != 60 || life != 24*time.Hour {
		t.Errorf("at the beginning: %d characters, %s", len(key), life)
	}
	e.want(200, "PATCH", "admin/settings/", map[string]any{"default_token_length": 90, "default_token_duration": "minutes=30"})
	if key, life := made("after"); len(key) != 90 || life != 30*time.Minute {
		t.Errorf("after: %d characters, %s", len(key), life)
	}
	e.want(200, "PATCH", "admin/settings/", map[string]any{"default_token_length": 1})
	if key, _ := made("short"); len(key) != 20 {
		t.Errorf("a key that could be guessed: %d characters", len(key))
	}
	size := func(query string) string {
		t.Helper()
		p := e.want(200, "GET", "flows/instances/"+query, nil)["pagination"].(map[string]any)
		return fmt.Sprint(p["end_index"], p["total_pages"])
	}
	for _, v := range []struct {
		preset, most int
		query, want  string
	}{
		{2, 5, "", "2 6"}, {2, 5, "?page_size=4", "4 3"}, {2, 5, "?page_size=9", "5 3"}, {9, 5, "", "5 3"}, {0, 0, "", "11 1"}, {900, 900, "", "11 1"},
	} {
		e.want(200, "PATCH", "admin/settings/", map[string]any{"pagination_default_page_size": v.preset, "pagination_max_page_size": v.most})
		if got := strings.ReplaceAll(size(v.query), "  ", " "); got != v.want {
			t.Errorf("%+v: %s", v, got)
		}
	}
	told := 0
	for i := range e.events.list {
		if ev := e.events.list[i]; ev.Action == core.EventModelUpdated && ev.Message == "Tenant settings" {
			told++
		}
	}
	if told < 3 {
		t.Errorf("the audit log tells of %d changes", told)
	}
}
