package storagetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
)

func roleTests() map[string]func(*bench) {
	tests := map[string]func(*bench){
		"role/round trip":   roleRoundTrip,
		"role/list":         roleList,
		"role/of groups":    roleOfGroups,
		"role/rights":       roleRights,
		"role/lost on way":  delegationLost,
		"role/scope api":    delegationScope,
		"role/own tokens":   delegationTokens,
		"role/objects":      roleObjects,
		"role/on objects":   delegationObjects,
		"role/only some":    listOnly,
		"role/outbox":       roleOutbox,
		"role/many at once": roleContention,
	}
	// Each attempt has a tenant of its own, and one store holds a few of them only.
	for part := range actParts {
		tests[fmt.Sprintf("role/delegation %d", part)] = func(b *bench) { delegation(b, part) }
		tests[fmt.Sprintf("role/no delegation %d", part)] = func(b *bench) { delegationNone(b, part) }
	}
	return tests
}

// actParts is how many tests share the attempts.
const actParts = 8

// role makes one with permissions.
func (b *bench) role(name string, permissions ...core.Permission) *core.Role {
	b.Helper()
	r := &core.Role{Name: name}
	for _, p := range permissions {
		r.Permissions = append(r.Permissions, core.RolePermission{Permission: p})
	}
	b.ok(b.CreateRole(b.ctx, b.t, r))
	return r
}

// groupWith makes a group with roles.
func (b *bench) groupWith(name string, parents []core.GroupID, roles ...*core.Role) *core.Group {
	b.Helper()
	g := &core.Group{Name: name, Parents: parents}
	for _, r := range roles {
		g.Roles = append(g.Roles, r.ID)
	}
	b.ok(b.CreateGroup(b.ctx, b.t, g, nil))
	return g
}

func held(r *core.Role) string {
	var out []string
	for _, p := range r.Permissions {
		out = append(out, fmt.Sprintf("%s#%d", p.Permission, p.PK))
	}
	return strings.Join(out, " ")
}

func roleRoundTrip(b *bench) {
	r := b.role("Helpdesk", "b.two", "a.one", "a.one")
	equal(b, "permissions", held(r), "a.one#2 b.two#1")
	got, err := b.Role(b.ctx, b.t, r.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, r) {
		b.Errorf("got %#v\nwant %#v", got, r)
	}
	b.clock.Add(time.Minute)
	changed, err := b.UpdateRole(b.ctx, b.t, r.ID, func(r *core.Role) error {
		r.ID, r.Name = "forged", "Help"
		r.Permissions = append(r.Permissions[1:], core.RolePermission{PK: 99, Permission: "c.three"})
		return nil
	})
	b.ok(err)
	equal(b, "changed", held(changed), "b.two#1 c.three#3")
	got, err = b.Role(b.ctx, b.t, r.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, changed) || got.ID != r.ID || got.Name != "Help" || !got.Updated.After(got.Created) {
		b.Errorf("got %#v\nwant %#v", got, changed)
	}
	stop := fmt.Errorf("stop")
	_, err = b.UpdateRole(b.ctx, b.t, r.ID, func(r *core.Role) error { r.Name = "half"; return stop })
	equal(b, "error of change", err, stop)
	err = b.CreateRole(b.ctx, b.t, &core.Role{Name: "Help"})
	b.field(err, "name")
	b.is(err, core.ErrExists)
	b.ok(b.DeleteRole(b.ctx, b.t, r.ID))
	b.is(b.DeleteRole(b.ctx, b.t, r.ID), core.ErrNotFound)
	b.is(second(b.Role(b.ctx, b.t, r.ID)), core.ErrNotFound)
	b.is(second(b.UpdateRole(b.ctx, b.t, r.ID, func(*core.Role) error { return nil })), core.ErrNotFound)
	equal(b, "a number is never given twice", held(b.role("New", "a.one")), "a.one#4")
}

func roleList(b *bench) {
	b.role("beta", "a.one")
	b.role("Alpha", "a.one", "b.two")
	for _, c := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Order: []string{"name"}}, "Alpha beta of 2"},
		{api.Query{Where: map[string][]string{"name": {"beta"}}}, "beta of 1"},
		{api.Query{Where: map[string][]string{"permission": {"b.two"}}}, "Alpha of 1"},
		{api.Query{Where: map[string][]string{"permission_pk": {"1"}}}, "beta of 1"},
		{api.Query{Search: "ALPH"}, "Alpha of 1"},
		{api.Query{Offset: 7}, " of 2"},
	} {
		rs, n, err := b.ListRoles(b.ctx, b.t, c.q)
		b.ok(err)
		var names []string
		for _, r := range rs {
			names = append(names, r.Name)
			if len(r.Permissions) == 0 {
				b.Errorf("%s is listed without permissions", r.Name)
			}
		}
		equal(b, fmt.Sprint(c.q), fmt.Sprintf("%s of %d", strings.Join(names, " "), n), c.want)
	}
	_, _, err := b.ListRoles(b.ctx, b.t, api.Query{Where: map[string][]string{"group": {"x"}}})
	b.field(err, "group")
}

func roleOfGroups(b *bench) {
	r, s := b.role("r", "a.one"), b.role("s", "b.two")
	g := b.groupWith("g", nil, r)
	roles := func() []core.RoleID {
		got, err := b.Group(b.ctx, b.t, g.ID)
		b.ok(err)
		listed, _, err := b.ListGroups(b.ctx, b.t, api.Query{Where: map[string][]string{"pk": {string(g.ID)}}})
		b.ok(err)
		if !slices.Equal(got.Roles, listed[0].Roles) {
			b.Errorf("shown %v, listed %v", got.Roles, listed[0].Roles)
		}
		return got.Roles
	}
	equal(b, "at creation", fmt.Sprint(roles()), fmt.Sprint([]core.RoleID{r.ID}))
	_, err := b.UpdateGroup(b.ctx, b.t, g.ID, func(g *core.Group) ([]int64, error) { g.Roles = []core.RoleID{s.ID}; return nil, nil })
	b.ok(err)
	equal(b, "replaced", fmt.Sprint(roles()), fmt.Sprint([]core.RoleID{s.ID}))
	for _, bad := range []core.RoleID{"none", "\x00"} {
		_, err = b.UpdateGroup(b.ctx, b.t, g.ID, func(g *core.Group) ([]int64, error) { g.Roles = []core.RoleID{bad}; return nil, nil })
		b.field(err, "roles")
	}
	b.ok(b.DeleteRole(b.ctx, b.t, s.ID))
	equal(b, "deleted", len(roles()), 0)
}

func roleRights(b *bench) {
	top := b.groupWith("top", nil, b.role("r", "a.one", "b.two"))
	low := b.groupWith("low", []core.GroupID{top.ID}, b.role("s", "b.two", "c.three"))
	u, other := b.user("alice", low.ID), b.user("bob", top.ID)
	rights := func(u core.UserID) string {
		r, err := b.Rights(b.ctx, b.t, u)
		b.ok(err)
		return fmt.Sprint(r.Superuser, r.Permissions)
	}
	equal(b, "direct and inherited", rights(u.ID), "false [a.one b.two c.three]")
	equal(b, "direct", rights(other.ID), "false [a.one b.two]")
	equal(b, "of nobody", rights("none"), "false []")
	_, err := b.UpdateGroup(b.ctx, b.t, top.ID, func(g *core.Group) ([]int64, error) { g.Superuser = true; return nil, nil })
	b.ok(err)
	equal(b, "inherited superuser", rights(u.ID)[:5], "true ")
}

func roleOutbox(b *bench) {
	before, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	r := b.role("r")
	_, err = b.UpdateRole(b.ctx, b.t, r.ID, func(*core.Role) error { return nil })
	b.ok(err)
	b.ok(b.DeleteRole(b.ctx, b.t, r.ID))
	changes, err := b.Changes(b.ctx, b.t, before, 10)
	b.ok(err)
	var got []string
	for _, c := range changes {
		got = append(got, c.Kind+" "+c.Op)
	}
	equal(b, "outbox", strings.Join(got, ", "), "role create, role update, role delete")
}

// roleContention: what many add at once is all there.
func roleContention(b *bench) {
	r := b.role("r")
	const n = 8
	errs := make(chan error, n)
	for i := range n {
		go func() {
			errs <- second(b.UpdateRole(b.ctx, b.t, r.ID, func(r *core.Role) error {
				r.Permissions = append(r.Permissions, core.RolePermission{Permission: core.Permission(fmt.Sprintf("a.p%d", i))})
				return nil
			}))
		}()
	}
	for range n {
		b.ok(<-errs)
	}
	got, err := b.Role(b.ctx, b.t, r.ID)
	b.ok(err)
	equal(b, "permissions", len(got.Permissions), n)
}

// desk is a directory with a delegated administrator, somebody with fewer rights,
// somebody with more, and a superuser.
type desk struct {
	*bench
	boss, low, high, root      *core.User
	own, weak, strong, admins  *core.Group // groups of those four
	held, lesser, more, beyond *core.Role
}

func newDesk(b *bench) *desk {
	d := &desk{bench: b}
	d.held = b.role("held", "a.one", "b.two")
	d.lesser = b.role("lesser", "a.one")
	d.more = b.role("more", "a.one", "c.three")
	d.beyond = b.role("beyond", "d.four")
	d.own, d.weak, d.strong = b.groupWith("own", nil, d.held), b.groupWith("weak", nil, d.lesser), b.groupWith("strong", nil, d.more)
	d.admins = &core.Group{Name: "admins", Superuser: true}
	b.ok(b.CreateGroup(b.ctx, b.t, d.admins, nil))
	d.boss, d.low = b.user("boss", d.own.ID), b.user("low", d.weak.ID)
	d.high, d.root = b.user("high", d.strong.ID), b.user("root", d.admins.ID)
	for _, u := range []*core.User{d.boss, d.low, d.high, d.root} {
		b.token(u.ID, "of-"+u.UserName)
	}
	return d
}

// as makes what follows done by the boss.
func (d *desk) as(needs core.Permission) *bench {
	b := *d.bench
	b.ctx = core.WithDelegation(b.ctx, &core.Delegation{By: d.boss.ID, Needs: []core.Permission{needs}})
	return &b
}

// act is one thing that somebody with delegated rights tries.
type act struct {
	name string
	do   func(d *desk, b *bench) error
	ok   bool
}

func acts() []act {
	group := func(which func(*desk) *core.Group, change func(*desk, *core.Group) []int64) func(*desk, *bench) error {
		return func(d *desk, b *bench) error {
			return second(b.UpdateGroup(b.ctx, b.t, which(d).ID, func(g *core.Group) ([]int64, error) { return change(d, g), nil }))
		}
	}
	user := func(which func(*desk) *core.User, change func(*desk, *core.User)) func(*desk, *bench) error {
		return func(d *desk, b *bench) error {
			return second(b.UpdateUser(b.ctx, b.t, which(d).PK, func(u *core.User) error { change(d, u); return nil }))
		}
	}
	own, weak := func(d *desk) *core.Group { return d.own }, func(d *desk) *core.Group { return d.weak }
	low, root := func(d *desk) *core.User { return d.low }, func(d *desk) *core.User { return d.root }
	return []act{
		{"parent: superusers", group(own, func(d *desk, g *core.Group) []int64 { g.Parents = []core.GroupID{d.admins.ID}; return nil }), false},
		{"parent: a stronger group", group(weak, func(d *desk, g *core.Group) []int64 { g.Parents = []core.GroupID{d.strong.ID}; return nil }), false},
		{"parent: a group within", group(weak, func(d *desk, g *core.Group) []int64 { g.Parents = []core.GroupID{d.own.ID}; return nil }), true},
		{"superuser flag", group(own, func(_ *desk, g *core.Group) []int64 { g.Superuser = true; return nil }), false},
		{"role beyond, own group", group(own, func(d *desk, g *core.Group) []int64 { g.Roles = append(g.Roles, d.beyond.ID); return nil }), false},
		{"role half beyond", group(weak, func(d *desk, g *core.Group) []int64 { g.Roles = append(g.Roles, d.more.ID); return nil }), false},
		{"role within", group(weak, func(d *desk, g *core.Group) []int64 { g.Roles = append(g.Roles, d.held.ID); return nil }), true},
		{"members of superusers", group(func(d *desk) *core.Group { return d.admins }, func(d *desk, _ *core.Group) []int64 { return []int64{d.boss.PK} }), false},
		{"rename a stronger group", group(func(d *desk) *core.Group { return d.strong }, func(_ *desk, g *core.Group) []int64 { g.Name = "x"; return nil }), false},
		{"rename a weaker group", group(weak, func(_ *desk, g *core.Group) []int64 { g.Name = "x"; return nil }), true},
		{"new group of superusers", func(d *desk, b *bench) error {
			return b.CreateGroup(b.ctx, b.t, &core.Group{Name: "n", Superuser: true}, nil)
		}, false},
		{"new group below one, with itself in it", func(d *desk, b *bench) error {
			return b.CreateGroup(b.ctx, b.t, &core.Group{Name: "n", Parents: []core.GroupID{d.strong.ID}}, []int64{d.boss.PK})
		}, false},
		{"new group with a role beyond", func(d *desk, b *bench) error {
			return b.CreateGroup(b.ctx, b.t, &core.Group{Name: "n", Roles: []core.RoleID{d.beyond.ID}}, nil)
		}, false},
		{"new group within", func(d *desk, b *bench) error {
			return b.CreateGroup(b.ctx, b.t, &core.Group{Name: "n", Roles: []core.RoleID{d.held.ID}}, []int64{d.low.PK})
		}, true},
		{"join a stronger group", func(d *desk, b *bench) error { return b.AddMember(b.ctx, b.t, d.strong.ID, d.boss.PK) }, false},
		{"put a friend among superusers", func(d *desk, b *bench) error { return b.AddMember(b.ctx, b.t, d.admins.ID, d.low.PK) }, false},
		{"put somebody into one's own group", func(d *desk, b *bench) error { return b.AddMember(b.ctx, b.t, d.own.ID, d.low.PK) }, true},
		{"take a superuser out", func(d *desk, b *bench) error { return b.RemoveMember(b.ctx, b.t, d.admins.ID, d.root.PK) }, false},
		{"take a weaker one out", func(d *desk, b *bench) error { return b.RemoveMember(b.ctx, b.t, d.weak.ID, d.low.PK) }, true},
		{"delete superusers", func(d *desk, b *bench) error { return b.DeleteGroup(b.ctx, b.t, d.admins.ID) }, false},
		{"delete a weaker group", func(d *desk, b *bench) error { return b.DeleteGroup(b.ctx, b.t, d.weak.ID) }, true},
		{"groups of oneself", user(func(d *desk) *core.User { return d.boss }, func(d *desk, u *core.User) { u.Groups = append(u.Groups, d.admins.ID) }), false},
		{"groups of another", user(low, func(d *desk, u *core.User) { u.Groups = append(u.Groups, d.strong.ID) }), false},
		{"address of a superuser", user(root, func(_ *desk, u *core.User) { u.Email = "me@evil.test" }), false},
		{"power taken from a superuser", user(root, func(_ *desk, u *core.User) { u.Groups = nil }), false},
		{"deactivate a superuser", user(root, func(_ *desk, u *core.User) { u.Active = false }), false},
		{"address of a weaker one", user(low, func(_ *desk, u *core.User) { u.Email = "new@example.com" }), true},
		{"new user among superusers", func(d *desk, b *bench) error {
			return b.CreateUser(b.ctx, b.t, &core.User{UserName: "n", Active: true, Groups: []core.GroupID{d.admins.ID}})
		}, false},
		{"new user", func(d *desk, b *bench) error {
			return b.CreateUser(b.ctx, b.t, &core.User{UserName: "n", Active: true, Groups: []core.GroupID{d.weak.ID}})
		}, true},
		{"delete a superuser", func(d *desk, b *bench) error { return b.DeleteUser(b.ctx, b.t, d.root.PK) }, false},
		{"delete a weaker one", func(d *desk, b *bench) error { return b.DeleteUser(b.ctx, b.t, d.low.PK) }, true},
		{"password of a superuser", func(d *desk, b *bench) error {
			return b.SetPasswordHash(b.ctx, b.t, d.root.ID, "x", b.clock.Now())
		}, false},
		{"password of one who has more", func(d *desk, b *bench) error {
			return b.SetPasswordHash(b.ctx, b.t, d.high.ID, "x", b.clock.Now())
		}, false},
		{"password of a weaker one", func(d *desk, b *bench) error {
			return b.SetPasswordHash(b.ctx, b.t, d.low.ID, "x", b.clock.Now())
		}, true},
		{"link for a superuser", func(d *desk, b *bench) error { return link(b, d.root.ID) }, false},
		{"link for a weaker one", func(d *desk, b *bench) error { return link(b, d.low.ID) }, true},
		{"token for a superuser", func(d *desk, b *bench) error {
			return b.CreateToken(b.ctx, b.t, &core.Token{Identifier: "n", Intent: core.IntentAPI, User: d.root.ID}, "key")
		}, false},
		{"token given to a superuser", func(d *desk, b *bench) error {
			return second(b.UpdateToken(b.ctx, b.t, "of-boss", func(k *core.Token) error { k.User = d.root.ID; return nil }))
		}, false},
		{"a superuser's token taken", func(d *desk, b *bench) error {
			return second(b.UpdateToken(b.ctx, b.t, "of-root", func(k *core.Token) error { k.User = d.boss.ID; return nil }))
		}, false},
		{"key of a superuser's token", func(d *desk, b *bench) error { return b.SetTokenKey(b.ctx, b.t, "of-root", "known") }, false},
		{"delete a superuser's token", func(d *desk, b *bench) error { return b.DeleteToken(b.ctx, b.t, "of-root") }, false},
		{"key of a weaker one's token", func(d *desk, b *bench) error { return b.SetTokenKey(b.ctx, b.t, "of-low", "known") }, true},
		{"a permission beyond, own role", func(d *desk, b *bench) error { return grow(b, d.held, "d.four") }, false},
		{"a permission held, weaker role", func(d *desk, b *bench) error { return grow(b, d.lesser, "b.two") }, true},
		{"a permission held, stronger role", func(d *desk, b *bench) error { return grow(b, d.more, "b.two") }, false},
		{"new role beyond", func(d *desk, b *bench) error {
			return b.CreateRole(b.ctx, b.t, &core.Role{Name: "n", Permissions: []core.RolePermission{{Permission: "d.four"}}})
		}, false},
		{"new role within", func(d *desk, b *bench) error {
			return b.CreateRole(b.ctx, b.t, &core.Role{Name: "n", Permissions: []core.RolePermission{{Permission: "b.two"}}})
		}, true},
		{"delete a stronger role", func(d *desk, b *bench) error { return b.DeleteRole(b.ctx, b.t, d.more.ID) }, false},
	}
}

func link(b *bench, u core.UserID) error {
	return b.SaveLink(b.ctx, b.t, &login.Link{Hash: core.Hash("l"), Purpose: login.LinkRecovery, User: u, Expires: b.clock.Now().Add(time.Hour)})
}

func grow(b *bench, r *core.Role, p core.Permission) error {
	return second(b.UpdateRole(b.ctx, b.t, r.ID, func(r *core.Role) error {
		r.Permissions = append(r.Permissions, core.RolePermission{Permission: p})
		return nil
	}))
}

// every way in which delegated rights could grow, and beside each one that
// is within them.
func delegation(b *bench, part int) {
	for i, a := range acts() {
		if i%actParts != part {
			continue
		}
		d := newDeskIn(b, i)
		before := everything(d.bench)
		err := a.do(d, d.as("a.one"))
		if a.ok {
			if err != nil {
				b.Errorf("%s: %v", a.name, err)
			}
			continue
		}
		b.Helper()
		if b.is(err, core.ErrDenied); err == nil {
			b.Errorf("%s was let through", a.name)
		}
		equal(b, a.name+": nothing was changed", everything(d.bench), before)
	}
}

// delegationNone is the control: without the delegation each of them works.
func delegationNone(b *bench, part int) {
	for i, a := range acts() {
		if i%actParts != part {
			continue
		}
		d := newDeskIn(b, i)
		if err := a.do(d, d.bench); err != nil {
			b.Errorf("%s: %v", a.name, err)
		}
	}
}

// newDeskIn is a desk in a tenant of its own.
func newDeskIn(b *bench, n int) *desk {
	own := *b
	own.t = core.TenantID(fmt.Sprintf("t_d%d", n))
	_, err := b.CreateTenant(b.ctx, own.t, "desk")
	b.ok(err)
	return newDesk(&own)
}

// everything is who has which rights, and the seq of the last change.
func everything(b *bench) string {
	users, _, err := b.ListUsers(b.ctx, b.t, api.Query{Order: []string{"pk"}})
	b.ok(err)
	var out []string
	for _, u := range users {
		r, err := b.Rights(b.ctx, b.t, u.ID)
		b.ok(err)
		out = append(out, fmt.Sprint(u.UserName, u.Active, u.Email, r))
	}
	last, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	return fmt.Sprint(out, last)
}

// delegationLost: who loses the right between the question and the write is
// refused by the write itself.
func delegationLost(b *bench) {
	d := newDesk(b)
	rename := func() error {
		n := d.as("a.one")
		return second(n.UpdateUser(n.ctx, b.t, d.low.PK, func(u *core.User) error { u.DisplayName += "x"; return nil }))
	}
	b.ok(rename())
	n := d.as("z.never")
	b.is(n.DeleteUser(n.ctx, b.t, d.low.PK), core.ErrDenied)
	// The user is made a superuser meanwhile.
	b.ok(b.AddMember(b.ctx, b.t, d.admins.ID, d.low.PK))
	b.is(rename(), core.ErrDenied)
	b.ok(b.RemoveMember(b.ctx, b.t, d.admins.ID, d.low.PK))
	b.ok(rename())
	// The role loses the permission.
	_, err := b.UpdateRole(b.ctx, b.t, d.held.ID, func(r *core.Role) error { r.Permissions = r.Permissions[1:]; return nil })
	b.ok(err)
	b.is(rename(), core.ErrDenied)
	b.ok(grow(b, d.held, "a.one"))
	b.ok(rename())
	_, err = b.UpdateUser(b.ctx, b.t, d.boss.PK, func(u *core.User) error { u.Active = false; return nil })
	b.ok(err)
	b.is(rename(), core.ErrDenied)
	b.ok(b.DeleteUser(b.ctx, b.t, d.boss.PK))
	b.is(rename(), core.ErrDenied)
	// Who has become a superuser is bound by nothing.
	d.boss = d.high
	b.ok(b.AddMember(b.ctx, b.t, d.admins.ID, d.high.PK))
	n = d.as("z.never")
	b.ok(n.DeleteUser(n.ctx, b.t, d.root.PK))
}

// delegationScope: a provider that may ask for ScopeAPI lends its users' rights.
func delegationScope(b *bench) {
	d := newDesk(b)
	n := d.as("a.one")
	plain := mapping(b, "plain", "")
	plainClient, apiClient := b.client("plain"), b.client("api")
	apiMapping := &core.PropertyMapping{Kind: core.MappingScope, Name: "api", ScopeName: core.ScopeAPI, Expression: "return {}"}
	b.is(n.CreateMapping(n.ctx, b.t, apiMapping), core.ErrDenied)
	b.ok(b.CreateMapping(b.ctx, b.t, apiMapping))
	use := func(b *bench, c *core.Client, m *core.PropertyMapping) error {
		return second(b.UpdateClient(b.ctx, b.t, c.ID, func(c *core.Client) error { c.Mappings = []core.MappingID{m.ID}; return nil }))
	}
	b.ok(use(b, apiClient, apiMapping))
	b.is(use(n, plainClient, apiMapping), core.ErrDenied)
	b.ok(use(n, plainClient, plain))
	b.is(use(n, apiClient, plain), core.ErrDenied)
	b.is(n.DeleteProvider(n.ctx, b.t, apiClient.ID), core.ErrDenied)
	scope := func(to string) error {
		return second(n.UpdateMapping(n.ctx, b.t, core.MappingScope, plain.ID, func(m *core.PropertyMapping) error { m.ScopeName = to; return nil }))
	}
	b.is(scope(core.ScopeAPI), core.ErrDenied)
	b.ok(scope("other"))
	// A mapping that makes tokens signs in the name of any provider.
	source := func(to string) error {
		return second(n.UpdateMapping(n.ctx, b.t, core.MappingScope, plain.ID, func(m *core.PropertyMapping) error { m.Expression = to; return nil }))
	}
	b.is(source("x = [\nak_create_jwt_raw][0]\nreturn {}"), core.ErrDenied)
	b.is(source("return {'t': ak_create_jwt(user, 'x', [])}"), core.ErrDenied)
	b.ok(source("return {'t': 'ak_create_event'}"))
	signs := &core.PropertyMapping{Kind: core.MappingSAML, Name: "signs", SAMLName: "x", Expression: "return ak_create_jwt_raw('x')"}
	b.is(n.CreateMapping(n.ctx, b.t, signs), core.ErrDenied)
	b.ok(b.CreateMapping(b.ctx, b.t, signs))
	b.is(n.DeleteMapping(n.ctx, b.t, core.MappingSAML, signs.ID), core.ErrDenied)
	b.is(use(n, plainClient, signs), core.ErrDenied)
}

// delegationTokens: an ordinary user, who has no permission at all, still has their
// own tokens.
func delegationTokens(b *bench) {
	u := b.user("alice")
	n := *b
	n.ctx = core.WithDelegation(b.ctx, &core.Delegation{By: u.ID})
	n.token(u.ID, "mine")
	b.ok(n.SetTokenKey(n.ctx, b.t, "mine", "other key"))
	b.ok(n.DeleteToken(n.ctx, b.t, "mine"))
	b.ok(n.Record(n.ctx, b.t, core.Event{Action: "x"}))
}
