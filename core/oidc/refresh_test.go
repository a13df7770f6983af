package oidc_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

const offline = "openid email offline_access"

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t)
	unused := w.tokens(offline)
	w.clock.Add(30 * 24 * time.Hour)
	if got := w.refresh(unused.Refresh); got.Error != "invalid_grant" || !strings.Contains(got.Description, "expired") {
		t.Errorf("after thirty days: %v", got)
	}
	got := w.tokens(offline)
	seen := map[string]bool{got.Refresh: true}
	first := claims(t, got.ID)
	for range 4 {
		w.clock.Add(20 * 24 * time.Hour) // longer together than the first one's thirty days
		next := w.refresh(got.Refresh)
		if next.Error != "" || seen[next.Refresh] || len(next.Refresh) != 128 || next.Scope != offline {
			t.Fatalf("%v", next)
		}
		seen[next.Refresh] = true
		if status, _ := w.userinfo(next.Access); status != http.StatusOK {
			t.Errorf("userinfo: %d", status)
		}
		id := claims(t, next.ID)
		if id["sub"] != first["sub"] || id["auth_time"] != first["auth_time"] || id["nonce"] != nil || id["at_hash"] == nil {
			t.Errorf("ID token: %v", id)
		}
		got = next
	}
	w.clock.Add(30 * 24 * time.Hour)
	if got := w.refresh(got.Refresh); got.Error != "invalid_grant" {
		t.Errorf("expired: %v", got)
	}
}

// T-14: a refresh token that is used again ends its family.
func TestRefreshReuse(t *testing.T) {
	for name, between := range map[string]func(*world, tokens) tokens{
		"after the grace":                   func(w *world, got tokens) tokens { w.clock.Add(oidc.RefreshGrace + time.Microsecond); return got },
		"once the successor is used":        func(w *world, got tokens) tokens { return w.refresh(got.Refresh) },
		"after the grace and two rotations": func(w *world, got tokens) tokens { w.clock.Add(time.Hour); return w.refresh(got.Refresh) },
	} {
		w := newWorld(t)
		first := w.tokens(offline)
		last := between(w, w.refresh(first.Refresh))
		if status, _ := w.userinfo(last.Access); status != http.StatusOK { // control
			t.Fatalf("%s: before: %d", name, status)
		}
		if got := w.refresh(first.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%s: %v", name, got)
		}
		if got := w.refresh(last.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%s: the family lives on: %v", name, got)
		}
		if status, _ := w.userinfo(last.Access); status != http.StatusUnauthorized {
			t.Errorf("%s: the family's access token lives on: %d", name, status)
		}
		if e := w.events(core.EventSuspicious); len(e) != 1 {
			t.Errorf("%s: events %v", name, e)
		}
	}
}

// T-14: refreshes that race get one and the same successor; the family does not
// fork.
func TestRefreshRace(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		first := w.tokens(offline)
		successors := map[string]int{}
		for _, got := range race(20, func() tokens { return w.refresh(first.Refresh) }) {
			if got.Error != "" {
				t.Errorf("%v", got)
			}
			successors[got.Refresh]++
		}
		if len(successors) != 1 {
			t.Fatalf("the family has %d successors", len(successors))
		}
		for token := range successors {
			if got := w.refresh(token); got.Error != "" {
				t.Errorf("the successor: %v", got)
			}
		}
	}
}

func TestRefreshThreshold(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) { c.RefreshThreshold = "days=10" })
	first := w.tokens(offline)
	w.clock.Add(19 * 24 * time.Hour)
	same := w.refresh(first.Refresh)
	if same.Refresh != first.Refresh || same.Access == first.Access {
		t.Errorf("with 11 days left: %v", same)
	}
	w.clock.Add(2 * 24 * time.Hour)
	next := w.refresh(first.Refresh)
	if next.Refresh == first.Refresh || next.Refresh == "" {
		t.Errorf("with 9 days left: %v", next)
	}
	// A token that was rotated is not revived by a threshold that is set later.
	w.updateClient(func(c *core.Client) { c.RefreshThreshold = "days=1" })
	w.clock.Add(time.Minute)
	if got := w.refresh(first.Refresh); got.Error != "invalid_grant" {
		t.Errorf("used: %v", got)
	}
}

func TestRefreshScopes(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("openid email profile offline_access")
	narrow := w.refresh(got.Refresh, "scope", "openid offline_access")
	if narrow.Scope != "offline_access openid" || claims(t, narrow.ID)["email"] != nil {
		t.Errorf("narrowed: %v", narrow)
	}
	// The grant keeps what it had.
	wide := w.refresh(narrow.Refresh)
	if wide.Scope != "openid email profile offline_access" || claims(t, wide.ID)["email"] == nil {
		t.Errorf("wide again: %v", wide)
	}
	for _, scope := range []string{"openid", "openid offline_access goauthentik.io/api", "nope offline_access"} {
		if got := w.refresh(wide.Refresh, "scope", scope); got.Error != "invalid_scope" {
			t.Errorf("%q: %v", scope, got)
		}
	}
	if got := w.refresh(wide.Refresh); got.Error != "" { // nothing was used up by the refusals
		t.Errorf("after them: %v", got)
	}
}

// T-11: what ends a refresh token.
func TestRefreshEnds(t *testing.T) {
	for name, end := range map[string]func(*world){
		"user disabled":    func(w *world) { w.updateUser(w.alice, func(u *core.User) { u.Active = false }) },
		"user deleted":     func(w *world) { check(w.t, w.db.DeleteUser(w.ctx(), tenantID, w.alice.PK)) },
		"group taken away": func(w *world) { w.guard("staff") },
		"password changed": func(w *world) {
			check(w.t, w.db.SetPasswordHash(w.ctx(), tenantID, w.alice.ID, "$argon2id$new", w.clock.Now()))
		},
		"consent withdrawn": func(w *world) { check(w.t, w.op.RevokeConsent(w.ctx(), tenantID, w.alice.ID, "app")) },
	} {
		w := newWorld(t)
		got := w.tokens(offline)
		got = w.refresh(got.Refresh)
		if got.Error != "" { // control
			t.Fatalf("%s: before: %v", name, got)
		}
		end(w)
		if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
			t.Errorf("%s: access goes on: %d", name, status)
		}
		if got := w.refresh(got.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%s: refresh goes on: %v", name, got)
		}
	}
	// A secret that was changed: the old one does not authenticate.
	w := newWorld(t)
	got := w.tokens(offline)
	w.updateClient(func(c *core.Client) { c.Secret = "another-secret-of-the-client-0123456789" })
	if got := w.refresh(got.Refresh); got.Error != "invalid_client" {
		t.Errorf("old secret: %v", got)
	}
	if got := w.refresh(got.Refresh, "client_id", "app", "client_secret", "another-secret-of-the-client-0123456789"); got.Error != "invalid_grant" {
		t.Errorf("new secret: what the old one opened goes on: %v", got)
	}
}

// A refresh token of one client is nothing in the hands of another, and that it
// came there ends it.
func TestForeignRefresh(t *testing.T) {
	w := newWorld(t)
	w.newClient("other", nil)
	got := w.tokens(offline)
	if foreign := w.refresh(got.Refresh, "client_id", "other", "client_secret", secret); foreign.Error != "invalid_grant" {
		t.Errorf("foreign: %v", foreign)
	}
	if own := w.refresh(got.Refresh); own.Error != "invalid_grant" {
		t.Errorf("own, after it was seen elsewhere: %v", own)
	}
}

// T-26: the login ends; access tokens that name it end with it, the offline
// grant goes on without it.
func TestLogoutAndOfflineAccess(t *testing.T) {
	w := newWorld(t)
	got := w.tokens(offline)
	if claims(t, got.Access)["sid"] == nil {
		t.Fatal("no sid")
	}
	_, err := w.db.DeleteUserSessions(t.Context(), tenantID, w.alice.ID, "")
	check(t, err)
	if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("access token of a login that ended: %d", status)
	}
	next := w.refresh(got.Refresh)
	if next.Error != "" || claims(t, next.Access)["sid"] != nil {
		t.Fatalf("refresh: %v", next)
	}
	if status, _ := w.userinfo(next.Access); status != http.StatusOK {
		t.Errorf("access token of the offline grant: %d", status)
	}
}
