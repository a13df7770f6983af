package oidc_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func (f *failing) RevokeGrant(ctx context.Context, t core.TenantID, id oidc.GrantID) error {
	if f.on == "revoke" {
		return errDisk
	}
	return f.Store.RevokeGrant(ctx, t, id)
}

func (f *failing) SaveCode(ctx context.Context, t core.TenantID, c *oidc.Code, g *oidc.Grant, e *core.Event) error {
	if f.on == "code" {
		return errDisk
	}
	return f.Store.SaveCode(ctx, t, c, g, e)
}

func (f *failing) Client(ctx context.Context, t core.TenantID, id string) (*core.Client, error) {
	if f.on == "client" {
		return nil, errDisk
	}
	return f.Store.Client(ctx, t, id)
}

func (f *failing) Grant(ctx context.Context, t core.TenantID, id oidc.GrantID) (*oidc.Grant, error) {
	if f.on == "read grant" {
		return nil, errDisk
	}
	return f.Store.Grant(ctx, t, id)
}

func (f *failing) Code(ctx context.Context, t core.TenantID, hash [32]byte) (*oidc.Code, *oidc.Grant, error) {
	if f.on == "read code" {
		return nil, nil, errDisk
	}
	return f.Store.Code(ctx, t, hash)
}

func (f *failing) ConsumeCode(ctx context.Context, t core.TenantID, hash [32]byte, first *oidc.RefreshToken) error {
	if f.on == "consume" {
		return errDisk
	}
	return f.Store.ConsumeCode(ctx, t, hash, first)
}

func (f *failing) RotateRefresh(ctx context.Context, t core.TenantID, r *oidc.Rotation) ([]byte, error) {
	if f.on == "rotate" {
		return nil, errDisk
	}
	return f.Store.RotateRefresh(ctx, t, r)
}

// slow takes its time to use a code up.
type slow struct {
	oidc.Store
	wait time.Duration
}

func (s *slow) ConsumeCode(ctx context.Context, t core.TenantID, hash [32]byte, first *oidc.RefreshToken) error {
	time.Sleep(s.wait)
	return s.Store.ConsumeCode(ctx, t, hash, first)
}

// A store that fails gives server_error with the request's ID, and never the
// cause, a token or a code.
func TestStoreFailures(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	fail := func(on string) { w.op.Store = &failing{Store: w.db, on: on} }
	fail("code")
	a := b.authorize()
	if got := a.response(t); got.Get("error") != "server_error" || got.Get("code") != "" || !strings.Contains(got.Get("error_description"), "req-1") || strings.Contains(a.Header.Get("Location"), "disk") {
		t.Errorf("code: %v", got)
	}
	fail("client")
	if a := b.authorize(); a.StatusCode != http.StatusInternalServerError || strings.Contains(a.body, "disk") || !strings.Contains(a.body, "req-1") {
		t.Errorf("client: %d %s", a.StatusCode, a.body)
	}
	fail("")
	code, refresh := b.code("scope", offline), w.tokens(offline)
	for _, on := range []string{"client", "read grant"} {
		fail(on)
		if status, _ := w.userinfo(refresh.Access); status != http.StatusInternalServerError {
			t.Errorf("%s: userinfo: %d", on, status)
		}
	}
	for _, on := range []string{"client", "rotate"} {
		fail(on)
		if got := w.refresh(refresh.Refresh); got.Status != http.StatusInternalServerError || got.Error != "server_error" || got.Access != "" || strings.Contains(got.Description, "disk") {
			t.Errorf("%s: %v", on, got)
		}
	}
	for _, on := range []string{"read code", "consume"} {
		fail(on)
		if got := w.exchange(code); got.Status != http.StatusInternalServerError || got.Access != "" || got.Refresh != "" {
			t.Errorf("%s: %v", on, got)
		}
	}
	w.op.Store = w.db
	if got := w.exchange(code); got.Error != "" || got.Refresh == "" { // the failed exchanges used nothing up
		t.Errorf("afterwards: %v", got)
	}
	if got := w.refresh(refresh.Refresh); got.Error != "" { // the failed rotation used nothing up
		t.Errorf("afterwards: %v", got)
	}
}

// who floods one tenant with refused requests keeps no event from another's
// audit log.
func TestQuotaIsTheTenantsOwn(t *testing.T) {
	w := newWorld(t)
	const most = 60
	bad := query("redirect_uri", "https://evil.example/")
	for range most + 5 {
		w.browser(nil).open("/application/o/authorize/?" + bad.Encode())
	}
	if n := len(w.events(core.EventConfigurationError)); n != most { // control: it is bounded
		t.Fatalf("%d events, want %d", n, most)
	}
	if !w.op.TakeQuota("t_b") {
		t.Error("another tenant's event would not be recorded")
	}
	if w.op.TakeQuota(tenantID) {
		t.Error("control: this tenant's quota is not used up")
	}
}
