package storagetest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// on gives a role permissions on single objects, each as "permission object".
func (b *bench) on(r *core.Role, rights ...string) {
	b.Helper()
	got, err := b.UpdateRole(b.ctx, b.t, r.ID, func(r *core.Role) error {
		r.Objects = nil
		for _, text := range rights {
			p, object, _ := strings.Cut(text, " ")
			r.Objects = append(r.Objects, core.RolePermission{Permission: core.Permission(p), Object: object})
		}
		return nil
	})
	b.ok(err)
	*r = *got
}

func heldOn(r *core.Role) string {
	var out []string
	for _, p := range r.Objects {
		out = append(out, fmt.Sprintf("%s %s#%d", p.Permission, p.Object, p.PK))
	}
	return strings.Join(out, ", ")
}

// roleObjects: permissions on single objects are kept apart from those on all.
func roleObjects(b *bench) {
	r := b.role("r", "a.one")
	b.on(r, "b.two 8", "a.one 7", "b.two 8")
	equal(b, "given", heldOn(r), "a.one 7#3, b.two 8#2")
	b.on(r, "b.two 8", "b.two 9")
	equal(b, "changed", heldOn(r), "b.two 8#2, b.two 9#4")
	got, err := b.Role(b.ctx, b.t, r.ID)
	b.ok(err)
	equal(b, "read", heldOn(got)+" "+held(got), heldOn(r)+" a.one#1")
	for pk, want := range map[string]int{"1": 1, "4": 1, "3": 0} {
		_, n, err := b.ListRoles(b.ctx, b.t, api.Query{Where: map[string][]string{"permission_pk": {pk}}})
		b.ok(err)
		equal(b, "found by number "+pk, n, want)
	}
	u := b.user("alice", b.groupWith("g", nil, r).ID)
	rights, err := b.Rights(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "rights", fmt.Sprint(rights), "{false [a.one] [{b.two 8} {b.two 9}]}")
	own := &core.User{UserName: "own", Roles: []core.RoleID{r.ID}}
	b.ok(b.CreateUser(b.ctx, b.t, own))
	rights, err = b.Rights(b.ctx, b.t, own.ID)
	b.ok(err)
	equal(b, "rights of one's own role", fmt.Sprint(rights), "{false [a.one] [{b.two 8} {b.two 9}]}")
	b.field(b.CreateUser(b.ctx, b.t, &core.User{UserName: "n", Roles: []core.RoleID{"none"}}), "roles")
	made := &core.Role{Name: "s", Objects: []core.RolePermission{{Permission: "c.three", Object: "1"}}}
	b.ok(b.CreateRole(b.ctx, b.t, made))
	equal(b, "at creation", heldOn(made), "c.three 1#5")
	b.ok(b.DeleteRole(b.ctx, b.t, r.ID))
	equal(b, "a number is never given twice", heldOn(func() *core.Role { n := b.role("n"); b.on(n, "a.one 1"); return n }()), "a.one 1#6")
}

// delegationObjects: where rights are on single objects: who has one more is out
// of reach, nobody comes to one more, and the right is looked for at the write.
func delegationObjects(b *bench) {
	d := newDesk(b)
	b.on(d.held, "d.four x")
	b.on(d.lesser, "d.four x", "a.one anything")
	change := func(needs ...core.ObjectRight) error {
		c := *b
		c.ctx = core.WithDelegation(b.ctx, &core.Delegation{By: d.boss.ID, NeedsOn: needs})
		return second(c.UpdateUser(c.ctx, c.t, d.low.PK, func(u *core.User) error { u.Path = "x"; return nil }))
	}
	b.ok(change())
	b.ok(change(core.ObjectRight{Permission: "d.four", Object: "x"}, core.ObjectRight{Permission: "a.one", Object: "whatever"}))
	b.is(change(core.ObjectRight{Permission: "d.four", Object: "y"}), core.ErrDenied)
	b.is(change(core.ObjectRight{Permission: "d.four"}), core.ErrDenied)
	give := func(p core.Permission, object string) error {
		c := d.as("a.one")
		return second(c.UpdateRole(c.ctx, c.t, d.lesser.ID, func(r *core.Role) error {
			r.Objects = append(r.Objects, core.RolePermission{Permission: p, Object: object})
			return nil
		}))
	}
	b.ok(give("b.two", "z"))
	b.is(give("d.four", "y"), core.ErrDenied)
	b.is(give("c.three", "x"), core.ErrDenied)
	// A role beyond is given to nobody, and who has one is out of reach.
	c := d.as("a.one")
	b.is(second(c.UpdateUser(c.ctx, c.t, d.low.PK, func(u *core.User) error { u.Roles = []core.RoleID{d.more.ID}; return nil })), core.ErrDenied)
	b.ok(second(b.UpdateUser(b.ctx, b.t, d.low.PK, func(u *core.User) error { u.Roles = []core.RoleID{d.more.ID}; return nil })))
	b.is(change(), core.ErrDenied)
	b.ok(second(b.UpdateUser(b.ctx, b.t, d.low.PK, func(u *core.User) error { u.Roles = nil; return nil })))
	b.ok(change())
	// Somebody has one right more, on one object.
	b.on(d.lesser, "d.four y")
	b.is(change(), core.ErrDenied)
	b.is(give("a.one", "x"), core.ErrDenied)
}

// listOnly: of a list that is limited to some objects, nothing else is shown, however it is asked.
func listOnly(b *bench) {
	one, two := b.user("one"), b.user("two")
	g := b.groupWith("g", nil)
	b.groupWith("h", nil)
	names := func(q api.Query) string {
		us, n, err := b.ListUsers(b.ctx, b.t, q)
		b.ok(err)
		var out []string
		for i := range us {
			out = append(out, us[i].UserName)
		}
		return fmt.Sprint(strings.Join(out, " "), " of ", n)
	}
	pk := strconv.FormatInt(one.PK, 10)
	equal(b, "one", names(api.Query{Only: []string{pk}}), "one of 1")
	equal(b, "none", names(api.Query{Only: []string{}}), " of 0")
	equal(b, "narrowed", names(api.Query{Only: []string{pk}, Where: map[string][]string{"username": {"two"}}}), " of 0")
	equal(b, "searched", names(api.Query{Only: []string{pk}, Search: "two"}), " of 0")
	equal(b, "past the end", names(api.Query{Only: []string{pk}, Offset: 5}), " of 1")
	equal(b, "by the same field", names(api.Query{Only: []string{pk}, Where: map[string][]string{"pk": {strconv.FormatInt(two.PK, 10)}}}), " of 0")
	many := make([]string, 1200)
	for i := range many {
		many[i] = strconv.Itoa(i + 1_000_000)
	}
	equal(b, "many", names(api.Query{Only: append(many, pk)}), "one of 1")
	gs, n, err := b.ListGroups(b.ctx, b.t, api.Query{Only: []string{string(g.ID)}})
	b.ok(err)
	equal(b, "groups", fmt.Sprint(len(gs), n), "1 1")
	_, _, err = b.ListUsers(b.ctx, b.t, api.Query{Only: []string{"x"}})
	b.field(err, "pk")
}
