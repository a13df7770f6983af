package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
)

const (
	guardedClient = "outpost:caddyfile:app.example"
	guardedBack   = redirectURI + "?X-authentik-auth-callback=true"
)

// overlay answers for an application that no row of the directory stands for.
type overlay struct {
	*sqldb.DB
	app core.Application
}

func (o overlay) Application(ctx context.Context, t core.TenantID, id core.ApplicationID) (*core.Application, error) {
	if id == o.app.ID {
		app := o.app
		return &app, nil
	}
	return o.DB.Application(ctx, t, id)
}

func (w *world) guarded(groups ...string) *core.Application {
	o := overlay{w.db, core.Application{ID: "caddyfile:app.example", Name: "app.example", AllowGroups: groups}}
	w.op.Applications = o
	return &o.app
}

func (w *world) begin(app *core.Application) (string, core.Pending) {
	w.t.Helper()
	login, pending, err := w.op.Begin(w.ctx(), app, guardedClient, guardedBack)
	check(w.t, err)
	return strings.TrimPrefix(login, w.server.URL), pending
}

func TestGuarded(t *testing.T) {
	w := newWorld(t)
	app := w.guarded()
	path, pending := w.begin(app)
	b := w.browser(w.alice)
	got := b.open(path).response(t)
	if got.Get("state") != pending.State || got.Get("X-authentik-auth-callback") != "true" || got.Get("iss") == "" {
		t.Errorf("response: %v", got)
	}
	if need := w.login.needs[0]; need.Application != "app.example" {
		t.Errorf("need: %+v", need)
	}
	session, user, err := w.op.Redeem(w.ctx(), tenantID, guardedClient, guardedBack, got.Get("code"), pending)
	check(t, err)
	if _, err := w.db.SessionByID(t.Context(), tenantID, session); err != nil || user != w.alice.ID {
		t.Errorf("session %s of %s: %v", session, user, err)
	}
	// F-18: a replay of the callback.
	if _, _, err := w.op.Redeem(w.ctx(), tenantID, guardedClient, guardedBack, got.Get("code"), pending); !errors.Is(err, core.ErrDenied) {
		t.Errorf("second use: %v", err)
	}
}

func TestGuardedRefusals(t *testing.T) {
	w := newWorld(t)
	app := w.guarded()
	b := w.browser(w.alice)
	for name, wrong := range map[string]func(client, back, code *string, p *core.Pending){
		"another client":       func(client, _, _ *string, _ *core.Pending) { *client = "outpost:caddyfile:other.example" },
		"another redirect URI": func(_, back, _ *string, _ *core.Pending) { *back = "https://rp.example/other" },
		"another attempt":      func(_, _, _ *string, p *core.Pending) { _, *p = w.begin(app) },
		"no verifier":          func(_, _, _ *string, p *core.Pending) { p.Verifier = "" },
		"unknown code":         func(_, _, code *string, _ *core.Pending) { *code = "x" },
		"old attempt":          func(_, _, _ *string, p *core.Pending) { p.Expires = w.clock.Now() },
		"code of a client": func(_, _, code *string, _ *core.Pending) {
			*code = b.code("redirect_uri", redirectURI)
		},
	} {
		path, pending := w.begin(app)
		client, back, code := guardedClient, guardedBack, b.open(path).response(t).Get("code")
		wrong(&client, &back, &code, &pending)
		if _, _, err := w.op.Redeem(w.ctx(), tenantID, client, back, code, pending); !errors.Is(err, core.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The code is nothing at the token endpoint, and burned there.
	path, pending := w.begin(app)
	code := b.open(path).response(t).Get("code")
	if got := w.exchange(code, "redirect_uri", guardedBack, "code_verifier", pending.Verifier); got.Error != "invalid_grant" {
		t.Errorf("token endpoint: %v", got)
	}
	if _, _, err := w.op.Redeem(w.ctx(), tenantID, guardedClient, guardedBack, code, pending); !errors.Is(err, core.ErrDenied) {
		t.Errorf("afterwards: %v", err)
	}
	path, pending = w.begin(app)
	code = b.open(path).response(t).Get("code")
	w.clock.Add(time.Minute)
	if _, _, err := w.op.Redeem(w.ctx(), tenantID, guardedClient, guardedBack, code, pending); !errors.Is(err, core.ErrDenied) {
		t.Errorf("a minute later: %v", err)
	}
	r, err := http.NewRequestWithContext(w.ctx(), http.MethodGet, "http://app.example/", nil)
	check(t, err)
	for _, back := range []string{"", "/x", "javascript:alert(1)", "com.example:/x", "https://a@b/", "https://rp.example/#x"} {
		if _, _, err := w.op.Begin(r.Context(), app, guardedClient, back); err == nil {
			t.Errorf("redirect URI %q was taken", back)
		}
	}
	// A name that looks like a guarded client's is not found among the clients.
	if a := b.authorize("client_id", guardedClient); a.StatusCode != http.StatusBadRequest {
		t.Errorf("authorize as the guarded client: %d", a.StatusCode)
	}
}

func TestGuardedPolicy(t *testing.T) {
	w := newWorld(t)
	app := w.guarded("staff")
	path, _ := w.begin(app)
	b := w.browser(w.alice)
	if a := b.open(path); a.StatusCode != http.StatusForbidden {
		t.Errorf("%d %s", a.StatusCode, a.Header.Get("Location"))
	}
	w.newGroup("staff", w.alice)
	if got := b.open(path).response(t); got.Get("code") == "" {
		t.Errorf("member: %v", got)
	}
	// The application is gone from the Caddyfile while a login is under way.
	w.op.Applications = w.db
	if a := b.open(path); a.StatusCode != http.StatusBadRequest {
		t.Errorf("gone: %d", a.StatusCode)
	}
}

// The origin of the login page is the tenant's, whatever host is guarded (F-15).
func TestBeginUsesTheTenantsOrigin(t *testing.T) {
	w := newWorld(t)
	app := w.guarded()
	ctx := core.WithRequest(t.Context(), &core.RequestInfo{Tenant: w.tenant, Scheme: "https", Host: "evil.test"})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://evil.test/", nil)
	check(t, err)
	login, _, err := w.op.Begin(r.Context(), app, guardedClient, guardedBack)
	check(t, err)
	if u, err := url.Parse(login); err != nil || u.Scheme+"://"+u.Host != w.tenant.Origin {
		t.Errorf("login at %s", login)
	}
}

var _ core.Applications = overlay{}
var _ oidc.Sessions = (*sqldb.DB)(nil)
