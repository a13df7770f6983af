package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// T-05, T-12, T-19: an access token opens the REST API where its client may ask for
// the scope, it was granted, and its user is active; nothing else of ours does.
func TestScopeAPI(t *testing.T) {
	w := newWorld(t)
	rest := &api.Handler{Store: w.db, AccessTokens: w.op, Now: w.op.Now, Log: w.op.Log}
	me := func(token string) int {
		r := httptest.NewRequest(http.MethodGet, "/api/v3/core/users/me/", nil).WithContext(w.ctx())
		r.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		rest.ServeHTTP(answer, r)
		return answer.Code
	}
	const scope = offline + " " + core.ScopeAPI
	if got := me(w.tokens(scope).Access); got != http.StatusForbidden {
		t.Errorf("a scope that the client may not have: %d", got)
	}
	w.addMapping(core.ScopeAPI, "return {}")
	got := w.tokens(scope)
	if status := me(got.Access); status != http.StatusOK { // the control of all others
		t.Fatalf("with the scope: %d", status)
	}
	for name, token := range map[string]string{
		"an ID token": got.ID, "a refresh token": got.Refresh, "a token of the scope email": w.tokens("openid email").Access,
		"a changed token": got.Access[:len(got.Access)-2], "a code": w.browser(w.alice).code("scope", scope),
	} {
		if status := me(token); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	sessions, err := w.db.UserSessions(t.Context(), tenantID, w.alice.ID)
	check(t, err)
	for _, s := range sessions {
		if status := me(string(s.ID)); status != http.StatusForbidden {
			t.Errorf("the ID of a session: %d", status)
		}
	}
	_, err = w.db.UpdateUser(t.Context(), tenantID, w.alice.PK, func(u *core.User) error { u.Active = false; return nil })
	check(t, err)
	if status := me(got.Access); status != http.StatusForbidden {
		t.Errorf("of a deactivated user: %d", status)
	}
}
