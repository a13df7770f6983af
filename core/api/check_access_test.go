package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// lines are the events of log_messages.
func lines(is map[string]any) string {
	var out []string
	for _, l := range is["log_messages"].([]any) {
		out = append(out, l.(map[string]any)["event"].(string))
	}
	return strings.Join(out, "\n")
}

// TestCheckAccess: a user asks for themselves, an administrator for others and why.
func TestCheckAccess(t *testing.T) {
	r := openRules(t)
	const path = "core/applications/wiki/check_access/"
	forPlain := fmt.Sprintf("%s?for_user=%d", path, r.plainPK)
	ask := func(token, path string) map[string]any {
		a := r.send(token, "GET", path, nil)
		if a.status != 200 {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		is := a.object(t)
		r.fits(is, "PolicyTestResult")
		return is
	}
	bind := func(body map[string]any) string {
		body["target"], body["order"] = r.app, 0
		return r.want(201, "POST", "policies/bindings/", body)["pk"].(string)
	}
	if is := ask(r.plain, path); is["passing"] != true || len(is["log_messages"].([]any)) != 0 {
		t.Errorf("without a rule: %v", is)
	}
	staff := bind(map[string]any{"group": r.group})
	if is := ask(r.plain, path); is["passing"] != false || len(is["log_messages"].([]any)) != 0 || len(is["messages"].([]any)) != 0 {
		t.Errorf("the user who is in no group: %v", is)
	}
	if is := ask(r.root, forPlain); is["passing"] != false || !strings.Contains(lines(is), `group "staff"`) || !strings.Contains(lines(is), "did not pass") {
		t.Errorf("an administrator asks why: %v", is)
	}
	r.want(200, "PATCH", "policies/expression/"+r.policy+"/", map[string]any{"expression": "ak_message('not today, ' + request.user.username)\nreturn request.obj.slug != 'wiki' or ak_is_group_member(request.user, name='test admins')"})
	hours := bind(map[string]any{"policy": r.policy})
	if is := ask(r.plain, path); is["passing"] != false || fmt.Sprint(is["messages"]) != "[not today, plain]" {
		t.Errorf("a message for the user: %v", is)
	}
	if is := ask(r.root, path); is["passing"] != true {
		t.Errorf("the policy lets administrators in: %v", is)
	}
	// A policy that fails lets nobody in, and says so to the administrator alone.
	r.want(200, "PATCH", "policies/expression/"+r.policy+"/", map[string]any{"expression": "return {}['secret of the policy']"})
	if a := r.send(r.plain, "GET", path, nil); strings.Contains(string(a.body), "secret") || !strings.Contains(string(a.body), `"passing":false`) {
		t.Errorf("%s", a.body)
	}
	if is := ask(r.root, path); is["passing"] != false || !strings.Contains(lines(is), "KeyError") {
		t.Errorf("%v", is)
	}
	// What a policy writes and prints is the administrator's to read, and nobody else's.
	r.want(200, "PATCH", "policies/expression/"+r.policy+"/", map[string]any{"expression": "ak_logger.warning('seen', who=request.user.username)\nprint('here', 5)\nreturn {}['secret of the policy']"})
	is := ask(r.root, forPlain)
	if got := lines(is); !strings.HasPrefix(got[strings.Index(got, "seen"):], "seen\nhere 5\npolicy") {
		t.Errorf("%s", got)
	}
	for _, l := range is["log_messages"].([]any) {
		line := l.(map[string]any)
		if line["event"] == "seen" && (line["log_level"] != "warning" || line["logger"] != "office hours" || fmt.Sprint(line["attributes"]) != "map[who:plain]") {
			t.Errorf("%v", line)
		}
	}
	if is := ask(r.plain, path); len(is["log_messages"].([]any)) != 0 {
		t.Errorf("a user reads the log: %v", is)
	}
	r.want(200, "PATCH", "policies/bindings/"+hours+"/", map[string]any{"failure_result": true})
	if is := ask(r.root, path); is["passing"] != true || !strings.Contains(lines(is), "counts as passed") {
		t.Errorf("%v", is)
	}
	r.want(204, "DELETE", "policies/bindings/"+hours+"/", nil)
	// Others are for administrators, and so is what is not there.
	for _, v := range []struct {
		token, path string
		status      int
	}{
		{r.plain, fmt.Sprintf("%s?for_user=%d", path, r.rootPK), 403}, {r.plain, forPlain, 200}, {r.plain, path + "?for_user=999", 403}, {r.root, path + "?for_user=999", 400},
		{r.root, "core/applications/nope/check_access/", 404}, {"", path, 403},
	} {
		if a := r.send(v.token, "GET", v.path, nil); a.status != v.status {
			t.Errorf("%s: %d %s", v.path, a.status, a.body)
		}
	}
	// The control: in the group, the user may.
	r.want(204, "POST", "core/groups/"+r.group+"/add_user/", map[string]any{"pk": r.plainPK})
	if is := ask(r.root, forPlain); is["passing"] != true || !strings.Contains(lines(is), `group "staff" (order 0): passed`) {
		t.Errorf("%v", is)
	}
	r.want(200, "PATCH", "policies/bindings/"+staff+"/", map[string]any{"negate": true})
	if is := ask(r.plain, path); is["passing"] != false {
		t.Errorf("negated: %v", is)
	}
}

// TestApplicationsUnderBindings: the list is of what one may open, and follows each change at once.
func TestApplicationsUnderBindings(t *testing.T) {
	r := openRules(t)
	r.want(201, "POST", "core/applications/", map[string]any{"name": "Blog", "slug": "blog", "meta_launch_url": "https://blog.test/%(uid)s"})
	may := func(token, query string) string {
		var out []string
		for _, row := range r.send(token, "GET", "core/applications/"+query, nil).object(t)["results"].([]any) {
			out = append(out, row.(map[string]any)["slug"].(string))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	is := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	is("no rule", may(r.plain, ""), "blog wiki")
	b := r.want(201, "POST", "policies/bindings/", map[string]any{"target": r.app, "group": r.group, "order": 0})["pk"].(string)
	is("a group that they are not in", may(r.plain, ""), "blog")
	is("the full list is not theirs", may(r.plain, "?superuser_full_list=true"), "blog")
	is("an administrator, as any user", may(r.root, ""), "blog")
	is("an administrator, all", may(r.root, "?superuser_full_list=true"), "blog wiki")
	is("an administrator, for the user", may(r.root, fmt.Sprintf("?for_user=%d", r.plainPK)), "blog")
	is("what can be launched", may(r.root, "?superuser_full_list=true&only_with_launch_url=true"), "blog")
	for _, path := range []string{"core/applications/wiki/", "core/applications/?for_user=" + itoa(r.rootPK)} {
		if a := r.send(r.plain, "GET", path, nil); a.status != 404 && a.status != 403 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	r.want(204, "POST", "core/groups/"+r.group+"/add_user/", map[string]any{"pk": r.plainPK})
	is("put into the group", may(r.plain, ""), "blog wiki")
	// A group that is deleted opens nothing.
	r.want(204, "DELETE", "core/groups/"+r.group+"/", nil)
	is("the group is gone", may(r.plain, ""), "blog")
	r.want(200, "PATCH", "policies/bindings/"+b+"/", map[string]any{"enabled": false})
	is("the binding does not count", may(r.plain, ""), "blog wiki")
	r.want(200, "PATCH", "policies/bindings/"+b+"/", map[string]any{"enabled": true, "group": nil, "policy": r.policy})
	is("the policy lets everybody in", may(r.plain, ""), "blog wiki")
	r.want(204, "DELETE", "policies/expression/"+r.policy+"/", nil)
	is("the policy is gone", may(r.plain, ""), "blog")
	r.want(204, "DELETE", "policies/bindings/"+b+"/", nil)
	is("the rule is gone", may(r.plain, ""), "blog wiki")
	for _, row := range r.send(r.plain, "GET", "core/applications/?only_with_launch_url=true", nil).object(t)["results"].([]any) {
		u, err := r.db.UserByPK(t.Context(), r.tenant.ID, r.plainPK)
		r.must(err)
		is("launch_url", row.(map[string]any)["launch_url"].(string), "https://blog.test/"+u.HashedID(r.tenant.UUID))
	}
}
