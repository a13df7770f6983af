package api_test

import (
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/keys"
)

// TestRefusals: every wrong value is refused under its field's name, in words that
// help, and nothing is saved.
func TestRefusals(t *testing.T) {
	e := open(t)
	flows := e.flows()
	ec := e.want(200, "POST", "crypto/certificatekeypairs/generate/", map[string]any{"common_name": "ec", "validity_days": 1, "alg": "ecdsa"})["pk"]
	public := e.want(200, "GET", fmt.Sprintf("crypto/certificatekeypairs/%v/view_certificate/", ec), nil)["data"]
	certificate := e.want(201, "POST", "crypto/certificatekeypairs/", map[string]any{"name": "certificate only", "certificate_data": public})["pk"]
	saml := e.want(201, "POST", "propertymappings/provider/saml/", map[string]any{"name": "s", "saml_name": "s", "expression": "return 1"})["pk"]
	taken := e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "taken", "client_id": "taken", "redirect_uris": []any{}}))["pk"]
	e.want(201, "POST", "core/applications/", map[string]any{"name": "taken", "slug": "taken", "provider": taken})
	const absent = "00000000-0000-7000-8000-000000000000"
	uri := func(mode, url string) map[string]any {
		return map[string]any{"redirect_uris": []any{map[string]any{"matching_mode": mode, "url": url}}}
	}
	type row struct {
		path  string
		base  map[string]any
		body  map[string]any
		field string
		text  string
	}
	var rows []row
	under := func(path string, base map[string]any, list ...row) {
		for _, r := range list {
			r.path, r.base = path, base
			rows = append(rows, r)
		}
	}
	is := func(field string, value any, text string) row {
		return row{body: map[string]any{field: value}, field: field, text: text}
	}
	under("providers/oauth2/", flows.with(map[string]any{"name": "new", "redirect_uris": []any{}}),
		is("name", nil, "may not be null"), is("name", " ", "may not be blank"), is("name", []int{1}, "Not a valid string."), is("name", true, "Not a valid string."),
		is("name", "taken", "OAuth2/OpenID Provider with this name already exists."), is("client_id", "taken", "OAuth2/OpenID Provider with this client id already exists."),
		is("client_id", strings.Repeat("x", 256), "no more than 255"), is("client_id", "a b", "printable ASCII"), is("client_id", "", "blank"), is("client_id", "ü", "printable"),
		is("client_secret", strings.Repeat("x", 256), "no more than 255"), is("client_type", "secret", `"secret" is not a valid choice.`), is("client_type", nil, "null"),
		is("authorization_flow", absent, `Invalid pk "`+absent+`" - object does not exist.`), is("authorization_flow", "x", "Must be a valid UUID."), is("authorization_flow", nil, "null"),
		is("authorization_flow", flows.invalidation, "is for invalidation"), is("invalidation_flow", flows.authorization, "is for authorization"), is("authentication_flow", flows.authorization, "for authentication"),
		is("property_mappings", []string{absent}, "object does not exist"), is("property_mappings", []string{"x"}, "valid UUID"), is("property_mappings", "x", "Expected a list"), is("property_mappings", []any{saml}, "scope mappings"),
		is("signing_key", absent, "object does not exist"), is("signing_key", certificate, "no private key"), is("signing_key", 5, "valid UUID"),
		is("encryption_key", absent, "object does not exist"), is("encryption_key", ec, "type rsa"),
		is("access_code_validity", "10 minutes", "minutes=10"), is("access_token_validity", "minutes=0", "too short"), is("refresh_token_validity", "days=-1", "too short"), is("refresh_token_threshold", "fortnights=1", "fortnights=1"),
		is("access_token_validity", "", "blank"), is("access_token_validity", "weeks=999999", "100 years"),
		is("sub_mode", "x", "not a valid choice"), is("issuer_mode", "x", "not a valid choice"), is("include_claims_in_id_token", "perhaps", "valid boolean"), is("include_claims_in_id_token", nil, "null"),
		is("logout_uri", "javascript:alert(1)", "valid URL"), is("logout_method", "x", "not a valid choice"), is("jwt_federation_sources", []string{absent}, "does not exist"), is("jwt_federation_providers", []int{99}, `Invalid pk "99"`),
		is("jwt_federation_providers", []string{"a"}, "Expected pk value"), is("redirect_uris", nil, "null"), is("redirect_uris", []any{"https://a.test"}, "Item 1"), is("redirect_uris", []any{map[string]any{"url": "https://a.test"}}, "matching_mode: This field is required."),
		row{body: uri("prefix", "https://a.test"), field: "redirect_uris", text: "not a valid choice"}, row{body: uri("strict", "/callback"), field: "redirect_uris", text: "absolute URI"},
		row{body: uri("strict", "*"), field: "redirect_uris", text: "absolute URI"}, row{body: uri("strict", "https://"), field: "redirect_uris", text: "host"}, row{body: uri("strict", "https://a.test/#x"), field: "redirect_uris", text: "fragment"},
		row{body: uri("strict", "https://a.test/a b"), field: "redirect_uris", text: "spaces"}, row{body: uri("strict", `https://a.test\@b.test`), field: "redirect_uris", text: "backslashes"}, row{body: uri("strict", "https://u@a.test/"), field: "redirect_uris", text: "user name"},
		row{body: uri("regex", "https://("), field: "redirect_uris", text: "Invalid Regex Pattern: https://("}, row{body: uri("regex", "a)|(b"), field: "redirect_uris", text: "Invalid Regex Pattern"}, row{body: uri("regex", `(a){1001}`), field: "redirect_uris", text: "Invalid Regex"},
		row{body: uri("strict", "https://a.test/"+strings.Repeat("x", 2048)), field: "redirect_uris", text: "2048"},
	)
	under("providers/proxy/", flows.with(map[string]any{"name": "new", "external_host": "https://a.test", "mode": "forward_single"}),
		is("external_host", nil, "null"), is("external_host", "a.test", "https://app.example.com"), is("external_host", "ftp://a.test", "http or https"), is("external_host", "https://a.test/?x=1", "at most a path"),
		is("external_host", "https://u:p@a.test", "at most a path"), is("external_host", "https://a..test", "host name"), is("mode", "x", "not a valid choice"), is("mode", "proxy", ""), is("internal_host", "nonsense", "valid URL"),
		is("skip_path_regex", "^/a$\n(", "Line 2"), is("certificate", absent, "does not exist"), is("basic_auth_enabled", true, "must be set"), is("access_token_validity", "x", "minutes=10"),
		row{body: map[string]any{"mode": "proxy"}, field: "internal_host", text: "cannot be empty"}, row{body: map[string]any{"mode": "forward_domain"}, field: "cookie_domain", text: "required"},
		row{body: map[string]any{"mode": "forward_domain", "cookie_domain": "b.test"}, field: "cookie_domain", text: "outside"}, row{body: map[string]any{"mode": "forward_domain", "cookie_domain": "test/x"}, field: "cookie_domain", text: "Enter a domain"},
		row{body: map[string]any{"mode": "forward_domain", "external_host": "https://evila.test", "cookie_domain": "a.test"}, field: "cookie_domain", text: "outside"},
	)
	under("core/applications/", map[string]any{"name": "new", "slug": "new"},
		is("name", "", "blank"), is("slug", "a b", "valid “slug”"), is("slug", "ä", "valid “slug”"), is("slug", "taken", "Application with this slug already exists."), is("slug", strings.Repeat("x", 256), "no more than 255"),
		is("slug", "authorize", "reserved"), is("slug", "Token", "reserved"), is("slug", "revoke", "reserved"), is("provider", 99, `Invalid pk "99" - object does not exist.`), is("provider", taken, "Application with this provider already exists."),
		is("provider", "x", "valid integer"), is("provider", 1.5, "valid integer"), is("backchannel_providers", []int{99}, "does not exist"), is("backchannel_providers", []any{taken}, "backchannel"), is("policy_engine_mode", "most", "not a valid choice"),
		// nothing that runs, or shows what somebody wrote as ours.
		is("meta_launch_url", "javascript:alert(1)", "valid URL"), is("meta_launch_url", "JaVaScRiPt:alert(1)", "valid URL"), is("meta_launch_url", "data:text/html,x", "valid URL"), is("meta_launch_url", "%(username)s", "valid URL"),
		is("meta_launch_url", "java\tscript:alert(1)", "Control characters"), is("meta_launch_url", "//evil.test", "valid URL"), is("meta_launch_url", "/path", "valid URL"),
		is("meta_icon", "javascript:alert(1)", "not allowed"), is("meta_icon", "data:text/html,<script>", "not allowed"), is("meta_icon", "https://a.test/ b.svg", "valid URL"), is("meta_icon", "https://", "valid URL"), is("meta_icon", "../../secret", "media file"), is("meta_icon", "//evil.test/x.svg", "media file"),
	)
	under("core/users/", map[string]any{"username": "new", "name": "New"},
		is("username", "", "blank"), is("username", strings.Repeat("x", 151), "no more than 150"), is("username", "ROOT", "This field must be unique."), is("username", "a\nb", "Control"), is("username", "a\x00b", "Null characters"),
		is("email", "nonsense", "valid email"), is("email", "a@evil.test@corp.test", "valid email"), is("email", "A <a@b.test>", "valid email"), is("email", "a@b.test\n", ""), is("path", "/a", "leading or trailing"), is("path", "a//b", "empty segments"),
		is("type", "robot", "not a valid choice"), is("type", "internal_service_account", "built-in"), is("groups", []string{absent}, "does not exist"), is("groups", []int{1}, "valid UUID"), is("attributes", []int{}, "dictionary"), is("attributes", "x", "dictionary"), is("attributes", nil, "null"),
		is("roles", []string{absent}, "object does not exist"), is("is_active", "perhaps", "valid boolean"),
	)
	under("core/groups/", map[string]any{"name": "new"},
		is("name", "test admins", "Group with this name already exists."), is("users", []int{999}, `Invalid pk "999"`), is("users", "x", "Expected a list"), is("parents", []string{absent}, "does not exist"), is("parent", absent, "does not exist"), is("parent", "x", "valid UUID"),
		is("attributes", []int{1}, "dictionary"), is("is_superuser", "x", "valid boolean"), is("roles", []string{absent}, "does not exist"),
	)
	under("core/tokens/", map[string]any{"identifier": "new"},
		is("identifier", "a b", "slug"), is("identifier", "of-root", "Token with this identifier already exists."), is("intent", "x", "not a valid choice"), is("user", 999, `Invalid pk "999"`), is("expires", "tomorrow", "wrong format"), is("expires", 5, "wrong format"),
	)
	under("propertymappings/provider/scope/", map[string]any{"name": "new", "scope_name": "new", "expression": "return {}"},
		is("expression", "oops(", "Expression Syntax Error: line 1"), is("expression", " ", "blank"), is("expression", strings.Repeat("x", 65537), "no more than"), is("scope_name", "a b", "one word"), is("scope_name", `a"`, "one word"),
		is("name", "authentik default OAuth Mapping: OpenID 'email'", "Scope Mapping with this name already exists."),
	)
	under("crypto/certificatekeypairs/", map[string]any{"name": "new", "certificate_data": public},
		is("name", "ec", "Certificate-Key Pair with this name already exists."), is("certificate_data", "x", "-----BEGIN CERTIFICATE-----"), is("certificate_data", "", "blank"), is("key_data", "x", "-----BEGIN PRIVATE KEY-----"),
		is("key_data", string(must(rsaPair()).PrivateKey), "does not belong"), is("key_data", strings.ReplaceAll(string(must(rsaPair()).PrivateKey), "PRIVATE", "ENCRYPTED PRIVATE"), "encrypted"),
		is("certificate_data", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "cannot be read"),
	)
	under("crypto/certificatekeypairs/generate/", map[string]any{"common_name": "new", "validity_days": 1},
		is("alg", "dsa", "not a valid choice"), is("validity_days", 0, "between 1 and 36500"), is("validity_days", 99999, "between 1 and 36500"), is("validity_days", "x", "valid integer"), is("common_name", "ec", "already exists"), is("subject_alt_name", "http://", "not a URI"),
	)
	under("core/users/service_account/", map[string]any{"name": "new"}, is("name", "root", "must be unique"), is("expires", "2001-01-01T00:00:00Z", "past"), is("expiring", "x", "boolean"))
	under(fmt.Sprintf("core/users/%d/set_password/", e.plainPK), map[string]any{}, is("password", "", "blank"), is("password", "short", "at least 8"), is("password", nil, "null"), is("password", strings.Repeat("x", 1025), "no more than"), is("other", "x", ""))
	under(fmt.Sprintf("core/users/%d/recovery/", e.plainPK), map[string]any{}, is("token_duration", "days=2", "one day"))
	under("core/applications/taken/set_icon_url/", map[string]any{}, is("url", "javascript:x", "not allowed"), is("other", "x", ""))
	under("core/tokens/of-plain/set_key/", map[string]any{}, is("key", "short", "at least 20"), is("key", strings.Repeat("x ", 20), "no spaces"))
	for _, r := range rows {
		body := map[string]any{}
		for _, from := range []map[string]any{r.base, r.body} {
			for k, v := range from {
				body[k] = v
			}
		}
		switch {
		case r.text == "" && r.field == "other":
			for field := range map[string]string{"password": "", "url": ""} {
				if strings.Contains(r.path, map[string]string{"password": "set_password", "url": "set_icon_url"}[field]) {
					e.refused("POST", r.path, body, field, "This field is required.")
				}
			}
		case r.text == "" && r.field == "email": // white space around is trimmed, and so no error
			e.want(201, "POST", r.path, body)
		case r.text == "" && r.field == "mode":
			e.refused("POST", r.path, body, "internal_host", "cannot be empty")
		default:
			e.refused("POST", r.path, body, r.field, r.text)
		}
	}
	for _, path := range []string{"providers/oauth2/", "providers/proxy/", "core/applications/", "core/groups/", "core/tokens/", "propertymappings/provider/scope/", "crypto/certificatekeypairs/"} {
		for _, row := range e.want(200, "GET", path, nil)["results"].([]any) {
			if o := row.(map[string]any); o["name"] == "new" || o["identifier"] == "new" {
				t.Errorf("%s: a refused object was saved: %v", path, o)
			}
		}
	}
}

// O-05: no redirect URI that runs script can be registered. Control: a scheme of
// an app's own can.
func TestRedirectSchemes(t *testing.T) {
	e := open(t)
	flows := e.flows()
	n := 0
	post := func(mode, url string) answer {
		n++
		return e.send(e.root, "POST", "providers/oauth2/", flows.with(map[string]any{
			"name": fmt.Sprint("p", n), "redirect_uris": []any{map[string]any{"matching_mode": mode, "url": url}},
		}))
	}
	for _, bad := range []string{"javascript:alert(1)", "JaVaScRiPt:alert(1)", "\tjavascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "javascript://a.test/%0aalert(1)", "view-source:https://a.test", "file:///etc/passwd", "blob:https://a.test/1"} {
		for _, mode := range []string{"strict", "regex"} {
			if a := post(mode, bad); a.status != 400 {
				t.Errorf("%s %q: %d %s", mode, bad, a.status, a.body)
			}
		}
	}
	for _, bad := range []string{"^javascript:.*", `\Ajavascript:.*`, "(?i)javascript:.*", "(javascript:.*)", "(?:data:.*)"} {
		if a := post("regex", bad); a.status != 400 {
			t.Errorf("regex %q: %d", bad, a.status)
		}
	}
	for _, good := range []string{"https://a.test/cb", "http://localhost:1234/cb?x=1", "com.example.app:/oauth", "com.example.app://cb", "http://[::1]:80/"} {
		if a := post("strict", good); a.status != 201 {
			t.Errorf("%q: %d %s", good, a.status, a.body)
		}
	}
	for _, good := range []string{`https://.*\.a\.test/cb`, ".*", `^http://127\.0\.0\.1:\d+/cb$`} {
		if a := post("regex", good); a.status != 201 {
			t.Errorf("regex %q: %d %s", good, a.status, a.body)
		}
	}
}

// TestKeepWhatIsAbsent: PUT and PATCH leave what the body does not name, and a new
// object has the documented defaults.
func TestKeepWhatIsAbsent(t *testing.T) {
	e := open(t)
	flows := e.flows()
	made := e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "  p ", "redirect_uris": []any{}, "client_secret": ""}))
	for field, want := range map[string]any{
		"name": "p", "client_type": "confidential", "access_code_validity": "minutes=1", "access_token_validity": "hours=1", "refresh_token_validity": "days=30", "refresh_token_threshold": "seconds=0",
		"sub_mode": "hashed_user_id", "issuer_mode": "per_provider", "include_claims_in_id_token": true, "logout_method": "backchannel", "signing_key": nil, "encryption_key": nil,
	} {
		if made[field] != want {
			t.Errorf("%s is %v by default, want %v", field, made[field], want)
		}
	}
	if len(made["client_id"].(string)) != 40 || len(made["client_secret"].(string)) != 128 {
		t.Errorf("generated: %v %v", made["client_id"], made["client_secret"])
	}
	path := fmt.Sprintf("providers/oauth2/%v/", made["pk"])
	e.want(200, "PATCH", path, map[string]any{"sub_mode": "user_email", "access_token_validity": "hours=2;minutes=3"})
	put := e.want(200, "PUT", path, flows.with(map[string]any{"name": "q", "redirect_uris": []any{}}))
	if put["sub_mode"] != "user_email" || put["client_id"] != made["client_id"] || put["client_secret"] != made["client_secret"] || put["access_token_validity"] != "hours=2;minutes=3" {
		t.Errorf("PUT lost something: %v", put)
	}
	e.refused("PUT", path, map[string]any{"name": "q"}, "redirect_uris", "This field is required.")
	e.refused("PUT", path, map[string]any{"name": "q"}, "authorization_flow", "This field is required.")
	e.want(200, "PATCH", path, map[string]any{})
	e.want(200, "PATCH", path, map[string]any{"client_secret": ""})
	if is := e.want(200, "GET", path, nil); is["client_secret"] != made["client_secret"] {
		t.Error("an empty secret replaced the secret")
	}

	group := e.want(201, "POST", "core/groups/", map[string]any{"name": "g", "users": []any{e.plainPK}})
	path = fmt.Sprintf("core/groups/%v/", group["pk"])
	if is := e.want(200, "PUT", path, map[string]any{"name": "g2"}); fmt.Sprint(is["users"]) != fmt.Sprint([]any{float64(e.plainPK)}) {
		t.Errorf("PUT lost the members: %v", is["users"])
	}
	if is := e.want(200, "PATCH", path, map[string]any{"users": []any{}}); len(is["users"].([]any)) != 0 {
		t.Errorf("the members stayed: %v", is["users"])
	}
	e.want(204, "POST", path+"add_user/", map[string]any{"pk": e.plainPK})
	e.want(204, "POST", path+"add_user/", map[string]any{"pk": e.plainPK})
	if is := e.want(200, "GET", path, nil); len(is["users"].([]any)) != 1 {
		t.Errorf("added twice: %v", is["users"])
	}
	e.want(204, "POST", path+"remove_user/", map[string]any{"pk": e.plainPK})
	if is := e.want(200, "GET", path, nil); len(is["users"].([]any)) != 0 {
		t.Errorf("not removed: %v", is["users"])
	}
	if a := e.send(e.root, "POST", path+"add_user/", map[string]any{"pk": 9999}); a.status != 404 {
		t.Errorf("an absent user: %d", a.status)
	}
	// A circle of parents is refused.
	child := e.want(201, "POST", "core/groups/", map[string]any{"name": "c", "parents": []any{group["pk"]}})
	e.refused("PATCH", path, map[string]any{"parents": []any{child["pk"]}}, "parents", "")
	e.refused("PATCH", path, map[string]any{"parents": []any{group["pk"]}}, "parents", "own parent")

	token := e.want(201, "POST", "core/tokens/", map[string]any{"identifier": "t"})
	if token["expiring"] != true || token["expires"] != e.now.Add(24*time.Hour).Format(time.RFC3339) || token["user"] != float64(e.rootPK) {
		t.Errorf("a new token: %v", token)
	}
	if is := e.want(200, "PUT", "core/tokens/t/", map[string]any{"identifier": "t2", "expiring": false}); is["expires"] != nil {
		t.Errorf("a token that does not expire: %v", is)
	}

	// A part is checked together with what is kept.
	proxy := e.want(201, "POST", "providers/proxy/", flows.with(map[string]any{"name": "x", "external_host": "https://x.a.test", "mode": "forward_single", "cookie_domain": "a.test"}))
	path = fmt.Sprintf("providers/proxy/%v/", proxy["pk"])
	e.want(200, "PATCH", path, map[string]any{"mode": "forward_domain"})
	e.refused("PATCH", path, map[string]any{"external_host": "https://x.b.test"}, "cookie_domain", "outside")
	e.refused("PATCH", path, map[string]any{"mode": "proxy"}, "internal_host", "cannot be empty")

	mapping := e.want(201, "POST", "propertymappings/provider/scope/", map[string]any{"name": "m", "scope_name": "m", "expression": "  return {}\n\n"})
	if mapping["expression"] != "return {}" {
		t.Errorf("the expression is %q", mapping["expression"])
	}
}

// TestServiceAccount: all of it is there, or nothing.
func TestServiceAccount(t *testing.T) {
	e := open(t)
	made := e.want(200, "POST", "core/users/service_account/", map[string]any{"name": "my bot", "create_group": true})
	e.fits(made, "UserServiceAccountResponse")
	u := e.want(200, "GET", fmt.Sprintf("core/users/%v/", made["user_pk"]), nil)
	token := e.want(200, "GET", "core/tokens/service-account-my-bot-password/", nil)
	if u["type"] != "service_account" || fmt.Sprint(u["groups"]) != fmt.Sprintf("[%v]", made["group_pk"]) || token["intent"] != "app_password" || token["user"] != made["user_pk"] {
		t.Errorf("%v\n%v", u, token)
	}
	if a := e.send(made["token"].(string), "GET", "core/users/me/", nil); a.status != 403 {
		t.Errorf("an app password opens the API: %d", a.status)
	}
	// A group of the name is in the way: then there is no user either.
	e.want(201, "POST", "core/groups/", map[string]any{"name": "other"})
	e.refused("POST", "core/users/service_account/", map[string]any{"name": "other", "create_group": true}, "name", "already exists")
	if got := e.names("core/users/?username=other", "username"); len(got) != 0 {
		t.Errorf("half an account was left: %v", got)
	}
	if a := e.send(e.root, "GET", "core/tokens/service-account-other-password/", nil); a.status != 404 {
		t.Errorf("its token was left: %d", a.status)
	}
}

// TestKeyPairs: what is stored can be used, and comes back as it was sent.
func TestKeyPairs(t *testing.T) {
	e := open(t)
	pair := must(keys.Generate("ecdsa", "sent", []string{"a.test"}, time.Hour, e.now))
	sent := map[string]any{"name": "sent", "certificate_data": pair.Certificate, "key_data": string(pair.PrivateKey)}
	made := e.want(201, "POST", "crypto/certificatekeypairs/", sent)
	e.fits(made, "CertificateKeyPair")
	if made["private_key_available"] != true || made["key_type"] != "ec" || !strings.Contains(made["cert_subject"].(string), "CN=sent") || len(made["fingerprint_sha256"].(string)) != 95 {
		t.Errorf("%v", made)
	}
	for field, view := range map[string]string{"certificate_data": "view_certificate", "key_data": "view_private_key"} {
		path := fmt.Sprintf("crypto/certificatekeypairs/%v/%s/", made["pk"], view)
		if got := e.want(200, "GET", path, nil)["data"]; got != strings.TrimSpace(sent[field].(string)) {
			t.Errorf("%s changed: %q", field, got)
		}
		a := e.send(e.root, "GET", path+"?download=true", nil)
		if a.status != 200 || string(a.body) != strings.TrimSpace(sent[field].(string)) || !strings.Contains(a.header.Get("Content-Disposition"), `attachment; filename="sent_`) {
			t.Errorf("download: %d %v", a.status, a.header)
		}
	}
	bare := e.want(201, "POST", "crypto/certificatekeypairs/", map[string]any{"name": "bare", "certificate_data": pair.Certificate})
	if bare["private_key_available"] != false || bare["key_type"] != nil {
		t.Errorf("without a key: %v", bare)
	}
	// Never 404: Terraform would forget the key pair.
	if got := e.want(200, "GET", fmt.Sprintf("crypto/certificatekeypairs/%v/view_private_key/", bare["pk"]), nil)["data"]; got != "" {
		t.Errorf("a key that is not there: %v", got)
	}
	e.want(200, "PATCH", fmt.Sprintf("crypto/certificatekeypairs/%v/", made["pk"]), map[string]any{"name": "renamed"})
	provider := e.want(201, "POST", "providers/oauth2/", e.flows().with(map[string]any{"name": "p", "redirect_uris": []any{}, "signing_key": made["pk"]}))["pk"]
	if a := e.send(e.root, "DELETE", fmt.Sprintf("crypto/certificatekeypairs/%v/", made["pk"]), nil); a.status != 409 {
		t.Errorf("a key pair in use was deleted: %d %s", a.status, a.body)
	}
	e.want(204, "DELETE", fmt.Sprintf("providers/all/%v/", provider), nil)
	e.want(204, "DELETE", fmt.Sprintf("crypto/certificatekeypairs/%v/", made["pk"]), nil)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A provider whose tokens are signed with its client secret needs one that HS256 takes
// (RFC 7518 §3.2): else every login would fail at its last step.
func TestSecretThatSigns(t *testing.T) {
	e := open(t)
	flows := e.flows()
	const message = "at least 32 characters"
	short := map[string]any{"name": "short", "redirect_uris": []any{}, "client_secret": strings.Repeat("s", 31)}
	e.refused("POST", "providers/oauth2/", flows.with(short), "client_secret", message)
	short["client_secret"] = strings.Repeat("s", 32)
	made := e.want(201, "POST", "providers/oauth2/", flows.with(short))
	path := fmt.Sprintf("providers/oauth2/%v/", made["pk"])
	e.refused("PATCH", path, map[string]any{"client_secret": "short"}, "client_secret", message)
	pair := e.want(200, "GET", "crypto/certificatekeypairs/", nil)["results"].([]any)[0].(map[string]any)["pk"]
	e.want(200, "PATCH", path, map[string]any{"client_secret": "short", "signing_key": pair})
	e.refused("PATCH", path, map[string]any{"signing_key": nil}, "client_secret", message)
}
