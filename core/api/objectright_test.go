package api_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const changeUser, viewUser = "authentik_core.change_user", "authentik_core.view_user"

// giveOn gives a role a permission on one object, over the API.
func (e *env) giveOn(r *core.Role, model, object string, permissions ...any) {
	e.Helper()
	a := e.send(e.root, "POST", "rbac/permissions/assigned_by_roles/"+string(r.ID)+"/assign/", map[string]any{"model": model, "object_pk": object, "permissions": permissions})
	if a.status != 200 {
		e.Fatalf("%d %s", a.status, a.body)
	}
}

// usernames are those of a list.
func usernames(t testing.TB, a answer) []string {
	t.Helper()
	out := []string{}
	for _, row := range a.object(t)["results"].([]any) {
		out = append(out, row.(map[string]any)["username"].(string))
	}
	return out
}

// a right on one object is none on another, by any verb, nor does a list show more.
func TestRightsOnSingleObjects(t *testing.T) {
	e := open(t)
	role := e.role("r")
	_, clerk := e.person("clerk", e.groupWith("clerks", role))
	onePK, _ := e.person("one")
	twoPK, _ := e.person("two")
	one, two := "core/users/"+itoa(onePK)+"/", "core/users/"+itoa(twoPK)+"/"
	weak := e.groupWith("weak")
	is := func(what string, status int, method, path string, body any) answer {
		t.Helper()
		a := e.send(clerk, method, path, body)
		if a.status != status {
			t.Errorf("%s: %s %s: %d %s, want %d", what, method, path, a.status, a.body, status)
		}
		return a
	}
	is("before", 403, "GET", one, nil)
	is("before", 403, "GET", "core/users/", nil)
	e.giveOn(role, "authentik_core.user", itoa(onePK), viewUser, changeUser)
	e.giveOn(role, "authentik_core.group", string(weak), "authentik_core.delete_group")
	is("the one", 200, "GET", one, nil)
	other, absent := is("another", 404, "GET", two, nil), is("none", 404, "GET", "core/users/999/", nil)
	if string(other.body) != string(absent.body) {
		t.Errorf("%s is not %s", other.body, absent.body)
	}
	for _, query := range []string{"", "?search=t", "?username=two", "?username=one&username=two", "?ordering=-pk&page_size=1", "?page=1", "?is_active=true", "?pk=" + itoa(twoPK)} {
		a := is("list", 200, "GET", "core/users/"+query, nil)
		if got := usernames(t, a); len(got) > 1 || len(got) == 1 && got[0] != "one" {
			t.Errorf("%s lists %v", query, got)
		}
		if n := a.object(t)["pagination"].(map[string]any)["count"].(float64); n > 1 {
			t.Errorf("%s counts %v", query, n)
		}
	}
	is("change the one", 200, "PATCH", one, map[string]any{"email": "new@example.com"})
	is("change another", 404, "PATCH", two, map[string]any{"email": "new@example.com"})
	is("replace another", 404, "PUT", two, map[string]any{"username": "x", "name": "x"})
	is("delete the one", 403, "DELETE", one, nil)
	is("password of the one", 403, "POST", one+"set_password/", map[string]any{"password": "a long password"})
	is("add one", 403, "POST", "core/users/", map[string]any{"username": "n", "name": "n"})
	is("list groups", 403, "GET", "core/groups/", nil)
	is("delete another group", 404, "DELETE", "core/groups/"+string(e.groupWith("other"))+"/", nil)
	is("delete the one group", 204, "DELETE", "core/groups/"+string(weak)+"/", nil)
	if u, err := e.db.UserByPK(t.Context(), e.tenant.ID, twoPK); err != nil || u.Email != "" {
		t.Errorf("%+v, %v", u, err)
	}
	// the right to change somebody is none to change who has more.
	e.giveOn(role, "authentik_core.user", itoa(e.rootPK), changeUser)
	is("change a superuser", 403, "PATCH", "core/users/"+itoa(e.rootPK)+"/", map[string]any{"email": "me@evil.test"})

	// It is listed, and taken by name and by number.
	path := "rbac/permissions/assigned_by_roles/"
	row := e.want(200, "GET", path+"?model=authentik_core.user&object_pk="+itoa(onePK), nil)["results"].([]any)[0].(map[string]any)
	held := row["object_permissions"].([]any)
	if row["role_pk"] != string(role.ID) || len(held) != 2 || held[0].(map[string]any)["object_pk"] != itoa(onePK) || len(row["model_permissions"].([]any)) != 0 {
		t.Errorf("%v", row)
	}
	if rows := e.want(200, "GET", path+"?model=authentik_core.user&object_pk="+itoa(twoPK), nil)["results"].([]any); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
	for _, h := range held {
		if h.(map[string]any)["codename"] == "change_user" {
			e.want(204, "DELETE", fmt.Sprintf("rbac/permissions/roles/%.0f/", h.(map[string]any)["id"]), nil)
		}
	}
	is("no longer", 404, "PATCH", one, map[string]any{"email": "newer@example.com"}) // there is one left, on root
	is("still", 200, "GET", one, nil)
	e.want(204, "PATCH", path+string(role.ID)+"/unassign/", map[string]any{"model": "authentik_core.user", "object_pk": itoa(onePK), "permissions": []any{viewUser}})
	is("no more", 403, "GET", one, nil)

	// What cannot be given so is refused, and says what is wrong.
	for name, v := range map[string]struct {
		field string
		body  map[string]any
	}{
		"no object":             {"object_pk", map[string]any{"model": "authentik_core.user", "permissions": []any{viewUser}}},
		"no such object":        {"object_pk", map[string]any{"model": "authentik_core.user", "object_pk": "999", "permissions": []any{viewUser}}},
		"no key":                {"object_pk", map[string]any{"model": "authentik_core.user", "object_pk": "x", "permissions": []any{viewUser}}},
		"another kind":          {"permissions", map[string]any{"model": "authentik_core.group", "object_pk": "1", "permissions": []any{viewUser}}},
		"not of single objects": {"permissions", map[string]any{"model": "authentik_core.user", "object_pk": itoa(onePK), "permissions": []any{"authentik_core.reset_user_password"}}},
		"to add":                {"permissions", map[string]any{"model": "authentik_core.user", "object_pk": itoa(onePK), "permissions": []any{"authentik_core.add_user"}}},
		"a kind without":        {"model", map[string]any{"model": "authentik_core.propertymapping", "object_pk": "x", "permissions": []any{"authentik_core.view_propertymapping"}}},
		"no model":              {"model", map[string]any{"object_pk": itoa(onePK), "permissions": []any{viewUser}}},
	} {
		if a := e.send(e.root, "POST", path+string(role.ID)+"/assign/", v.body); a.status != 400 || a.object(t)[v.field] == nil {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

// what was allowed on an object when it was asked is not when it is done, if the right
// was taken in between. The control's store does not look.
func TestObjectRightAtTheWrite(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		e := open(t)
		role := e.role("r")
		_, clerk := e.person("clerk", e.groupWith("clerks", role))
		pk, _ := e.person("one")
		e.giveOn(role, "authentik_core.user", itoa(pk), changeUser)
		store := api.Store(e.db)
		if !guarded {
			store = &trusting{store}
		}
		e.api.Store = &promoted{store, func() {
			_, err := e.db.UpdateRole(t.Context(), e.tenant.ID, role.ID, func(r *core.Role) error { r.Objects = nil; return nil })
			e.must(err)
		}}
		a := e.send(clerk, "PATCH", "core/users/"+itoa(pk)+"/", map[string]any{"email": "new@example.com"})
		if guarded && a.status != 403 || !guarded && a.status != 200 {
			t.Errorf("guarded %t: %d %s", guarded, a.status, a.body)
		}
	}
}

// unlimited is a store that shows all, whatever a list is limited to.
type unlimited struct{ api.Store }

func (w *unlimited) ListUsers(ctx context.Context, t core.TenantID, q api.Query) ([]core.User, int, error) {
	q.Only = nil
	return w.Store.ListUsers(ctx, t, q)
}

// whatever rights on single users there are, a list shows exactly those that may be seen, and each verb
// works on exactly those that it was given on. The control's store shows more.
func TestObjectRightsShowNoMore(t *testing.T) {
	e := open(t)
	role := e.role("r")
	_, clerk := e.person("clerk", e.groupWith("clerks", role))
	pks := []int64{}
	for i := range 5 {
		pk, _ := e.person(fmt.Sprint("u", i))
		pks = append(pks, pk)
	}
	give := func(rights []core.RolePermission) {
		_, err := e.db.UpdateRole(t.Context(), e.tenant.ID, role.ID, func(r *core.Role) error { r.Objects = rights; return nil })
		e.must(err)
	}
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		if runs++; runs > 30 && !t.Failed() {
			return // enough for one run
		}
		var rights []core.RolePermission
		may := map[string]bool{}
		for _, pk := range pks {
			for _, p := range []core.Permission{viewUser, changeUser} {
				if rapid.Bool().Draw(r, "given") {
					rights = append(rights, core.RolePermission{Permission: p, Object: itoa(pk)})
					may[string(p)+itoa(pk)] = true
				}
			}
		}
		give(rights)
		query := rapid.SampledFrom([]string{"", "?search=u", "?ordering=-username", "?username=u1", "?is_active=true&search=u", "?page_size=2"}).Draw(r, "query")
		if a := e.send(clerk, "GET", "core/users/"+query, nil); a.status == 200 {
			for _, name := range usernames(t, a) {
				i, err := strconv.Atoi(name[1:])
				if err != nil || !may[viewUser+itoa(pks[i])] {
					r.Fatalf("%s shows %s: %v", query, name, rights)
				}
			}
			if query == "" && len(usernames(t, a)) != len(slices.DeleteFunc(slices.Clone(rights), func(h core.RolePermission) bool { return h.Permission != viewUser })) {
				r.Fatalf("%v of %v", usernames(t, a), rights)
			}
		}
		for _, pk := range pks {
			path := "core/users/" + itoa(pk) + "/"
			if a := e.send(clerk, "GET", path, nil); (a.status == 200) != may[viewUser+itoa(pk)] || a.status >= 500 {
				r.Fatalf("GET %s: %d with %v", path, a.status, rights)
			}
			if a := e.send(clerk, "PATCH", path, map[string]any{"name": "x"}); (a.status == 200) != may[changeUser+itoa(pk)] || a.status >= 500 {
				r.Fatalf("PATCH %s: %d with %v", path, a.status, rights)
			}
		}
	})
	e.api.Store = &unlimited{e.db}
	give([]core.RolePermission{{Permission: viewUser, Object: itoa(pks[0])}})
	if got := usernames(t, e.send(clerk, "GET", "core/users/", nil)); len(got) < 2 {
		t.Errorf("control: %v", got)
	}
}

// rights on one application, token and flow, whose paths name them by what can change.
func TestRightsOnApplicationsTokensAndFlows(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/groups/", map[string]any{"name": "nobody"})
	closed := e.want(200, "GET", "core/groups/?name=nobody", nil)["results"].([]any)[0].(map[string]any)["pk"]
	pks := map[string]string{}
	for _, slug := range []string{"one", "two"} {
		pk := e.want(201, "POST", "core/applications/", map[string]any{"name": slug, "slug": slug})["pk"].(string)
		e.want(201, "POST", "policies/bindings/", map[string]any{"target": pk, "group": closed, "order": 0})
		pks[slug] = pk
	}
	role := e.role("r", viewUser)
	_, clerk := e.person("clerk", e.groupWith("clerks", role))
	is := func(what string, status int, method, path string, body any) answer {
		t.Helper()
		a := e.send(clerk, method, path, body)
		if a.status != status {
			t.Errorf("%s: %s %s: %d %s, want %d", what, method, path, a.status, a.body, status)
		}
		return a
	}
	listed := func(path, member string) string {
		t.Helper()
		var out []string
		for _, row := range is("list", 200, "GET", path, nil).object(t)["results"].([]any) {
			out = append(out, row.(map[string]any)[member].(string))
		}
		return fmt.Sprint(out)
	}
	token := e.want(200, "GET", "core/tokens/of-plain/", nil)["pk"].(string)
	flow := e.flows().authorization.(string)
	is("before", 404, "GET", "core/applications/one/", nil)
	is("before", 403, "PATCH", "core/applications/one/", map[string]any{"name": "x"})
	is("before", 404, "GET", "core/tokens/of-plain/", nil)
	is("before", 403, "GET", "flows/instances/", nil)

	e.giveOn(role, "authentik_core.application", pks["one"], "authentik_core.view_application", "authentik_core.change_application")
	is("the one", 200, "GET", "core/applications/one/", nil)
	is("another", 404, "GET", "core/applications/two/", nil)
	is("change the one", 200, "PATCH", "core/applications/one/", map[string]any{"meta_description": "new"})
	is("its icon", 200, "POST", "core/applications/one/set_icon_url/", map[string]any{"url": "https://x.test/i.png"})
	is("change another", 404, "PATCH", "core/applications/two/", map[string]any{"meta_description": "new"})
	is("another's icon", 404, "POST", "core/applications/two/set_icon_url/", map[string]any{"url": "https://x.test/i.png"})
	is("delete the one", 403, "DELETE", "core/applications/one/", nil)
	if got := listed("core/applications/?superuser_full_list=true", "slug") + listed("core/applications/", "slug"); got != "[one][]" {
		t.Errorf("listed: %s", got)
	}

	e.giveOn(role, "authentik_core.token", token, "authentik_core.view_token", "authentik_core.delete_token")
	is("the one", 200, "GET", "core/tokens/of-plain/", nil)
	is("another", 404, "GET", "core/tokens/of-root/", nil)
	is("its key", 403, "GET", "core/tokens/of-plain/view_key/", nil)
	is("change the one", 403, "PATCH", "core/tokens/of-plain/", map[string]any{"description": "x"})
	if got := listed("core/tokens/?ordering=identifier", "identifier"); got != "[of-clerk of-plain]" {
		t.Errorf("listed: %s", got)
	}
	is("delete another", 404, "DELETE", "core/tokens/of-root/", nil)
	is("delete the one", 204, "DELETE", "core/tokens/of-plain/", nil)

	e.giveOn(role, "authentik_flows.flow", flow, "authentik_flows.view_flow")
	if got := listed("flows/instances/", "slug"); got != "["+core.FlowImplicitConsent+"]" {
		t.Errorf("listed: %s", got)
	}
	is("the one", 200, "GET", "flows/instances/"+core.FlowImplicitConsent+"/", nil)
	is("another", 404, "GET", "flows/instances/"+core.FlowProviderInvalidation+"/", nil)
}

// a right on one application is none on what has come to its slug when the write is done. The
// control's store does not look.
func TestSlugThatBecameAnothers(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		for _, method := range []string{"PATCH", "DELETE"} {
			e := open(t)
			pk := e.want(201, "POST", "core/applications/", map[string]any{"name": "one", "slug": "one"})["pk"].(string)
			other := e.want(201, "POST", "core/applications/", map[string]any{"name": "two", "slug": "two"})["pk"].(string)
			role := e.role("r")
			_, clerk := e.person("clerk", e.groupWith("clerks", role))
			e.giveOn(role, "authentik_core.application", pk, "authentik_core.change_application", "authentik_core.delete_application")
			e.api.Store = &renamed{e.api.Store, guarded, func() {
				e.rename("one", "first")
				e.rename("two", "one")
			}}
			var body any
			if method == "PATCH" {
				body = map[string]any{"meta_description": "mine"}
			}
			a := e.send(clerk, method, "core/applications/one/", body)
			if guarded && a.status != 403 || !guarded && a.status >= 400 {
				t.Errorf("guarded %t: %s: %d %s", guarded, method, a.status, a.body)
			}
			got, err := e.db.Application(t.Context(), e.tenant.ID, core.ApplicationID(other))
			if guarded && (err != nil || got.Description != "") {
				t.Errorf("%s: %v %v", method, got, err)
			}
		}
	}
}

// rename gives an application another slug, behind the API.
func (e *env) rename(old, slug string) {
	e.Helper()
	_, err := e.db.UpdateApplication(e.Context(), e.tenant.ID, old, func(a *core.Application) error { a.Slug = slug; return nil })
	e.must(err)
}

// renamed is a store in which something happens just before an application is written.
type renamed struct {
	api.Store
	guarded bool
	before  func()
}

func (r *renamed) context(ctx context.Context) context.Context {
	r.before()
	if r.guarded {
		return ctx
	}
	return blind(ctx)
}

func (r *renamed) UpdateApplication(ctx context.Context, t core.TenantID, slug string, change func(*core.Application) error) (*core.Application, error) {
	return r.Store.UpdateApplication(r.context(ctx), t, slug, change)
}

func (r *renamed) DeleteApplication(ctx context.Context, t core.TenantID, slug string) error {
	return r.Store.DeleteApplication(r.context(ctx), t, slug)
}
