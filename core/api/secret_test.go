package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// T-28: a secret is in the answer to who may have it and asked for that one
// object, and nowhere else: no list, other object, error, event or log line.
func TestSecretsStayPut(t *testing.T) {
	e := open(t)
	flows := e.flows()
	const secret = "THE-CLIENT-SECRET-0123456789"
	pair := e.want(200, "GET", "crypto/certificatekeypairs/", nil)["results"].([]any)[0].(map[string]any)["pk"]
	provider := e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{
		"name": "p", "client_id": "c", "client_secret": secret, "signing_key": pair, "encryption_key": pair,
		"redirect_uris": []any{map[string]any{"matching_mode": "strict", "url": "https://a.test/"}},
	}))["pk"]
	e.want(201, "POST", "core/applications/", map[string]any{"name": "a", "slug": "a", "provider": provider})
	e.want(200, "PUT", "core/applications/a/", map[string]any{"name": "a2", "slug": "a"})
	e.want(200, "PATCH", fmt.Sprintf("providers/oauth2/%v/", provider), map[string]any{"client_secret": secret})
	e.want(200, "PATCH", "core/applications/a/", map[string]any{"provider": provider})
	own := core.RandomAlphanumeric(50)
	e.want(204, "POST", "core/tokens/of-plain/set_key/", map[string]any{"key": own})
	e.plain = own
	link := e.want(200, "POST", fmt.Sprintf("core/users/%d/recovery/", e.plainPK), nil)["link"].(string)
	account := e.want(200, "POST", "core/users/service_account/", map[string]any{"name": "bot", "create_group": true})
	e.fits(account, "UserServiceAccountResponse")
	e.want(204, "POST", fmt.Sprintf("core/users/%d/set_password/", e.plainPK), map[string]any{"password": "THE-PASSWORD"})
	key := e.want(200, "GET", fmt.Sprintf("crypto/certificatekeypairs/%v/view_private_key/", pair), nil)["data"].(string)
	middle := strings.ReplaceAll(key[len(key)/2:len(key)/2+60], "\n", `\n`)
	secrets := map[string]string{
		"client secret": secret, "private key": middle, "a user's token": own, "root's token": e.root,
		"recovery link": link, "service account": account["token"].(string), "password": "THE-PASSWORD",
	}
	allowed := map[string]string{
		fmt.Sprintf("providers/oauth2/%v/", provider):                        "client secret",
		fmt.Sprintf("crypto/certificatekeypairs/%v/view_private_key/", pair): "private key",
		"core/tokens/of-plain/view_key/":                                     "a user's token",
		"core/tokens/of-root/view_key/":                                      "root's token",
		"core/tokens/service-account-bot-password/view_key/":                 "service account",
	}
	ids := map[string][]string{
		"core/users/": {itoa(e.rootPK), itoa(e.plainPK)}, "core/tokens/": {"of-plain", "of-root", "service-account-bot-password"},
		"core/applications/": {"a"}, "providers/": {fmt.Sprint(provider)}, "crypto/": {fmt.Sprint(pair)},
	}
	paths := []string{"core/tokens/?search=of&ordering=-expires", "providers/oauth2/?search=p", "providers/oauth2/?client_id=c"}
	for _, op := range e.api.Operations() {
		if op.Method != "GET" {
			continue
		}
		if !strings.Contains(op.Pattern, "{}") {
			paths = append(paths, op.Pattern)
		}
		for prefix, keys := range ids {
			if strings.HasPrefix(op.Pattern, prefix) && strings.Contains(op.Pattern, "{}") {
				for _, k := range keys {
					paths = append(paths, strings.ReplaceAll(op.Pattern, "{}", k))
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, path := range paths {
		for who, token := range map[string]string{"root": e.root, "plain": e.plain, "nobody": ""} {
			a := e.send(token, "GET", path, nil)
			for name, s := range secrets {
				if !strings.Contains(string(a.body), s) {
					continue
				}
				seen[name] = true
				fine := allowed[path] == name && a.status == 200 && (who == "root" || who == "plain" && name == "a user's token")
				if !fine {
					t.Errorf("GET %s as %s shows the %s", path, who, name)
				}
			}
		}
	}
	// The control: where they may be seen, they are found.
	for _, name := range allowed {
		if !seen[name] {
			t.Errorf("the %s was not found even where it belongs", name)
		}
	}

	// Refusals do not repeat what was sent.
	for _, body := range []string{
		`{"client_secret":"` + secret + strings.Repeat("x", 300) + `","name":5}`, `{"client_secret":["` + secret + `"]}`, `{"client_secret":{"` + secret,
		`{"client_secret":"` + secret + ` with spaces","signing_key":"no"}`,
	} {
		if a := e.send(e.root, "POST", "providers/oauth2/", body); a.status != 400 || strings.Contains(string(a.body), secret) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	for _, body := range []map[string]any{
		{"name": "k", "certificate_data": key, "key_data": key}, {"name": "k", "certificate_data": "x", "key_data": key[:len(key)/2+80]},
	} {
		if a := e.send(e.root, "POST", "crypto/certificatekeypairs/", body); a.status != 400 || strings.Contains(string(a.body), middle) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}

	events, err := json.Marshal(e.events.list)
	e.must(err)
	for name, s := range secrets {
		if strings.Contains(string(events), s) {
			t.Errorf("the %s is in the audit log", name)
		}
		if strings.Contains(e.log.String(), s) {
			t.Errorf("the %s is in the log", name)
		}
	}
	for _, want := range []string{"private key of ", "key of token of-plain", "recovery link for plain"} {
		noted := false
		for _, ev := range e.events.list {
			noted = noted || ev.Action == core.EventSecretView && strings.HasPrefix(ev.Message, want) && ev.UserName != ""
		}
		if !noted {
			t.Errorf("nobody noted that somebody saw the %s", want)
		}
	}
}

// TestEvents: who did what to which object, and from where.
func TestEvents(t *testing.T) {
	e := open(t)
	pk := e.want(201, "POST", "core/groups/", map[string]any{"name": "g"})["pk"]
	e.want(200, "PATCH", fmt.Sprintf("core/groups/%v/", pk), map[string]any{"name": "h"})
	e.want(204, "POST", fmt.Sprintf("core/groups/%v/add_user/", pk), map[string]any{"pk": e.plainPK})
	e.want(204, "DELETE", fmt.Sprintf("core/groups/%v/", pk), nil)
	e.send(e.plain, "DELETE", fmt.Sprintf("core/groups/%v/", pk), nil)
	e.refused("POST", "core/groups/", map[string]any{}, "name", "required")
	var got []string
	for _, ev := range e.events.list {
		model, _ := ev.Context["model"].(map[string]any)
		got = append(got, fmt.Sprintf("%s %s %s %v.%v %v %v", ev.Action, ev.UserName, ev.Address, model["app"], model["model_name"], model["pk"] == pk, model["name"]))
	}
	want := []string{
		"model_created root 192.0.2.7 authentik_core.group true g", "model_updated root 192.0.2.7 authentik_core.group true h",
		"model_updated root 192.0.2.7 authentik_core.group true h", "model_deleted root 192.0.2.7 authentik_core.group true h",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
