package storagetest

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

func groupTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"group/round trip":      groupRoundTrip,
		"group/members":         groupMembers,
		"group/no circle":       groupNoCircle,
		"group/delete":          groupDelete,
		"group/list":            groupList,
		"group/odd references":  groupReferences,
		"group/change is whole": groupChangeWhole,
	}
}

func groupRoundTrip(b *bench) {
	p := b.group("parent")
	g := &core.Group{Name: "Ops", Superuser: true, Parents: []core.GroupID{p.ID}, Attributes: map[string]any{"k": "v", "n": int64(1)}}
	b.ok(b.CreateGroup(b.ctx, b.t, g, nil))
	got, err := b.Group(b.ctx, b.t, g.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, g) {
		b.Errorf("got %#v\nwant %#v", got, g)
	}
	changed, err := b.UpdateGroup(b.ctx, b.t, g.ID, func(v *core.Group) ([]int64, error) {
		v.Name, v.Superuser, v.Parents, v.Attributes = "ops2", false, nil, nil
		v.PK, v.ID = 99, "forged"
		return nil, nil
	})
	b.ok(err)
	got, err = b.Group(b.ctx, b.t, g.ID)
	b.ok(err)
	equal(b, "changed", fmt.Sprint(got.Name, got.Superuser, len(got.Parents), got.PK, len(got.Attributes)), fmt.Sprint("ops2", false, 0, g.PK, 0))
	equal(b, "returned", changed.Name, "ops2")
	b.is(second(b.Group(b.ctx, b.t, "none")), core.ErrNotFound)
	b.is(b.DeleteGroup(b.ctx, b.t, "none"), core.ErrNotFound)
	b.is(second(b.UpdateGroup(b.ctx, b.t, "none", func(*core.Group) ([]int64, error) { return nil, nil })), core.ErrNotFound)
	err = b.CreateGroup(b.ctx, b.t, &core.Group{Name: "ops2"}, nil)
	b.field(err, "name")
	b.is(err, core.ErrExists)
}

func groupMembers(b *bench) {
	a, c, d := b.user("alice"), b.user("carol"), b.user("dora")
	g := &core.Group{Name: "g"}
	b.ok(b.CreateGroup(b.ctx, b.t, g, []int64{c.PK, a.PK, a.PK}))
	members := func(limit int) string {
		us, err := b.GroupMembers(b.ctx, b.t, g.ID, limit)
		b.ok(err)
		var out []string
		for _, u := range us {
			out = append(out, u.UserName)
		}
		return strings.Join(out, " ")
	}
	equal(b, "at creation", members(10), "alice carol")
	equal(b, "limited", members(1), "alice")
	set := func(pks []int64) {
		b.ok(second(b.UpdateGroup(b.ctx, b.t, g.ID, func(*core.Group) ([]int64, error) { return pks, nil })))
	}
	set(nil)
	equal(b, "nil keeps them", members(10), "alice carol")
	set([]int64{d.PK, c.PK})
	equal(b, "replaced", members(10), "carol dora")
	set([]int64{})
	equal(b, "emptied", members(10), "")
	_, err := b.UpdateGroup(b.ctx, b.t, g.ID, func(*core.Group) ([]int64, error) { return []int64{a.PK, 999}, nil })
	b.field(err, "users")
	equal(b, "unchanged", members(10), "")
	b.is(second(b.GroupMembers(b.ctx, b.t, "none", 10)), core.ErrNotFound)
}

func groupNoCircle(b *bench) {
	top := b.group("top")
	mid := b.group("mid", top.ID)
	low := b.group("low", mid.ID)
	u := b.user("alice", low.ID)
	for _, parent := range []core.GroupID{top.ID, mid.ID, low.ID} {
		_, err := b.UpdateGroup(b.ctx, b.t, top.ID, func(g *core.Group) ([]int64, error) {
			g.Parents = []core.GroupID{parent}
			return nil, nil
		})
		b.field(err, "parents")
	}
	gs, err := b.UserGroups(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "groups", len(gs), 3)
	// Two ways to one ancestor are no circle.
	b.ok(second(b.UpdateGroup(b.ctx, b.t, low.ID, func(g *core.Group) ([]int64, error) {
		g.Parents = []core.GroupID{mid.ID, top.ID}
		return nil, nil
	})))
	gs, err = b.UserGroups(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "groups by two ways", len(gs), 3)
	kids, _, err := b.ListGroups(b.ctx, b.t, api.Query{Where: map[string][]string{"parents": {string(top.ID)}}, Order: []string{"name"}})
	b.ok(err)
	equal(b, "children", fmt.Sprintln(len(kids), kids[0].Name, kids[1].Name, len(kids[0].Parents)), "2 low mid 2\n")
}

func groupDelete(b *bench) {
	top := b.group("top")
	mid := b.group("mid", top.ID)
	low := b.group("low", mid.ID)
	u := b.user("alice", low.ID, mid.ID)
	b.ok(b.DeleteGroup(b.ctx, b.t, mid.ID))
	gs, err := b.UserGroups(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "groups", len(gs), 1)
	got, err := b.Group(b.ctx, b.t, low.ID)
	b.ok(err)
	equal(b, "parents", len(got.Parents), 0)
	got2, err := b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "direct", len(got2.Groups), 1)
}

func groupList(b *bench) {
	a := b.user("alice")
	b.group("beta")
	g := &core.Group{Name: "Alpha", Superuser: true, Attributes: map[string]any{"k": "v"}}
	b.ok(b.CreateGroup(b.ctx, b.t, g, []int64{a.PK}))
	for _, c := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Order: []string{"name"}}, "Alpha authentik Admins beta of 3"},
		{api.Query{Order: []string{"-num_pk"}}, "Alpha beta authentik Admins of 3"},
		{api.Query{Where: map[string][]string{"name": {"beta"}}}, "beta of 1"},
		{api.Query{Where: map[string][]string{"is_superuser": {"true"}}, Order: []string{"name"}}, "Alpha authentik Admins of 2"},
		{api.Query{Where: map[string][]string{"members_by_pk": {fmt.Sprint(a.PK)}}}, "Alpha of 1"},
		{api.Query{Where: map[string][]string{"members_by_username": {"ALICE"}}}, "Alpha of 1"},
		{api.Query{Where: map[string][]string{"attributes": {`{"k":"v"}`}}}, "Alpha of 1"},
		{api.Query{Search: "ALPH"}, "Alpha of 1"},
		{api.Query{Offset: 7}, " of 3"},
	} {
		gs, n, err := b.ListGroups(b.ctx, b.t, c.q)
		b.ok(err)
		var names []string
		for _, g := range gs {
			names = append(names, g.Name)
		}
		equal(b, fmt.Sprint(c.q), fmt.Sprintf("%s of %d", strings.Join(names, " "), n), c.want)
	}
	_, _, err := b.ListGroups(b.ctx, b.t, api.Query{Where: map[string][]string{"superuser": {"true"}}})
	b.field(err, "superuser")
}

func groupReferences(b *bench) {
	b.field(b.CreateGroup(b.ctx, b.t, &core.Group{Name: "g", Parents: []core.GroupID{"none"}}, nil), "parents")
	b.field(b.CreateGroup(b.ctx, b.t, &core.Group{Name: "g", Parents: []core.GroupID{"\x00"}}, nil), "parents")
	b.field(b.CreateGroup(b.ctx, b.t, &core.Group{Name: "g"}, []int64{999}), "users")
	b.group("g") // the name is free: nothing was half done
}

func groupChangeWhole(b *bench) {
	g := b.group("g")
	_, err := b.UpdateGroup(b.ctx, b.t, g.ID, func(v *core.Group) ([]int64, error) {
		v.Name, v.Parents = "renamed", []core.GroupID{g.ID}
		return nil, nil
	})
	b.field(err, "parents")
	got, err := b.Group(b.ctx, b.t, g.ID)
	b.ok(err)
	equal(b, "name", got.Name, "g")
}
