package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// rules are an application and what can be bound to it.
type rules struct {
	*env
	app, policy, group, entitlement string
}

func openRules(t testing.TB) rules {
	e := open(t)
	r := rules{env: e}
	r.app = e.want(201, "POST", "core/applications/", map[string]any{"name": "Wiki", "slug": "wiki"})["pk"].(string)
	r.policy = e.want(201, "POST", "policies/expression/", map[string]any{"name": "office hours", "expression": "return True"})["pk"].(string)
	r.group = e.want(201, "POST", "core/groups/", map[string]any{"name": "staff"})["pk"].(string)
	r.entitlement = e.want(201, "POST", "core/application_entitlements/", map[string]any{"name": "edit", "app": r.app})["pbm_uuid"].(string)
	return r
}

// TestTerraformPolicies plays plan, apply, plan, update, import and destroy of an
// expression policy, its bindings and an entitlement: with the values that were recorded,
// and with others.
func TestTerraformPolicies(t *testing.T) {
	type values struct {
		policy, expression, changed, group, entitlement string
		order, timeout                                  int
		negate                                          bool
		attributes                                      map[string]any
	}
	runs := []values{{"p", "return True", "return False\n", "staff", "ent", 0, 30, false, map[string]any{}}}
	for i := range 3 {
		r := func() string { return core.RandomAlphanumeric(9) }
		runs = append(runs, values{r() + " ü", "# " + r() + "\nreturn '" + r() + "' in request.user.name\n", "return 1\n", r(), r() + "'\"<&>", i*7 - 3, i, i%2 == 0, map[string]any{r(): []any{r(), i, nil, map[string]any{"deep": 12345678901}}}})
	}
	for _, v := range runs {
		t.Run(v.policy, func(t *testing.T) {
			e := open(t)
			application := &terraform{env: e, path: "core/applications/", shape: "Application", key: "slug"}
			app := application.apply(map[string]any{"backchannel_providers": []int{}, "name": "fa", "open_in_new_tab": false, "policy_engine_mode": "all", "slug": "fa"})["pk"]
			group := e.want(201, "POST", "core/groups/", map[string]any{"name": v.group})["pk"]

			p := &terraform{env: e, path: "policies/expression/", shape: "ExpressionPolicy", key: "pk"}
			wanted := map[string]any{"execution_logging": false, "expression": v.expression, "name": v.policy}
			pk := p.apply(wanted)["pk"]

			binding := func(change map[string]any) map[string]any {
				out := map[string]any{"enabled": true, "failure_result": false, "group": nil, "negate": v.negate, "order": v.order, "policy": nil, "target": app, "timeout": v.timeout, "user": nil}
				for k, x := range change {
					out[k] = x
				}
				return out
			}
			byGroup := &terraform{env: e, path: "policies/bindings/", shape: "PolicyBinding", key: "pk"}
			groupBody := binding(map[string]any{"group": group})
			byGroup.apply(groupBody)
			byPolicy := &terraform{env: e, path: "policies/bindings/", shape: "PolicyBinding", key: "pk"}
			policyBody := binding(map[string]any{"policy": pk, "order": v.order + 1, "failure_result": true})
			byPolicy.apply(policyBody)

			entitlement := &terraform{env: e, path: "core/application_entitlements/", shape: "ApplicationEntitlement", key: "pbm_uuid"}
			entBody := map[string]any{"app": app, "attributes": v.attributes, "name": v.entitlement}
			ent := entitlement.apply(entBody)["pbm_uuid"]
			byUser := &terraform{env: e, path: "policies/bindings/", shape: "PolicyBinding", key: "pk"}
			userBody := binding(map[string]any{"user": e.plainPK, "target": ent})
			if got := byUser.apply(userBody)["user_obj"].(map[string]any); got["username"] != "plain" {
				t.Errorf("user_obj: %v", got)
			}

			// Update; a binding may turn to another object.
			wanted["expression"], wanted["execution_logging"] = v.changed, true
			if is := p.apply(wanted); is["bound_to"] != 1.0 {
				t.Errorf("bound_to is %v", is["bound_to"])
			}
			groupBody["group"], groupBody["user"], groupBody["enabled"] = nil, e.rootPK, false
			if is := byGroup.apply(groupBody); is["user_obj"].(map[string]any)["username"] != "root" || is["group_obj"].(map[string]any)["name"] != "" {
				t.Errorf("%v", is)
			}
			entBody["name"] = v.entitlement + "2"
			entitlement.apply(entBody)

			// Import by UUID, and plan once more.
			for _, tf := range []struct {
				of   *terraform
				body map[string]any
			}{{p, wanted}, {byGroup, groupBody}, {byPolicy, policyBody}, {byUser, userBody}, {entitlement, entBody}} {
				(&terraform{env: e, path: tf.of.path, shape: tf.of.shape, id: tf.of.id}).plan(tf.body)
			}
			// As recorded: the policy and the entitlement may go before their bindings.
			p.destroy()
			byPolicy.plan(policyBody)
			entitlement.destroy()
			for _, b := range []*terraform{byGroup, byPolicy} {
				b.destroy()
			}
			if a := e.send(e.root, "GET", "policies/bindings/"+byUser.id+"/", nil); a.status != 404 {
				t.Errorf("a binding of an entitlement that is gone: %d", a.status)
			}
			application.destroy()
		})
	}
}

// Every refusal names its field, in Django REST Framework's words.
func TestPolicyRefusals(t *testing.T) {
	r := openRules(t)
	const no = "00000000-0000-7000-8000-000000000000"
	bind := func(change map[string]any) map[string]any {
		out := map[string]any{"target": r.app, "order": 0}
		for k, v := range change {
			out[k] = v
		}
		return out
	}
	for _, c := range []struct {
		path        string
		body        map[string]any
		field, text string
	}{
		{"policies/expression/", map[string]any{}, "name", "required"},
		{"policies/expression/", map[string]any{"name": "x"}, "expression", "required"},
		{"policies/expression/", map[string]any{"name": "x", "expression": " \n"}, "expression", "may not be blank"},
		{"policies/expression/", map[string]any{"name": "x", "expression": "nothing"}, "expression", "Expression Syntax Error: line 1"},
		{"policies/expression/", map[string]any{"name": "x", "expression": "return " + strings.Repeat("1", 64<<10)}, "expression", "no more than"},
		{"policies/expression/", map[string]any{"name": "x", "expression": "return 1", "execution_logging": "maybe"}, "execution_logging", "valid boolean"},
		{"policies/expression/", map[string]any{"name": "office hours", "expression": "return 1"}, "name", "already exists"},
		{"policies/bindings/", bind(nil), "non_field_errors", "One of 'group', 'policy', 'user' must be set."},
		{"policies/bindings/", bind(map[string]any{"group": nil, "policy": nil, "user": nil}), "non_field_errors", "One of 'group', 'policy', 'user' must be set."},
		{"policies/bindings/", bind(map[string]any{"group": r.group, "policy": r.policy}), "non_field_errors", "Only one of 'group', 'policy', 'user' can be set."},
		{"policies/bindings/", bind(map[string]any{"user": r.plainPK, "policy": r.policy}), "non_field_errors", "Only one of 'group', 'policy', 'user' can be set."},
		{"policies/bindings/", bind(map[string]any{"target": r.entitlement}), "non_field_errors", "One of 'group', 'user' must be set."},
		{"policies/bindings/", bind(map[string]any{"target": r.entitlement, "group": r.group, "user": r.plainPK}), "non_field_errors", "Only one of 'group', 'user' can be set."},
		{"policies/bindings/", bind(map[string]any{"target": r.entitlement, "policy": r.policy}), "policy", "users and groups"},
		{"policies/bindings/", map[string]any{"policy": r.policy}, "target", "required"},
		{"policies/bindings/", map[string]any{"policy": r.policy}, "order", "required"},
		{"policies/bindings/", bind(map[string]any{"target": "wiki", "policy": r.policy}), "target", "valid UUID"},
		{"policies/bindings/", bind(map[string]any{"target": no, "policy": r.policy}), "target", "object does not exist"},
		{"policies/bindings/", bind(map[string]any{"policy": no}), "policy", "object does not exist"},
		{"policies/bindings/", bind(map[string]any{"group": no}), "group", "object does not exist"},
		{"policies/bindings/", bind(map[string]any{"user": 999}), "user", `Invalid pk "999" - object does not exist.`},
		{"policies/bindings/", bind(map[string]any{"policy": r.policy, "timeout": -1}), "timeout", "greater than or equal to 0"},
		{"policies/bindings/", bind(map[string]any{"policy": r.policy, "timeout": "soon"}), "timeout", "valid integer"},
		{"policies/bindings/", bind(map[string]any{"policy": r.policy, "order": "first"}), "order", "valid integer"},
		{"policies/bindings/", bind(map[string]any{"policy": r.policy, "negate": 5}), "negate", "valid boolean"},
		{"core/application_entitlements/", map[string]any{"app": r.app}, "name", "required"},
		{"core/application_entitlements/", map[string]any{"name": "x"}, "app", "required"},
		{"core/application_entitlements/", map[string]any{"name": "x", "app": "wiki"}, "app", "valid UUID"},
		{"core/application_entitlements/", map[string]any{"name": "x", "app": no}, "app", "object does not exist"},
		{"core/application_entitlements/", map[string]any{"name": "x", "app": r.app, "attributes": []any{}}, "attributes", "dictionary"},
		{"core/application_entitlements/", map[string]any{"name": "edit", "app": r.app}, "name", "already exists"},
		{"policies/all/" + r.policy + "/test/", map[string]any{}, "user", "required"},
		{"policies/all/" + r.policy + "/test/", map[string]any{"user": 999}, "user", "object does not exist"},
		{"policies/all/" + r.policy + "/test/", map[string]any{"user": r.plainPK, "context": "x"}, "context", "dictionary"},
	} {
		r.refused("POST", c.path, c.body, c.field, c.text)
	}
	for path, field := range map[string]string{
		"policies/bindings/?target=wiki": "target", "policies/bindings/?policy__isnull=perhaps": "policy__isnull", "policies/bindings/?order=x": "order",
		"policies/bindings/?target_in=x": "target_in", "policies/expression/?execution_logging=x": "execution_logging", "policies/expression/?created=x": "created",
		"core/application_entitlements/?app=x": "app", "core/application_entitlements/?attributes=x": "attributes", "policies/all/?bindings__isnull=x": "bindings__isnull",
	} {
		r.refused("GET", path, nil, field, "")
	}
	// PATCH looks at what the binding becomes.
	b := r.want(201, "POST", "policies/bindings/", bind(map[string]any{"policy": r.policy}))["pk"].(string)
	r.refused("PATCH", "policies/bindings/"+b+"/", map[string]any{"group": r.group}, "non_field_errors", "Only one of")
	r.refused("PATCH", "policies/bindings/"+b+"/", map[string]any{"policy": nil}, "non_field_errors", "must be set")
	if is := r.want(200, "PATCH", "policies/bindings/"+b+"/", map[string]any{"group": r.group, "policy": nil}); is["group"] != r.group || is["policy"] != nil {
		t.Errorf("%v", is)
	}
	if is := r.want(200, "PATCH", "policies/bindings/"+b+"/", map[string]any{"enabled": false}); is["group"] != r.group || is["enabled"] != false || is["timeout"] != 30.0 {
		t.Errorf("%v", is)
	}
	// A group that was deleted since is kept, and nothing else need be wrong with the binding.
	r.want(204, "DELETE", "core/groups/"+r.group+"/", nil)
	if is := r.want(200, "PATCH", "policies/bindings/"+b+"/", map[string]any{"order": 5}); is["group"] != r.group || is["order"] != 5.0 {
		t.Errorf("%v", is)
	}
}

func TestPolicyLists(t *testing.T) {
	r := openRules(t)
	other := r.want(201, "POST", "policies/expression/", map[string]any{"name": "Äpfel", "expression": "return 2", "execution_logging": true})["pk"].(string)
	app2 := r.want(201, "POST", "core/applications/", map[string]any{"name": "Blog", "slug": "blog"})["pk"].(string)
	for i, body := range []map[string]any{
		{"target": r.app, "policy": r.policy, "order": 2}, {"target": r.app, "group": r.group, "order": 1, "enabled": false},
		{"target": app2, "policy": r.policy, "order": 0, "timeout": 5}, {"target": r.entitlement, "user": r.plainPK, "order": 7},
	} {
		if r.want(201, "POST", "policies/bindings/", body)["pk"] == nil {
			t.Fatal(i)
		}
	}
	r.want(201, "POST", "core/application_entitlements/", map[string]any{"name": "read", "app": app2, "attributes": map[string]any{"level": 2, "x": []any{"y"}}})
	for path, want := range map[string]string{
		"policies/bindings/?target=" + r.app: "1 2", "policies/bindings/?target=" + r.app + "&enabled=true": "2", "policies/bindings/?policy=" + r.policy + "&ordering=order": "0 2",
		"policies/bindings/?policy__isnull=true&ordering=-order": "7 1", "policies/bindings/?order=7": "7", "policies/bindings/?timeout=5": "0", "policies/bindings/?search=OFFICE&ordering=order": "0 2",
		"policies/bindings/?target_in=" + app2 + "&target_in=" + r.entitlement + "&ordering=order": "0 7", "policies/bindings/?ordering=order&page=2&page_size=2": "2 7",
	} {
		list := r.want(200, "GET", path, nil)
		r.fitsList(list, "PolicyBinding")
		if got := strings.Join(r.names(path, "order"), " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"policies/expression/": "Äpfel|office hours", "policies/expression/?search=ÄPF": "Äpfel", "policies/expression/?name=office+hours": "office hours", "policies/expression/?execution_logging=true": "Äpfel",
		"policies/expression/?ordering=-name": "Äpfel|office hours", "policies/expression/?policy_uuid=" + other: "Äpfel", "policies/expression/?expression=return+2": "Äpfel",
		"policies/all/": "Äpfel|office hours", "policies/all/?bindings__isnull=true": "Äpfel", "policies/all/?bindings__isnull=false": "office hours", "policies/all/?promptstage__isnull=false": "", "policies/all/?search=hours": "office hours",
	} {
		shape := "ExpressionPolicy"
		if strings.HasPrefix(path, "policies/all") {
			shape = "Policy"
		}
		r.fitsList(r.want(200, "GET", path, nil), shape)
		got := r.names(path, "name")
		if !strings.Contains(path, "ordering") {
			slices.Sort(got)
			want = strings.Join(sortedWords(want), "|")
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"?app=" + r.app: "edit", "?pbm_uuid=" + r.entitlement: "edit", "?name=read": "read", "?search=EA": "read", "": "edit read", "?ordering=-name": "read edit",
		"?attributes=" + url.QueryEscape(`{"level":2}`): "read", "?attributes=" + url.QueryEscape(`{"level":2.0,"x":["y"]}`): "read", "?attributes=" + url.QueryEscape(`{"level":3}`): "",
		"?page=2&page_size=1&attributes=" + url.QueryEscape(`{}`): "read",
	} {
		r.fitsList(r.want(200, "GET", "core/application_entitlements/"+path, nil), "ApplicationEntitlement")
		if got := strings.Join(r.names("core/application_entitlements/"+path, "name"), " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{"policies/expression/", "policies/all/"} {
		var used []map[string]any
		r.must(json.Unmarshal(r.send(r.root, "GET", path+r.policy+"/used_by/", nil).body, &used))
		if len(used) != 2 {
			t.Errorf("used by %v", used)
		}
		for _, u := range used {
			r.fits(u, "UsedBy")
		}
	}
	var types []map[string]any
	r.must(json.Unmarshal(r.send(r.root, "GET", "policies/all/types/", nil).body, &types))
	if len(types) != 1 || types[0]["component"] != "ak-policy-expression-form" {
		t.Errorf("types: %v", types)
	}
	r.fits(types[0], "TypeCreate")
	r.fits(r.want(200, "GET", "policies/all/"+r.policy+"/", nil), "Policy")
	r.want(204, "DELETE", "policies/all/"+other+"/", nil)
	if a := r.send(r.root, "GET", "policies/expression/"+other+"/", nil); a.status != 404 || string(a.body) != `{"detail":"No ExpressionPolicy matches the given query."}` {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func sortedWords(s string) []string {
	out := strings.Split(s, "|")
	slices.Sort(out)
	return out
}

// TestPolicyTest runs a policy that is stored, for a user, and shows what it said.
func TestPolicyTest(t *testing.T) {
	r := openRules(t)
	path := "policies/all/" + r.policy + "/test/"
	store := func(source string) {
		r.want(200, "PATCH", "policies/expression/"+r.policy+"/", map[string]any{"expression": source})
	}
	test := func(body map[string]any) map[string]any {
		is := r.want(200, "POST", path, body)
		r.fits(is, "PolicyTestResult")
		return is
	}
	store("ak_message('hello ' + request.user.username)\nak_logger.warning('seen', n=1)\nreturn request.debug and context['x'] == 5 and http_request.path.endswith('/test/') and ak_client_ip in ip_network('192.0.2.0/24')")
	is := test(map[string]any{"user": r.plainPK, "context": map[string]any{"x": 5}})
	log := is["log_messages"].([]any)
	if is["passing"] != true || fmt.Sprint(is["messages"]) != "[hello plain]" || len(log) != 1 || log[0].(map[string]any)["event"] != "seen" || log[0].(map[string]any)["log_level"] != "warning" {
		t.Errorf("%v", is)
	}
	// A failure is told, and does not pass.
	if is := test(map[string]any{"user": r.plainPK}); is["passing"] != false || !strings.Contains(fmt.Sprint(is["messages"]), "KeyError: 'x'") || len(is["log_messages"].([]any)) != 2 {
		t.Errorf("%v", is)
	}
	store("while True: pass\nreturn True")
	if is := test(map[string]any{"user": r.plainPK}); is["passing"] != false || !strings.Contains(fmt.Sprint(is["messages"]), "too") {
		t.Errorf("%v", is)
	}
	// what the body says of the expression has no effect: nothing but what is stored
	// is run, and it stays what it was.
	store("ak_message('stored')\nreturn False")
	is = test(map[string]any{"user": r.plainPK, "expression": "return True", "policy": "return True", "name": "x"})
	if is["passing"] != false || fmt.Sprint(is["messages"]) != "[stored]" {
		t.Errorf("%v", is)
	}
	if is := r.want(200, "GET", "policies/expression/"+r.policy+"/", nil); is["expression"] != "ak_message('stored')\nreturn False" || is["name"] != "office hours" {
		t.Errorf("%v", is)
	}
	// who may not change the policy reaches it by no verb.
	for _, op := range []struct{ method, path string }{
		{"POST", path}, {"GET", "policies/all/" + r.policy + "/"}, {"GET", "policies/expression/" + r.policy + "/"}, {"PUT", "policies/expression/" + r.policy + "/"},
		{"PATCH", "policies/expression/" + r.policy + "/"}, {"DELETE", "policies/expression/" + r.policy + "/"}, {"DELETE", "policies/all/" + r.policy + "/"}, {"GET", "policies/all/" + r.policy + "/used_by/"},
		{"POST", "policies/bindings/"}, {"GET", "policies/bindings/"}, {"POST", "core/application_entitlements/"}, {"DELETE", "core/application_entitlements/" + r.entitlement + "/"},
	} {
		var body any
		if op.method != "GET" && op.method != "DELETE" {
			body = map[string]any{"user": r.plainPK, "target": r.app, "order": 0}
		}
		if a := r.send(r.plain, op.method, op.path, body); a.status != 403 {
			t.Errorf("%s %s: %d %s", op.method, op.path, a.status, a.body)
		}
	}
}

// what is not a caller's to write is ignored.
func TestPolicyMassAssignment(t *testing.T) {
	r := openRules(t)
	const no = "00000000-0000-7000-8000-000000000000"
	p := r.want(201, "POST", "policies/expression/", map[string]any{"name": "x", "expression": "return 1", "pk": no, "policy_uuid": no, "bound_to": 9, "created": "2000-01-01T00:00:00Z", "component": "x", "tenant": "t_b"})
	b := r.want(201, "POST", "policies/bindings/", map[string]any{"target": r.app, "user": r.plainPK, "order": 0, "pk": no, "user_obj": map[string]any{"pk": r.rootPK}, "policy_obj": map[string]any{"pk": r.policy}})
	n := r.want(201, "POST", "core/application_entitlements/", map[string]any{"name": "x", "app": r.app, "pbm_uuid": no, "pk": no})
	if p["pk"] == no || p["bound_to"] != 0.0 || p["component"] != "ak-policy-expression-form" || b["pk"] == no || b["user"] != float64(r.plainPK) || b["policy"] != nil || n["pbm_uuid"] == no {
		t.Errorf("%v %v %v", p, b, n)
	}
}
