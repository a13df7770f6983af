package login_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// path is a link without the tenant's origin, which it must begin with.
func path(t testing.TB, link string, err error) string {
	t.Helper()
	p, ok := strings.CutPrefix(link, "https://a.test")
	if err != nil || !ok {
		t.Fatalf("%q, %v", link, err)
	}
	return p
}

func (h *house) setup() string {
	h.t.Helper()
	link, err := h.SetupLink(h.t.Context(), tenants()["a.test"])
	return path(h.t, link, err)
}

func (h *house) recovery(u *core.User, validity time.Duration) string {
	h.t.Helper()
	link, err := h.RecoveryLink(h.t.Context(), tenants()["a.test"], u.ID, validity)
	return path(h.t, link, err)
}

func TestSetup(t *testing.T) {
	h := newHouse(t)
	old := h.setup()
	link := h.setup()
	want(t, h.browser("a.test").get(old), http.StatusNotFound) // replaced
	if !strings.HasPrefix(link, "/if/flow/initial-setup/?token=") {
		t.Error(link)
	}
	for range 3 { // a mail scanner opens it, with GET and with HEAD
		page := h.browser("a.test").get(link)
		want(t, page, http.StatusOK)
		if strings.Count(page.body, "<form") != 1 || strings.Count(page.body, `type="password"`) != 1 {
			t.Error(page.body)
		}
		want(t, h.browser("a.test").do(http.MethodHead, link, nil), http.StatusOK)
	}
	b := h.browser("a.test")
	// A password that is refused leaves the link as it is.
	for _, password := range []string{"", "short", "1234567", "ñññññññ", strings.Repeat("x", 1025), "nul\x00nul\x00nul"} {
		res := b.submit(link, "password", password)
		want(t, res, http.StatusUnprocessableEntity)
		if !strings.Contains(res.body, `role="alert"`) {
			t.Errorf("%q: %s", password, res.body)
		}
	}
	wantTo(t, b.submit(link, "password", "a long sentence"), http.StatusSeeOther, "/if/user/")
	want(t, b.get("/if/user/"), http.StatusOK)
	h.browser("a.test").mustLogin("akadmin", "a long sentence")
	h.wantEvent(tenantA, core.EventPasswordSet)
	h.wantEvent(tenantA, core.EventRecoveryUsed)
	h.wantEvent(tenantA, core.EventLogin)
}

// once the administrator had a password, set-up is closed for ever.
func TestSetupClosesForEver(t *testing.T) {
	h := newHouse(t)
	admin := h.find(tenantA, "akadmin")
	link := h.setup()
	closed := func(what string) {
		t.Helper()
		if got, err := h.SetupLink(t.Context(), tenants()["a.test"]); got != "" || err != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		want(t, h.browser("a.test").get(link), http.StatusNotFound)
	}
	b := h.browser("a.test")
	page := b.get(link)
	// The administrator gets a password in another way while the link is open.
	if err := h.SetPassword(t.Context(), tenantA, admin, "a long sentence", ""); err != nil {
		t.Fatal(err)
	}
	closed("with a password")
	want(t, b.send(link, page, "password", "the attacker's"), http.StatusNotFound)
	// The password is taken away again.
	if err := h.SetPasswordHash(t.Context(), tenantA, admin.ID, "", h.now.now()); err != nil {
		t.Fatal(err)
	}
	closed("password taken away")
	// The user is deleted.
	h.ok(h.DeleteUser(t.Context(), tenantA, admin.PK))
	closed("no such user")
	// One is made anew, who never had a password.
	again := &core.User{UserName: "akadmin", Active: true, Type: core.UserInternal}
	h.ok(h.CreateUser(t.Context(), tenantA, again))
	closed("another one")
	// Without a token, or with a made-up one, there is no set-up.
	for _, path := range []string{"/if/flow/initial-setup/", "/if/flow/initial-setup/?token=", "/if/flow/initial-setup/?token=x"} {
		want(t, h.browser("a.test").get(path), http.StatusNotFound)
	}
	// The control: a fresh tenant is open, also where its akadmin is another one, and is not once it was seen without.
	fresh := newHouse(t)
	renewed := func() {
		fresh.ok(fresh.CreateUser(t.Context(), tenantA, &core.User{UserName: "akadmin", Active: true, Type: core.UserInternal}))
	}
	fresh.ok(fresh.DeleteUser(t.Context(), tenantA, fresh.find(tenantA, "akadmin").PK))
	renewed()
	want(t, fresh.browser("a.test").get(fresh.setup()), http.StatusOK)
	fresh.ok(fresh.DeleteUser(t.Context(), tenantA, fresh.find(tenantA, "akadmin").PK))
	for range 2 {
		if got, err := fresh.SetupLink(t.Context(), tenants()["a.test"]); got != "" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := fresh.UserByName(t.Context(), tenantA, "akadmin"); err != nil {
			renewed()
		}
	}
}

// a recovery link is good once, for its user, purpose and tenant, until it
// is too old or the password changed; and it is kept by hash.
func TestRecoveryLink(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	h.tenantB()

	// With a new password: all other sessions and links end.
	elsewhere := h.browser("a.test")
	elsewhere.mustLogin("alice", "correct horse")
	link, second := h.recovery(alice, time.Hour), h.recovery(alice, time.Hour)
	b := h.browser("a.test")
	wantTo(t, b.submit(link, "password", "battery staple"), http.StatusSeeOther, "/if/user/")
	want(t, b.get("/if/user/"), http.StatusOK)
	want(t, elsewhere.get("/if/user/"), http.StatusFound)
	want(t, h.browser("a.test").get(second), http.StatusNotFound)
	want(t, h.browser("a.test").login("alice", "correct horse"), http.StatusUnprocessableEntity)
	want(t, h.browser("a.test").get(link), http.StatusNotFound)

	// Without one it only logs in, once.
	link = h.recovery(alice, time.Hour)
	first, late := h.browser("a.test"), h.browser("a.test")
	open := late.get(link)
	want(t, first.submit(link, "password", ""), http.StatusSeeOther)
	want(t, first.get("/if/user/"), http.StatusOK)
	want(t, late.send(link, open, "password", ""), http.StatusNotFound)
	h.browser("a.test").mustLogin("alice", "battery staple")

	// Every other reason has the same answer.
	refused := h.browser("a.test").get("/recovery/use-token/unknown/")
	want(t, refused, http.StatusNotFound)
	refuse := func(what string, b *browser, path string) {
		t.Helper()
		if res := b.get(path); res.StatusCode != refused.StatusCode || res.body != refused.body {
			t.Errorf("%s: %d", what, res.StatusCode)
		}
	}
	link = h.recovery(alice, time.Hour)
	token := strings.TrimSuffix(strings.TrimPrefix(link, "/recovery/use-token/"), "/")
	want(t, h.browser("b.test").get(link), http.StatusNotFound) // another tenant
	refuse("for set-up", h.browser("a.test"), "/if/flow/initial-setup/?token="+token)
	setup := h.setup()
	refuse("a set-up link for recovery", h.browser("a.test"), "/recovery/use-token/"+strings.TrimPrefix(setup, "/if/flow/initial-setup/?token=")+"/")
	h.change(alice, func(u *core.User) { u.Active = false })
	refuse("of an inactive user", h.browser("a.test"), link)
	h.change(alice, func(u *core.User) { u.Active = true })
	want(t, h.browser("a.test").get(link), http.StatusOK) // the control
	h.now.add(time.Hour)
	refuse("too old to the second", h.browser("a.test"), link)
	if !h.tokens[core.Hash(token)] {
		t.Error("it is not kept by its hash")
	}
	if len(token) != 60 {
		t.Errorf("a token of %d characters", len(token))
	}
	var field *core.FieldError
	if _, err := h.RecoveryLink(t.Context(), tenants()["a.test"], alice.ID, 0); !errors.As(err, &field) {
		t.Errorf("no validity: %v", err)
	}
}

// twenty at the same time, one gets in.
func TestLinkIsUsedOnce(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	link := h.recovery(alice, time.Hour)
	var mu sync.Mutex
	var wg sync.WaitGroup
	in := 0
	for range 20 {
		b := h.browser("a.test")
		page := b.get(link)
		wg.Go(func() {
			if b.send(link, page, "password", "").StatusCode == http.StatusSeeOther {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if in != 1 {
		t.Errorf("%d got in", in)
	}
	// The form of one link does not use another.
	one, other := h.recovery(alice, time.Hour), h.recovery(alice, time.Hour)
	b := h.browser("a.test")
	want(t, b.send(other, b.get(one), "password", ""), http.StatusForbidden)
	// A form from another site does not use it.
	page := b.get(one)
	b.header = http.Header{"Sec-Fetch-Site": {"cross-site"}}
	want(t, b.send(one, page, "password", ""), http.StatusForbidden)
	b.header = http.Header{}
	want(t, b.send(one, page, "password", ""), http.StatusSeeOther)
}

// F-15: links name the tenant's origin, whatever host they were asked for on.
func TestLinksNameTheTenantsOrigin(t *testing.T) {
	h := newHouse(t)
	h.tenantB()
	u := h.user(tenantB, "bea", "correct horse")
	link, err := h.RecoveryLink(t.Context(), tenants()["b.test"], u.ID, time.Hour)
	if err != nil || !strings.HasPrefix(link, "https://b.test/recovery/use-token/") {
		t.Errorf("%s, %v", link, err)
	}
}

// breakOff is a store whose caller goes away just as the new hash is kept.
type breakOff struct {
	*directory
	gone func()
}

func (b *breakOff) SetPasswordHash(ctx context.Context, t core.TenantID, u core.UserID, hash string, at time.Time) error {
	err := b.directory.SetPasswordHash(ctx, t, u, hash, at)
	b.gone()
	return err
}

// A caller that goes away halfway leaves no session that the old password opened.
func TestSetPasswordIsCarriedThrough(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	old := h.browser("a.test")
	old.mustLogin("alice", "correct horse")
	ctx, gone := context.WithCancel(t.Context())
	h.Store = &breakOff{h.directory, gone}
	if err := h.SetPassword(ctx, tenantA, alice, "battery staple", ""); err != nil {
		t.Error(err)
	}
	if ctx.Err() == nil {
		t.Fatal("control: the caller is still there")
	}
	if left := h.logins(alice); len(left) > 0 {
		t.Errorf("%d sessions of the old password are left", len(left))
	}
}

func TestSetPassword(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	var field *core.FieldError
	if err := h.SetPassword(t.Context(), tenantA, alice, "short", ""); !errors.As(err, &field) || field.Field != "password" {
		t.Errorf("%v", err)
	}
	keep, other := h.browser("a.test"), h.browser("a.test")
	keep.mustLogin("alice", "correct horse")
	other.mustLogin("alice", "correct horse")
	kept, err := h.FindSession(t.Context(), tenantA, core.Hash(keep.session()))
	h.ok(err)
	if err := h.SetPassword(t.Context(), tenantA, alice, "battery staple", kept.ID); err != nil {
		t.Fatal(err)
	}
	want(t, keep.get("/if/user/"), http.StatusOK)
	want(t, other.get("/if/user/"), http.StatusFound)
	h.browser("a.test").mustLogin("alice", "battery staple")
	if e := h.wantEvent(tenantA, core.EventPasswordSet); e.User != alice.ID {
		t.Errorf("%+v", e)
	}
}
