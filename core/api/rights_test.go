package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// office is a directory with a delegated administrator in it, who may do everything
// with users, groups, roles and tokens, and nothing else.
type office struct {
	*env
	boss, low, high            string // API tokens
	bossPK, lowPK, highPK      int64
	own, weak, strong, admins  core.GroupID
	held, lesser, more, beyond *core.Role
	rights                     []core.Permission
}

func newOffice(e *env) *office {
	o := &office{env: e}
	for _, p := range api.Permissions() {
		for _, model := range []string{"_user", "_group", "_token", "_role", "reset_user_password", "_role_permissions"} {
			if (p.App() == "authentik_core" || p.App() == "authentik_rbac") && (strings.HasSuffix(string(p), model) || strings.HasPrefix(p.Codename(), model)) && !slices.Contains(o.rights, p) {
				o.rights = append(o.rights, p)
			}
		}
	}
	o.rights = append(o.rights, "authentik_core.view_token_key", "authentik_core.set_token_key", "authentik_core.remove_user_from_group")
	o.held = e.role("held", o.rights...)
	o.lesser = e.role("lesser", "authentik_core.view_user")
	o.more = e.role("more", "authentik_core.view_user", "authentik_crypto.view_certificatekeypair_key")
	o.beyond = e.role("beyond", "authentik_flows.view_flow")
	o.own, o.weak, o.strong = e.groupWith("own", o.held), e.groupWith("weak", o.lesser), e.groupWith("strong", o.more)
	g := &core.Group{Name: "bosses", Superuser: true}
	e.must(e.db.CreateGroup(e.Context(), e.tenant.ID, g, nil))
	o.admins = g.ID
	o.bossPK, o.boss = e.person("boss", o.own)
	o.lowPK, o.low = e.person("low", o.weak)
	o.highPK, o.high = e.person("high", o.strong)
	return o
}

// attempt is one thing that the delegated administrator tries; status is what comes
// of it, and a superuser is always let through.
type attempt struct {
	name         string
	method, path string
	body         map[string]any
	status       int
}

// sent is the body, or none.
func (a attempt) sent() any {
	if a.body == nil {
		return nil
	}
	return a.body
}

func (o *office) attempts() []attempt {
	user := func(pk int64) string { return "core/users/" + itoa(pk) + "/" }
	group := func(id core.GroupID) string { return "core/groups/" + string(id) + "/" }
	perms := func(r *core.Role, verb string) string {
		return "rbac/permissions/assigned_by_roles/" + string(r.ID) + "/" + verb + "/"
	}
	key := strings.Repeat("k", 40)
	return []attempt{
		{"parent: superusers", "PATCH", group(o.own), map[string]any{"parents": []any{o.admins}}, 403},
		{"parent, in the old form", "PATCH", group(o.own), map[string]any{"parent": o.admins}, 403},
		{"parent: a stronger group", "PATCH", group(o.weak), map[string]any{"parents": []any{o.strong}}, 403},
		{"parent: one's own group", "PATCH", group(o.weak), map[string]any{"parents": []any{o.own}}, 200},
		{"is_superuser", "PATCH", group(o.own), map[string]any{"is_superuser": true}, 403},
		{"is_superuser of a new group", "POST", "core/groups/", map[string]any{"name": "n1", "is_superuser": true}, 403},
		{"a new group below superusers", "POST", "core/groups/", map[string]any{"name": "n2", "parents": []any{o.admins}, "users": []any{o.bossPK}}, 403},
		{"a new group", "POST", "core/groups/", map[string]any{"name": "n3", "roles": []any{o.held.ID}, "users": []any{o.lowPK}}, 201},
		{"a role beyond, to one's own group", "PATCH", group(o.own), map[string]any{"roles": []any{o.held.ID, o.beyond.ID}}, 403},
		{"a role beyond, to another group", "PATCH", group(o.weak), map[string]any{"roles": []any{o.more.ID}}, 403},
		{"one's own role to a group", "PATCH", group(o.weak), map[string]any{"roles": []any{o.lesser.ID, o.held.ID}}, 200},
		{"into superusers, by the list", "PATCH", group(o.admins), map[string]any{"users": []any{o.bossPK}}, 403},
		{"into superusers, by add_user", "POST", group(o.admins) + "add_user/", map[string]any{"pk": o.bossPK}, 403},
		{"into superusers, by one's own groups", "PATCH", user(o.bossPK), map[string]any{"groups": []any{o.own, o.admins}}, 403},
		{"somebody into a stronger group", "POST", group(o.strong) + "add_user/", map[string]any{"pk": o.lowPK}, 403},
		{"somebody into a stronger group, by PUT", "PUT", user(o.lowPK), map[string]any{"username": "low", "name": "low", "groups": []any{o.strong}}, 403},
		{"somebody into one's own group", "POST", group(o.own) + "add_user/", map[string]any{"pk": o.lowPK}, 204},
		{"a role beyond, to oneself", "PATCH", user(o.bossPK), map[string]any{"roles": []any{o.beyond.ID}}, 403},
		{"a role beyond, to another user", "PATCH", user(o.lowPK), map[string]any{"roles": []any{o.more.ID}}, 403},
		{"a new user with a role beyond", "POST", "core/users/", map[string]any{"username": "n7", "name": "n", "roles": []any{o.beyond.ID}}, 403},
		{"one's own role to another user", "PATCH", user(o.lowPK), map[string]any{"roles": []any{o.held.ID}}, 200},
		{"a new superuser", "POST", "core/users/", map[string]any{"username": "n4", "name": "n", "groups": []any{o.admins}}, 403},
		{"a new user", "POST", "core/users/", map[string]any{"username": "n5", "name": "n", "groups": []any{o.weak}}, 201},
		{"password of a superuser", "POST", user(o.rootPK) + "set_password/", map[string]any{"password": "long enough"}, 403},
		{"password of one who has more", "POST", user(o.highPK) + "set_password/", map[string]any{"password": "long enough"}, 403},
		{"password of one who has less", "POST", user(o.lowPK) + "set_password/", map[string]any{"password": "long enough"}, 204},
		{"link of a superuser", "POST", user(o.rootPK) + "recovery/", nil, 403},
		{"link of one who has less", "POST", user(o.lowPK) + "recovery/", nil, 200},
		{"address of a superuser", "PATCH", user(o.rootPK), map[string]any{"email": "me@evil.test"}, 403},
		{"a superuser's power", "PATCH", user(o.rootPK), map[string]any{"groups": []any{}}, 403},
		{"address of one who has less", "PATCH", user(o.lowPK), map[string]any{"email": "new@example.com"}, 200},
		{"key of a superuser's token", "GET", "core/tokens/of-root/view_key/", nil, 403},
		{"new key of a superuser's token", "POST", "core/tokens/of-root/set_key/", map[string]any{"key": key}, 403},
		{"a superuser's token, changed", "PATCH", "core/tokens/of-root/", map[string]any{"expiring": false}, 403},
		{"key of the token of one who has more", "GET", "core/tokens/of-high/view_key/", nil, 403},
		{"key of the token of one who has less", "GET", "core/tokens/of-low/view_key/", nil, 200},
		{"a token for a superuser", "POST", "core/tokens/", map[string]any{"identifier": "n6", "user": o.rootPK}, 400},
		{"a token given to a superuser", "PATCH", "core/tokens/of-boss/", map[string]any{"user": o.rootPK}, 400},
		{"a permission beyond, to one's own role", "POST", perms(o.held, "assign"), map[string]any{"permissions": []any{"authentik_crypto.view_certificatekeypair_key"}}, 403},
		{"a permission within, to a weaker role", "POST", perms(o.lesser, "assign"), map[string]any{"permissions": []any{"authentik_core.change_user"}}, 200},
		{"a permission taken from a stronger role", "PATCH", perms(o.more, "unassign"), map[string]any{"permissions": []any{"authentik_core.view_user"}}, 403},
		{"a stronger role, renamed", "PATCH", "rbac/roles/" + string(o.more.ID) + "/", map[string]any{"name": "x"}, 403},
		{"delete the group of superusers", "DELETE", group(o.admins), nil, 403},
		{"delete a superuser", "DELETE", user(o.rootPK), nil, 403},
		{"delete one who has less", "DELETE", user(o.lowPK), nil, 204},
	}
}

// a delegated administrator comes to no right that they do not have, by any
// way. The control is the same attempt by a superuser.
func TestDelegatedRightsDoNotGrow(t *testing.T) {
	boss := newOffice(open(t))
	for _, a := range boss.attempts() {
		got := boss.send(boss.boss, a.method, a.path, a.sent())
		if got.status != a.status {
			t.Errorf("%s: %s %s: %d %s, want %d", a.name, a.method, a.path, got.status, got.body, a.status)
		}
	}
	root := newOffice(open(t))
	chiefs := &core.Group{Name: "chiefs", Superuser: true}
	root.must(root.db.CreateGroup(t.Context(), root.tenant.ID, chiefs, nil))
	_, chief := root.person("chief", chiefs.ID)
	for _, a := range root.attempts() {
		if got := root.send(chief, a.method, a.path, a.sent()); got.status >= 400 {
			t.Errorf("%s, as superuser: %d %s", a.name, got.status, got.body)
		}
	}
}

// what was allowed when it was asked is not when it is done, if the rights
// changed in between.
func TestDelegationAtTheWrite(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		o := newOffice(open(t))
		store := api.Store(o.db)
		if !guarded {
			store = &trusting{store}
		}
		o.api.Store = &promoted{store, func() { o.must(o.db.AddMember(t.Context(), o.tenant.ID, o.admins, o.lowPK)) }}
		a := o.send(o.boss, "PATCH", "core/users/"+itoa(o.lowPK)+"/", map[string]any{"email": "me@evil.test"})
		switch {
		case guarded && a.status != 403:
			t.Errorf("a user was changed who had become a superuser meanwhile: %d %s", a.status, a.body)
		case !guarded && a.status != 200:
			t.Errorf("the control: %d %s", a.status, a.body)
		}
	}
}

// promoted is a store in which something happens just before a user is saved.
type promoted struct {
	api.Store
	before func()
}

func (p *promoted) UpdateUser(ctx context.Context, t core.TenantID, pk int64, change func(*core.User) error) (*core.User, error) {
	p.before()
	return p.Store.UpdateUser(ctx, t, pk, change)
}

// trusting is a store that does not know of delegations: what the tests must find.
type trusting struct{ api.Store }

func blind(ctx context.Context) context.Context { return core.WithDelegation(ctx, nil) }

func (s *trusting) CreateUser(ctx context.Context, t core.TenantID, u *core.User) error {
	return s.Store.CreateUser(blind(ctx), t, u)
}

func (s *trusting) UpdateUser(ctx context.Context, t core.TenantID, pk int64, change func(*core.User) error) (*core.User, error) {
	return s.Store.UpdateUser(blind(ctx), t, pk, change)
}

func (s *trusting) CreateGroup(ctx context.Context, t core.TenantID, g *core.Group, members []int64) error {
	return s.Store.CreateGroup(blind(ctx), t, g, members)
}

func (s *trusting) UpdateGroup(ctx context.Context, t core.TenantID, id core.GroupID, change func(*core.Group) ([]int64, error)) (*core.Group, error) {
	return s.Store.UpdateGroup(blind(ctx), t, id, change)
}

func (s *trusting) AddMember(ctx context.Context, t core.TenantID, id core.GroupID, user int64) error {
	return s.Store.AddMember(blind(ctx), t, id, user)
}

func (s *trusting) UpdateRole(ctx context.Context, t core.TenantID, id core.RoleID, change func(*core.Role) error) (*core.Role, error) {
	return s.Store.UpdateRole(blind(ctx), t, id, change)
}

func (s *trusting) SetTokenKey(ctx context.Context, t core.TenantID, identifier string, key core.Secret) error {
	return s.Store.SetTokenKey(blind(ctx), t, identifier, key)
}

// T-28, R-06: with the right to see a provider its secret is not seen; with that to
// change it, it is.
func TestSecretNeedsTheRightToChange(t *testing.T) {
	e := open(t)
	role := e.role("r", "authentik_providers_oauth2.view_oauth2provider")
	_, viewer := e.person("viewer", e.groupWith("g", role))
	pk := e.want(201, "POST", "providers/oauth2/", e.flows().with(map[string]any{"name": "p", "client_secret": strings.Repeat("canary-", 6), "redirect_uris": []any{}}))["pk"]
	path := fmt.Sprintf("providers/oauth2/%v/", pk)
	if a := e.send(viewer, "GET", path, nil); a.status != 200 || strings.Contains(string(a.body), "canary") {
		t.Errorf("a viewer is shown %d %s", a.status, a.body)
	}
	e.permit(role, "authentik_providers_oauth2.view_oauth2provider", "authentik_providers_oauth2.change_oauth2provider")
	if a := e.send(viewer, "GET", path, nil); !strings.Contains(string(a.body), "canary") {
		t.Errorf("the control: %d %s", a.status, a.body)
	}
}

// What may not be viewed is not shown as a part of something else either.
func TestPartsNeedTheirOwnRight(t *testing.T) {
	e := open(t)
	role := e.role("canary-role", "authentik_core.view_group")
	group := e.groupWith("canary-group", role)
	_, viewer := e.person("canary-user", group)
	see := func(path string) string {
		a := e.send(viewer, "GET", path, nil)
		if a.status != 200 {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		return string(a.body)
	}
	path := "core/groups/" + string(group) + "/"
	if s := see(path); strings.Contains(s, "canary-user") || strings.Contains(s, "canary-role") {
		t.Errorf("with the right to see groups: %s", s)
	}
	e.permit(role, "authentik_core.view_group", "authentik_core.view_user", "authentik_rbac.view_role")
	if s := see(path); !strings.Contains(s, "canary-user") || !strings.Contains(s, "canary-role") {
		t.Errorf("the control: %s", s)
	}
	e.permit(role, "authentik_core.view_user")
	if s := see("core/users/"); strings.Contains(s, "canary-group") {
		t.Errorf("with the right to see users: %s", s)
	}
	e.permit(role, "authentik_core.view_token")
	if s := see("core/tokens/"); strings.Contains(s, "of-root") || !strings.Contains(s, "of-canary-user") {
		t.Errorf("with the right to see tokens, and not users: %s", s)
	}
	e.permit(role, "authentik_core.view_token", "authentik_core.view_user")
	if s := see("core/tokens/"); !strings.Contains(s, "of-root") {
		t.Errorf("the control: %s", s)
	}
}

// A user has the rights of their own roles, and loses them with the role.
func TestRolesOfUsers(t *testing.T) {
	e := open(t)
	role := e.role("viewers", "authentik_core.view_group")
	pk, token := e.person("one")
	path := "core/users/" + itoa(pk) + "/"
	may := func(status int) {
		t.Helper()
		if a := e.send(token, "GET", "core/groups/", nil); a.status != status {
			t.Errorf("%d %s, want %d", a.status, a.body, status)
		}
	}
	may(403)
	is := e.want(200, "PATCH", path, map[string]any{"roles": []any{role.ID}})
	if fmt.Sprint(is["roles"]) != "["+string(role.ID)+"]" || is["roles_obj"].([]any)[0].(map[string]any)["name"] != "viewers" {
		t.Errorf("%v", is)
	}
	may(200)
	if is := e.want(200, "GET", "core/users/?username=one", nil)["results"].([]any)[0].(map[string]any); fmt.Sprint(is["roles"]) != "["+string(role.ID)+"]" {
		t.Errorf("%v", is)
	}
	for query, want := range map[string]int{"roles_by_pk=" + string(role.ID): 1, "roles_by_name=viewers": 1, "roles_by_name=none": 0} {
		if got := len(e.want(200, "GET", "core/users/?"+query, nil)["results"].([]any)); got != want {
			t.Errorf("%s finds %d users", query, got)
		}
	}
	e.want(200, "PATCH", path, map[string]any{"email": "one@example.com"})
	may(200)
	e.want(200, "PATCH", path, map[string]any{"roles": []any{}})
	may(403)
	e.want(200, "PATCH", path, map[string]any{"roles": []any{role.ID}})
	e.want(204, "DELETE", "rbac/roles/"+string(role.ID)+"/", nil)
	may(403)
}

// a body cannot name what only the system knows.
func TestPrivilegedFields(t *testing.T) {
	o := newOffice(open(t))
	body := map[string]any{"username": "n", "name": "n", "pk": o.rootPK, "uuid": "x", "is_superuser": true, "password": "known to me", "tenant": "t_b",
		"date_joined": "2001-01-01T00:00:00Z", "email_verified": true, "last_login": "2001-01-01T00:00:00Z"}
	a := o.send(o.boss, "POST", "core/users/", body)
	is := a.object(t)
	if a.status != 201 || is["pk"] == float64(o.rootPK) || is["is_superuser"] != false || is["last_login"] != nil || len(o.passwords.of) != 0 {
		t.Errorf("%d %v", a.status, is)
	}
	u, err := o.db.UserByName(t.Context(), o.tenant.ID, "n")
	o.must(err)
	if u.EmailVerified || u.Created.Year() == 2001 {
		t.Errorf("%+v", u)
	}
	a = o.send(o.boss, "POST", "rbac/roles/", map[string]any{"name": "r", "permissions": []string{"authentik_flows.view_flow"}, "pk": string(o.beyond.ID)})
	role, err := o.db.Role(t.Context(), o.tenant.ID, core.RoleID(fmt.Sprint(a.object(t)["pk"])))
	if o.must(err); a.status != 201 || len(role.Permissions) != 0 || role.ID == o.beyond.ID {
		t.Errorf("%d %+v", a.status, role)
	}
	// Control: what a body may name is taken.
	if is["username"] != "n" || role.Name != "r" {
		t.Errorf("%v %+v", is, role)
	}
}
