package storagetest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/policy"
)

func policyTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"policy/round trip":      policyRoundTrip,
		"policy/list":            policyList,
		"binding/round trip":     bindingRoundTrip,
		"binding/refused":        bindingRefused,
		"binding/list":           bindingList,
		"binding/rules":          bindingRules,
		"binding/what is gone":   bindingGone,
		"entitlement/round trip": entitlementRoundTrip,
		"entitlement/list":       entitlementList,
		"policy/outbox":          policyOutbox,
	}
}

func third[T, U any](_ T, _ U, err error) error { return err }

func expressionPolicy(b *bench, name string) *core.ExpressionPolicy {
	b.Helper()
	p := &core.ExpressionPolicy{Name: name, Expression: "return True"}
	b.ok(b.CreatePolicy(b.ctx, b.t, p))
	return p
}

func (b *bench) bind(v *policy.Binding) *policy.Binding {
	b.Helper()
	b.ok(b.CreateBinding(b.ctx, b.t, v))
	return v
}

func (b *bench) app(slug string) *core.Application {
	b.Helper()
	a := &core.Application{Slug: slug, Name: slug, PolicyMode: "any"}
	b.ok(b.CreateApplication(b.ctx, b.t, a))
	return a
}

func (b *bench) entitlement(app core.ApplicationID, name string) *core.Entitlement {
	b.Helper()
	e := &core.Entitlement{Application: app, Name: name}
	b.ok(b.CreateEntitlement(b.ctx, b.t, e))
	return e
}

func policyRoundTrip(b *bench) {
	p := &core.ExpressionPolicy{Name: "N", Expression: "return 1\n", Logging: true}
	b.ok(b.CreatePolicy(b.ctx, b.t, p))
	got, err := b.Policy(b.ctx, b.t, p.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, p) {
		b.Errorf("got %#v\nwant %#v", got, p)
	}
	b.field(b.CreatePolicy(b.ctx, b.t, &core.ExpressionPolicy{Name: "N"}), "name")
	b.clock.Add(time.Second)
	changed, err := b.UpdatePolicy(b.ctx, b.t, p.ID, func(v *core.ExpressionPolicy) error {
		v.ID, v.Name, v.Expression, v.Logging = "forged", "M", "return 2", false
		return nil
	})
	b.ok(err)
	got, err = b.PolicyByName(b.ctx, b.t, "M")
	b.ok(err)
	if !reflect.DeepEqual(got, changed) || got.ID != p.ID || got.Expression != "return 2" || !got.Updated.After(got.Created) {
		b.Errorf("got %#v\nwant %#v", got, changed)
	}
	other := expressionPolicy(b, "other")
	b.field(second(b.UpdatePolicy(b.ctx, b.t, other.ID, func(v *core.ExpressionPolicy) error { v.Name = "M"; return nil })), "name")
	b.is(second(b.PolicyByName(b.ctx, b.t, "m")), core.ErrNotFound)
	b.ok(b.DeletePolicy(b.ctx, b.t, p.ID))
	b.is(second(b.Policy(b.ctx, b.t, p.ID)), core.ErrNotFound)
	b.is(b.DeletePolicy(b.ctx, b.t, p.ID), core.ErrNotFound)
}

func policyList(b *bench) {
	for _, name := range []string{"beta", "Alpha", "gamma"} {
		expressionPolicy(b, name)
	}
	for want, q := range map[string]api.Query{
		"Alpha beta gamma of 3": {Order: []string{"name"}},
		"gamma of 1":            {Search: "GAM"},
		"beta of 1":             {Where: map[string][]string{"name": {"beta"}}},
		" of 0":                 {Where: map[string][]string{"execution_logging": {"true"}}},
		" of 3":                 {Offset: 3},
	} {
		got, n, err := b.ListPolicies(b.ctx, b.t, q)
		b.ok(err)
		var names []string
		for _, p := range got {
			names = append(names, p.Name)
		}
		equal(b, want, fmt.Sprintf("%s of %d", strings.Join(names, " "), n), want)
	}
	b.field(third(b.ListPolicies(b.ctx, b.t, api.Query{Where: map[string][]string{"source": {"x"}}})), "source")
}

func bindingRoundTrip(b *bench) {
	app, g, p := b.app("app"), b.group("g"), expressionPolicy(b, "p")
	v := &policy.Binding{Target: policy.TargetID(app.ID), Policy: p.ID, Negate: true, Enabled: true, Order: -3, Timeout: 7 * time.Second, FailureResult: true}
	b.bind(v)
	got, err := b.Binding(b.ctx, b.t, v.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, v) {
		b.Errorf("got %#v\nwant %#v", got, v)
	}
	e := b.entitlement(app.ID, "e")
	b.clock.Add(time.Second)
	changed, err := b.UpdateBinding(b.ctx, b.t, v.ID, func(v *policy.Binding) error {
		v.ID, v.Target, v.Policy, v.Group, v.Negate, v.Enabled, v.FailureResult = "forged", policy.TargetID(e.ID), "", g.ID, false, false, false
		return nil
	})
	b.ok(err)
	got, err = b.Binding(b.ctx, b.t, v.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, changed) || got.Group != g.ID || got.Target != policy.TargetID(e.ID) {
		b.Errorf("got %#v\nwant %#v", got, changed)
	}
	b.is(second(b.UpdateBinding(b.ctx, b.t, v.ID, func(*policy.Binding) error { return core.ErrStale })), core.ErrStale)
	b.ok(b.DeleteBinding(b.ctx, b.t, v.ID))
	b.is(b.DeleteBinding(b.ctx, b.t, v.ID), core.ErrNotFound)
	b.is(second(b.Binding(b.ctx, b.t, v.ID)), core.ErrNotFound)
}

func bindingRefused(b *bench) {
	app, u, g, p := b.app("app"), b.user("u"), b.group("g"), expressionPolicy(b, "p")
	to := policy.TargetID(app.ID)
	e := b.entitlement(app.ID, "e")
	for field, v := range map[string]policy.Binding{
		"target":  {Target: "none", Group: g.ID},
		"policy":  {Target: to, Policy: "none"},
		"group":   {Target: to, Group: "none"},
		"user":    {Target: to, User: "none"},
		"timeout": {Target: to, User: u.ID, Timeout: -time.Second},
	} {
		b.field(b.CreateBinding(b.ctx, b.t, &v), field)
	}
	for _, v := range []policy.Binding{
		{Target: to},
		{Target: to, Group: g.ID, User: u.ID},
		{Target: to, Group: g.ID, Policy: p.ID},
		{Target: policy.TargetID(e.ID), Policy: p.ID}, // who is entitled to what is no question of the moment
	} {
		b.field(b.CreateBinding(b.ctx, b.t, &v), "non_field_errors")
	}
	n, err := b.Rules(b.ctx, b.t)
	b.ok(err)
	equal(b, "bindings", len(n), 0)
}

func bindingList(b *bench) {
	one, two := b.app("one"), b.app("two")
	u, g, p := b.user("u"), b.group("g"), expressionPolicy(b, "By the clock")
	b.bind(&policy.Binding{Target: policy.TargetID(one.ID), User: u.ID, Order: 2, Enabled: true, Timeout: 30 * time.Second})
	b.bind(&policy.Binding{Target: policy.TargetID(one.ID), Group: g.ID, Order: 1})
	b.bind(&policy.Binding{Target: policy.TargetID(two.ID), Policy: p.ID, Order: 3, Enabled: true})
	for _, c := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Order: []string{"order"}}, "[1 2 3] of 3"},
		{api.Query{Order: []string{"-order"}}, "[3 2 1] of 3"},
		{api.Query{Where: map[string][]string{"target": {string(one.ID)}}, Order: []string{"order"}}, "[1 2] of 2"},
		{api.Query{Where: map[string][]string{"target_in": {string(one.ID), string(two.ID)}}, Order: []string{"order"}}, "[1 2 3] of 3"},
		{api.Query{Where: map[string][]string{"policy": {string(p.ID)}}}, "[3] of 1"},
		{api.Query{Where: map[string][]string{"policy__isnull": {"true"}}, Order: []string{"order"}}, "[1 2] of 2"},
		{api.Query{Where: map[string][]string{"enabled": {"false"}}}, "[1] of 1"},
		{api.Query{Where: map[string][]string{"timeout": {"30"}}}, "[2] of 1"},
		{api.Query{Where: map[string][]string{"order": {"3"}}}, "[3] of 1"},
		{api.Query{Search: "clock"}, "[3] of 1"},
		{api.Query{Offset: 9}, "[] of 3"},
		{api.Query{Search: "clock", Offset: 9}, "[] of 1"},
	} {
		got, n, err := b.ListBindings(b.ctx, b.t, c.q)
		b.ok(err)
		orders := []int64{}
		for _, v := range got {
			orders = append(orders, v.Order)
		}
		equal(b, fmt.Sprint(c.q), fmt.Sprintf("%v of %d", orders, n), c.want)
	}
	b.field(third(b.ListBindings(b.ctx, b.t, api.Query{Where: map[string][]string{"group": {"x"}}})), "group")
}

// rules shows every rule as order, name, and whether what it names is gone.
func (b *bench) rules() string {
	b.Helper()
	list, err := b.Rules(b.ctx, b.t)
	b.ok(err)
	var out []string
	for _, r := range list {
		s := fmt.Sprintf("%d %s", r.Order, r.Name)
		if r.Gone {
			s += "gone"
		}
		if r.Source != "" {
			s += fmt.Sprintf(" %q %v", r.Source, r.Logging)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func bindingRules(b *bench) {
	app, u, g := b.app("app"), b.user("u"), b.group("g")
	p := &core.ExpressionPolicy{Name: "p", Expression: "return 1", Logging: true}
	b.ok(b.CreatePolicy(b.ctx, b.t, p))
	to := policy.TargetID(app.ID)
	b.bind(&policy.Binding{Target: to, Group: g.ID, Order: 2, Enabled: true})
	b.bind(&policy.Binding{Target: to, Policy: p.ID, Order: 3, Enabled: true})
	b.bind(&policy.Binding{Target: to, User: u.ID, Order: 0})
	b.bind(&policy.Binding{Target: policy.TargetID(b.entitlement(app.ID, "e").ID), User: u.ID, Order: 1, Enabled: true})
	equal(b, "rules", b.rules(), `1 u, 2 g, 3 p "return 1" true`)
}

// What a binding names may go; the binding stays and says so. What it guards takes
// it along.
func bindingGone(b *bench) {
	app, u, g, p := b.app("app"), b.user("u"), b.group("g"), expressionPolicy(b, "p")
	to := policy.TargetID(app.ID)
	v := b.bind(&policy.Binding{Target: to, Group: g.ID, Order: 1, Enabled: true})
	b.bind(&policy.Binding{Target: to, User: u.ID, Order: 2, Enabled: true})
	b.bind(&policy.Binding{Target: to, Policy: p.ID, Order: 3, Enabled: true})
	e := b.entitlement(app.ID, "e")
	b.bind(&policy.Binding{Target: policy.TargetID(e.ID), User: b.user("v").ID, Order: 4, Enabled: true})
	b.ok(b.DeleteGroup(b.ctx, b.t, g.ID))
	b.ok(b.DeleteUser(b.ctx, b.t, u.PK))
	b.ok(b.DeletePolicy(b.ctx, b.t, p.ID))
	equal(b, "rules", b.rules(), "1 gone, 2 gone, 3 gone, 4 v")
	// It can still be changed in all else.
	changed, err := b.UpdateBinding(b.ctx, b.t, v.ID, func(v *policy.Binding) error { v.Enabled = false; return nil })
	b.ok(err)
	equal(b, "group", changed.Group, g.ID)
	equal(b, "rules", b.rules(), "2 gone, 3 gone, 4 v")
	b.ok(b.DeleteEntitlement(b.ctx, b.t, e.ID))
	equal(b, "without the entitlement", b.rules(), "2 gone, 3 gone")
	b.ok(b.DeleteApplication(b.ctx, b.t, "app"))
	equal(b, "without the application", b.rules(), "")
}

func entitlementRoundTrip(b *bench) {
	app, other := b.app("app"), b.app("other")
	e := &core.Entitlement{Application: app.ID, Name: "admin", Attributes: map[string]any{"level": int64(3)}}
	b.ok(b.CreateEntitlement(b.ctx, b.t, e))
	got, err := b.Entitlement(b.ctx, b.t, e.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, e) {
		b.Errorf("got %#v\nwant %#v", got, e)
	}
	b.field(b.CreateEntitlement(b.ctx, b.t, &core.Entitlement{Application: app.ID, Name: "admin"}), "name")
	b.field(b.CreateEntitlement(b.ctx, b.t, &core.Entitlement{Application: "none", Name: "x"}), "app")
	b.entitlement(other.ID, "admin")
	changed, err := b.UpdateEntitlement(b.ctx, b.t, e.ID, func(v *core.Entitlement) error {
		v.ID, v.Name, v.Attributes = "forged", "root", nil
		return nil
	})
	b.ok(err)
	equal(b, "name", changed.Name, "root")
	got, err = b.Entitlement(b.ctx, b.t, e.ID)
	b.ok(err)
	equal(b, "attributes", fmt.Sprint(got.Name, got.Attributes), "rootmap[]")
	b.field(second(b.UpdateEntitlement(b.ctx, b.t, e.ID, func(v *core.Entitlement) error { v.Application, v.Name = other.ID, "admin"; return nil })), "name")
	b.ok(b.DeleteApplication(b.ctx, b.t, "app"))
	b.is(second(b.Entitlement(b.ctx, b.t, e.ID)), core.ErrNotFound)
	b.is(b.DeleteEntitlement(b.ctx, b.t, e.ID), core.ErrNotFound)
}

func entitlementList(b *bench) {
	one, two := b.app("one"), b.app("two")
	for _, name := range []string{"b", "A"} {
		b.entitlement(one.ID, name)
	}
	b.entitlement(two.ID, "c")
	for want, q := range map[string]api.Query{
		"A b c of 3": {Order: []string{"name"}},
		"A b of 2":   {Order: []string{"name"}, Where: map[string][]string{"app": {string(one.ID)}}},
		"c of 1":     {Search: "C"},
		" of 3":      {Offset: 5},
	} {
		got, n, err := b.ListEntitlements(b.ctx, b.t, q)
		b.ok(err)
		var names []string
		for _, e := range got {
			names = append(names, e.Name)
		}
		equal(b, want, fmt.Sprintf("%s of %d", strings.Join(names, " "), n), want)
	}
	all, err := b.Entitlements(b.ctx, b.t)
	b.ok(err)
	equal(b, "all", len(all), 3)
	equal(b, "first", all[0].Name, "A")
}

func policyOutbox(b *bench) {
	app, g := b.app("app"), b.group("g")
	seq, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	p := expressionPolicy(b, "p")
	b.ok(second(b.UpdatePolicy(b.ctx, b.t, p.ID, func(*core.ExpressionPolicy) error { return nil })))
	b.ok(b.DeletePolicy(b.ctx, b.t, p.ID))
	v := b.bind(&policy.Binding{Target: policy.TargetID(app.ID), Group: g.ID})
	b.ok(second(b.UpdateBinding(b.ctx, b.t, v.ID, func(*policy.Binding) error { return nil })))
	b.ok(b.DeleteBinding(b.ctx, b.t, v.ID))
	e := b.entitlement(app.ID, "e")
	b.ok(second(b.UpdateEntitlement(b.ctx, b.t, e.ID, func(*core.Entitlement) error { return nil })))
	b.ok(b.DeleteEntitlement(b.ctx, b.t, e.ID))
	var want []string
	for _, o := range []string{"policy " + string(p.ID), "binding " + string(v.ID), "entitlement " + string(e.ID)} {
		for _, op := range []string{"create", "update", "delete"} {
			want = append(want, o+" "+op)
		}
	}
	equal(b, "changes", b.changes(seq), strings.Join(want, ", "))
}
