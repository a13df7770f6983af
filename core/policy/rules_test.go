package policy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

func (w *world) allowed() bool {
	w.t.Helper()
	d, err := w.Decide(w.t.Context(), "public", request("any"))
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Allowed
}

// Bindings are read once, and again after each change that concerns them, R-24.
func TestRulesAreCached(t *testing.T) {
	w := newWorld(t)
	w.bind("user:alice")
	for range 10 {
		w.allowed()
	}
	if w.reads != 1 {
		t.Fatalf("%d reads", w.reads)
	}
	for _, c := range []struct {
		kind, id string
		again    bool
	}{
		{"policy", "p", true}, {"binding", "b", true}, {"entitlement", "e", true}, {"application", "a", true}, {"group", "g", true},
		{"user", "alice", true}, // a binding names her
		{"user", "bob", false}, {"membership", "alice", false}, {"session", "s", false}, {"mapping", "m", false}, {"grant", "g", false},
	} {
		w.reads = 0
		w.Invalidate("public", core.Change{Kind: c.kind, ID: c.id})
		w.allowed()
		if (w.reads == 1) != c.again {
			t.Errorf("a change of %s %s: %d reads", c.kind, c.id, w.reads)
		}
	}
	w.reads = 0
	w.Invalidate("t_b", core.Change{Kind: "binding"})
	if w.allowed(); w.reads != 0 {
		t.Error("another tenant's change made it read again")
	}
	if !w.allowed() {
		t.Error("alice is bound")
	}
	w.bind("user:bob")
	if w.allowed() {
		t.Error("a binding that is gone still opens")
	}
}

// A change that is committed while the bindings are being read is not missed.
func TestChangeDuringARead(t *testing.T) {
	w := newWorld(t)
	w.rules = []policy.Rule{rule(0, "user:alice")}
	w.reading = func() {
		w.reading = nil
		w.bind("user:bob") // after the read saw alice
	}
	w.allowed() // at the same time as the change: either answer is right
	if w.allowed() {
		t.Error("the bindings from before the change were kept")
	}
}

func TestDecideAtOnce(t *testing.T) {
	w := newWorld(t)
	w.bind("user:alice", "policy:yes")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				if !w.allowed() {
					t.Error("denied")
				}
				w.Invalidate("public", core.Change{Kind: "binding"})
			}
		})
	}
	wg.Wait()
}

func TestEntitlements(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"admin", "editor", "nobody", "others", "reader", "unbound"} {
		w.entitlements = append(w.entitlements, core.Entitlement{ID: core.EntitlementID(name), Application: "app", Name: name})
	}
	w.entitlements = append(w.entitlements, core.Entitlement{ID: "elsewhere", Application: "other", Name: "elsewhere"})
	for _, text := range []string{
		"admin user:alice", "editor group:board", "editor group:staff", "nobody gone group:staff", "others !user:alice", "reader !group:board",
		"elsewhere user:alice",
	} {
		to, what, _ := strings.Cut(text, " ")
		r := rule(len(w.rules), what)
		r.Target = policy.TargetID(to)
		w.rules = append(w.rules, r)
	}
	q := request("any")
	for _, c := range []struct {
		user   *core.User
		groups []core.Group
		want   string
	}{
		{q.User, q.Groups, "admin editor reader"},
		{q.User, nil, "admin reader"},
		{&core.User{ID: "bob"}, q.Groups, "editor others reader"},
		{nil, nil, ""},
	} {
		got, err := w.Entitlements(t.Context(), "public", c.user, c.groups, "app")
		var names []string
		for _, e := range got {
			names = append(names, e.Name)
		}
		if s := strings.Join(names, " "); err != nil || s != c.want {
			t.Errorf("%v in %d groups: %q, want %q, %v", c.user, len(c.groups), s, c.want, err)
		}
	}
	// They open nothing: an application with bindings to its entitlements only is open to all.
	if d, err := w.Decide(t.Context(), "public", policy.Request{Application: &core.Application{ID: "app"}, User: &core.User{Active: true}}); err != nil || !d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
}

// Expressions see the request and its context, and none of their results is kept for
// another address.
func TestExpressionsAreRunForEachRequest(t *testing.T) {
	w := newWorld(t)
	w.bind("policy:from 192.0.2.1")
	for range 3 {
		for address, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false} {
			d, err := w.Decide(from(t, address), "public", request("any"))
			if err != nil || d.Allowed != want || d.Fixed {
				t.Errorf("from %s: %+v, %v", address, d, err)
			}
		}
	}
	if len(w.runs) != 6 {
		t.Errorf("%d runs", len(w.runs))
	}
	w.bind("policy:scope [openid]")
	q := request("any")
	q.Context = map[string]any{"oauth_scopes": []string{"openid"}}
	if d, err := w.Decide(t.Context(), "public", q); err != nil || !d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
}

func BenchmarkDecide(b *testing.B) {
	w := newWorld(b)
	var texts []string
	for i := range 20 {
		texts = append(texts, fmt.Sprint("group:other", i))
	}
	w.bind(append(texts, "group:staff")...)
	q, ctx := request("any"), b.Context()
	for b.Loop() {
		if d, err := w.Decide(ctx, "public", q); err != nil || !d.Allowed {
			b.Fatal(err)
		}
	}
}
