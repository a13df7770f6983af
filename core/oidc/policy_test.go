package oidc_test

import (
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

func (w *world) bindGroup(g core.GroupID) *policy.Binding {
	w.t.Helper()
	b := &policy.Binding{Target: policy.TargetID(w.app.ID), Group: g, Enabled: true}
	check(w.t, w.db.CreateBinding(w.t.Context(), tenantID, b))
	return b
}

// T-11: whoever has lost access gets nothing for a refresh token, and it is recorded why.
func TestRefreshAsksThePolicy(t *testing.T) {
	w := newWorld(t)
	staff := w.newGroup("staff", w.alice)
	b := w.bindGroup(staff.ID)
	got := w.tokens("openid offline_access")
	got = w.refresh(got.Refresh) // control: a member
	if got.Error != "" {
		t.Fatalf("a member: %v", got)
	}
	check(t, w.db.RemoveMember(t.Context(), tenantID, staff.ID, w.alice.PK))
	refused := w.refresh(got.Refresh)
	if refused.Error != "invalid_grant" {
		t.Fatalf("out of the group: %v", refused)
	}
	events := w.events(core.EventDenied)
	if len(events) != 1 {
		t.Fatalf("events: %v", events)
	}
	e, err := w.db.Denial(t.Context(), tenantID, events[0])
	check(t, err)
	if e.Context["where"] != "token" || e.UserName != "alice" {
		t.Errorf("event: %+v", e)
	}
	if status, _ := w.userinfo(got.Access); status != 401 {
		t.Errorf("userinfo: %d", status)
	}
	// The family is gone for good, whatever is bound now.
	check(t, w.db.DeleteBinding(t.Context(), tenantID, b.ID))
	if again := w.refresh(got.Refresh); again.Error != "invalid_grant" {
		t.Errorf("after the binding: %v", again)
	}
}

// A policy that fails refuses a refresh, and revokes nothing. It sees the address of the person's
// login, not that of the client's server.
func TestRefreshUnderAPolicy(t *testing.T) {
	w := newWorld(t)
	p := &core.ExpressionPolicy{Name: "p", Expression: `return request.context["oauth_grant_type"] in ("authorization_code", "refresh_token") and "openid" in request.context["oauth_scopes"]`}
	check(t, w.db.CreatePolicy(t.Context(), tenantID, p))
	check(t, w.db.CreateBinding(t.Context(), tenantID, &policy.Binding{Target: policy.TargetID(w.app.ID), Policy: p.ID, Enabled: true}))
	set := func(source string) {
		t.Helper()
		_, err := w.db.UpdatePolicy(t.Context(), tenantID, p.ID, func(p *core.ExpressionPolicy) error { p.Expression = source; return nil })
		check(t, err)
	}
	got := w.tokens("openid offline_access")
	working := p.Expression
	set("return 1 / 0")
	if refused := w.refresh(got.Refresh); refused.Error != "invalid_grant" {
		t.Errorf("a policy that fails: %v", refused)
	}
	set(working)
	if got = w.refresh(got.Refresh); got.Error != "" {
		t.Errorf("once it is repaired: %v", got)
	}
	if e := strings.Join(w.events(core.EventPolicyException), " "); !strings.Contains(e, "policy p: failed") {
		t.Errorf("events: %v", e)
	}
}
