package api_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// maze is a random directory in which a delegated administrator acts at random.
type maze struct {
	*env
	boss   string
	bossPK int64
	before map[string]core.Rights // of each user, by name
	own    core.Rights            // of the boss
	users  []int64
	groups []core.GroupID
	roles  []core.RoleID
	log    []string
}

// pick chooses a number below n.
type pick func(n int) int

var mazeRights = []core.Permission{
	"authentik_core.view_user", "authentik_core.add_user", "authentik_core.change_user", "authentik_core.reset_user_password",
	"authentik_core.view_group", "authentik_core.add_group", "authentik_core.change_group", "authentik_core.add_user_to_group",
	"authentik_core.remove_user_from_group", "authentik_rbac.view_role", "authentik_rbac.assign_role_permissions",
	"authentik_core.view_token", "authentik_core.view_token_key", "authentik_core.set_token_key",
}

// singleRights are given on single users and groups; the boss has not those to delete.
var singleRights = []core.Permission{"authentik_core.change_user", "authentik_core.delete_user", "authentik_core.change_group", "authentik_core.delete_group"}

var otherRights = []core.Permission{"authentik_flows.view_flow", "authentik_crypto.view_certificatekeypair_key", "authentik_events.view_event"}

// newMaze makes a tenant of its own: a few roles, groups below one another, and users.
func newMaze(e *env, choose pick) *maze {
	own := *e
	id := core.TenantID("t_" + fmt.Sprintf("%x", core.Hash(core.RandomAlphanumeric(30)))[:20])
	tenant, err := e.db.CreateTenant(e.Context(), id, "maze")
	e.must(err)
	own.tenant = tenant
	m := &maze{env: &own, before: map[string]core.Rights{}}
	everyRight := slices.Concat(mazeRights, otherRights)
	for i := range 4 {
		var some []core.Permission
		for range choose(4) {
			some = append(some, everyRight[choose(len(everyRight))])
		}
		r := m.role(fmt.Sprintf("r%d", i), some...)
		if choose(2) == 0 { // on an object that there need not be
			_, err := e.db.UpdateRole(e.Context(), id, r.ID, func(r *core.Role) error {
				r.Objects = []core.RolePermission{{Permission: singleRights[choose(2)], Object: itoa(int64(1 + choose(3)))}}
				return nil
			})
			e.must(err)
		}
		m.roles = append(m.roles, r.ID)
	}
	for i := range 6 {
		g := &core.Group{Name: fmt.Sprintf("g%d", i), Superuser: choose(6) == 0}
		for range choose(3) {
			if i > 0 {
				g.Parents = append(g.Parents, m.groups[choose(i)])
			}
			g.Roles = append(g.Roles, m.roles[choose(len(m.roles))])
		}
		slices.Sort(g.Parents)
		slices.Sort(g.Roles)
		g.Parents, g.Roles = slices.Compact(g.Parents), slices.Compact(g.Roles)
		e.must(e.db.CreateGroup(e.Context(), m.tenant.ID, g, nil))
		m.groups = append(m.groups, g.ID)
	}
	for i := range 5 {
		pk, _ := m.person(fmt.Sprintf("u%d", i), m.groups[choose(len(m.groups))])
		m.users = append(m.users, pk)
	}
	// The boss holds all of mazeRights, and no other.
	m.bossPK, m.boss = m.person("boss", m.groupWith("boss", m.role("boss", mazeRights...)))
	m.users = append(m.users, m.bossPK)
	for name, r := range m.rights() {
		m.before[name] = r
	}
	m.own = m.before["boss"]
	return m
}

// rights are those of every user, by name.
func (m *maze) rights() map[string]core.Rights {
	users, _, err := m.db.ListUsers(m.Context(), m.tenant.ID, api.Query{})
	m.must(err)
	out := map[string]core.Rights{}
	for _, u := range users {
		r, err := m.db.Rights(m.Context(), m.tenant.ID, u.ID)
		m.must(err)
		out[u.UserName] = r
	}
	return out
}

// act does one thing at random. It returns the user whose login it opened.
func (m *maze) act(choose pick) (opened string) {
	user, group := m.users[choose(len(m.users))], m.groups[choose(len(m.groups))]
	other, role := m.groups[choose(len(m.groups))], m.roles[choose(len(m.roles))]
	rights := slices.Concat(mazeRights, otherRights)
	right := rights[choose(len(rights))]
	u, err := m.db.UserByPK(m.Context(), m.tenant.ID, user)
	m.must(err)
	var method, path string
	var body any
	opens := false
	switch choose(12) {
	case 0:
		method, path, body = "PATCH", "core/groups/"+string(group)+"/", map[string]any{"parents": []any{other}}
	case 1:
		method, path, body = "PATCH", "core/groups/"+string(group)+"/", map[string]any{"roles": []any{role}}
	case 2:
		method, path, body = "PATCH", "core/groups/"+string(group)+"/", map[string]any{"is_superuser": true}
	case 3:
		method, path, body = "PATCH", "core/groups/"+string(group)+"/", map[string]any{"users": []any{user, m.bossPK}}
	case 4:
		method, path, body = "POST", "core/groups/"+string(group)+"/add_user/", map[string]any{"pk": user}
	case 5:
		method, path, body = "PATCH", "core/users/"+itoa(user)+"/", map[string]any{"groups": []any{group, other}}
	case 6:
		method, path, body = "POST", "rbac/permissions/assigned_by_roles/"+string(role)+"/assign/", map[string]any{"permissions": []any{right}}
	case 7:
		method, path, body = "POST", "core/groups/", map[string]any{"name": core.RandomAlphanumeric(9), "parents": []any{group}, "roles": []any{role}, "users": []any{m.bossPK}}
	case 10:
		method, path, body = "PATCH", "core/users/"+itoa(user)+"/", map[string]any{"roles": []any{role}}
	case 8:
		method, path, body, opens = "POST", "core/tokens/of-"+u.UserName+"/set_key/", map[string]any{"key": core.RandomAlphanumeric(30)}, true
	case 9:
		method, path, opens = "GET", "core/tokens/of-"+u.UserName+"/view_key/", true
	}
	if method == "" {
		model, object := "authentik_core.user", itoa(user)
		if right = singleRights[choose(len(singleRights))]; right.Codename() == "change_group" || right.Codename() == "delete_group" {
			model, object = "authentik_core.group", string(group)
		}
		method, path = "POST", "rbac/permissions/assigned_by_roles/"+string(role)+"/assign/"
		body = map[string]any{"permissions": []any{right}, "model": model, "object_pk": object}
	}
	a := m.send(m.boss, method, path, body)
	m.log = append(m.log, fmt.Sprintf("%s %s %v: %d %.120s", method, path, body, a.status, a.body))
	if a.status >= 500 {
		m.Fatalf("%v", m.log)
	}
	if opens && a.status < 300 {
		return u.UserName
	}
	return ""
}

// grown tells who has a right now that neither they nor the boss had.
func (m *maze) grown(opened string) string {
	now := m.rights()
	if opened != "" {
		// What the boss can act as is the boss's.
		now["boss by "+opened] = now[opened]
	}
	for name, r := range now {
		if r.Superuser && !m.before[name].Superuser {
			return fmt.Sprintf("%s is a superuser", name)
		}
		for _, p := range r.Permissions {
			if !m.own.Has(p) && !m.before[name].Has(p) {
				return fmt.Sprintf("%s has %s", name, p)
			}
		}
		for _, o := range r.Objects {
			if !m.own.HasOn(o.Permission, o.Object) && !m.before[name].HasOn(o.Permission, o.Object) {
				return fmt.Sprintf("%s has %s on %s", name, o.Permission, o.Object)
			}
		}
	}
	return ""
}

// whatever the directory, and whatever is done, nobody comes to a right that
// the delegated administrator has not.
func TestRightsNeverGrow(t *testing.T) {
	e := open(t)
	done := 0
	rapid.Check(t, func(r *rapid.T) {
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "n") }
		if done++; done > 25 && !t.Failed() {
			return // enough for one run
		}
		m := newMaze(e, choose)
		for range 15 {
			if grown := m.grown(m.act(choose)); grown != "" {
				r.Fatalf("%s: %q", grown, m.log)
			}
		}
	})
	// Control: with a store that does not know of delegations they do.
	weak := open(t)
	weak.api.Store = &trusting{weak.api.Store}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		m := newMaze(weak, random.IntN)
		for range 15 {
			if m.grown(m.act(random.IntN)) != "" {
				return
			}
		}
	}
	t.Error("rights that grow were not found")
}
