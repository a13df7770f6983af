package storagetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/policy"
)

// Walk calls every method of a store, with what makes its statements differ, so that
// whoever listens to the store hears what it asks of its database.
func Walk(t *testing.T, open Open) {
	t.Helper()
	b := start(t, open)
	w := newWorld(b)
	read, blind, write := readProbes(), blindProbes(), writeProbes()
	// At the time that it is: the probes come long after everything is over.
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if _, err := read[name](b, w, b.t); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
	}
	b.ok(second(b.UserByLogin(b.ctx, b.t, canary))) // by name; the probe asks by address
	for _, field := range []string{"username", "email", "name", "uuid", "type", "path"} {
		for _, lookup := range []string{"", "__iexact", "__startswith", "__contains", "__icontains"} {
			b.ok(second(b.FindUsers(b.ctx, b.t, map[string]any{field + lookup: canary}, 9)))
		}
	}
	b.ok(second(b.FindUsers(b.ctx, b.t, map[string]any{"pk": w.user.PK}, 9)))
	walkDelegated(b, w)
	walkEnds(b, w)
	// What deletes comes last, as most others find nothing after it.
	for _, m := range []map[string]probe{write, blind} {
		names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
			return strings.Compare(fmt.Sprint(destroys(a), a), fmt.Sprint(destroys(b), b))
		})
		for _, name := range names {
			// What another one wrote, or deleted, may be in its way.
			_, err := m[name](b, w, b.t)
			if err != nil && !errors.Is(err, core.ErrExists) && !errors.Is(err, core.ErrNotFound) && !errors.Is(err, core.ErrConsumed) && !errors.Is(err, core.ErrInUse) {
				b.Errorf("%s: %v", name, err)
			}
		}
	}
}

func destroys(method string) bool {
	for _, word := range []string{"Delete", "Revoke", "End", "Consume", "Remove", "Forget"} {
		if strings.HasPrefix(method, word) {
			return true
		}
	}
	return false
}

// walkDelegated writes as somebody who may not do all, whose limits are looked up.
func walkDelegated(b *bench, w *world) {
	ctx := core.WithDelegation(b.ctx, &core.Delegation{By: w.user.ID})
	_, err := b.UpdateUser(ctx, b.t, w.user.PK, func(u *core.User) error { u.Path = "x"; return nil })
	b.ok(err)
}

// walkEnds ends grants by each of what they may be named by, and what people are and
// bindings name changes.
func walkEnds(b *bench, w *world) {
	for _, m := range []oidc.GrantMatch{{Session: "none"}, {ClientID: "none"}, {User: w.user.ID, ClientID: "none"}, {Session: "none", ClientID: "none"}} {
		b.ok(b.RevokeGrants(b.ctx, b.t, m))
	}
	b.ok(second(b.DeleteUserSessions(b.ctx, b.t, w.user.ID, "none")))
	b.ok(second(b.UpdateClient(b.ctx, b.t, b.client("another").ID, func(c *core.Client) error { c.ClientID = "renamed"; return nil })))
	b.bind(&policy.Binding{Target: policy.TargetID(w.title.ID), Group: w.group.ID, Enabled: true})
	b.bind(&policy.Binding{Target: policy.TargetID(w.title.ID), User: w.user.ID, Enabled: true})
	u := b.user("leaves", w.group.ID)
	b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(u *core.User) error { u.Active = false; return nil })))
	b.ok(second(b.UpdateGroup(b.ctx, b.t, w.group.ID, func(*core.Group) ([]int64, error) { return []int64{w.user.PK}, nil })))
}
