package login_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/login"
)

func TestLogInByNameAndByMail(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	for _, name := range []string{"alice", "ALICE", " alice ", "alice@corp.test", "Alice@Corp.Test", "ａlice"} {
		b := h.browser("a.test")
		// O-14: credentials are never sent on, so 303 and not 307 or 308.
		wantTo(t, b.login(name, "correct horse"), http.StatusSeeOther, "/if/user/")
		if page := b.get("/if/user/"); page.StatusCode != http.StatusOK || !strings.Contains(page.body, "Alice") {
			t.Errorf("%q: %d", name, page.StatusCode)
		}
	}
	if e := h.wantEvent(tenantA, core.EventLogin); e.User != alice.ID || e.UserName != "alice" || e.Address != "192.0.2.1" {
		t.Errorf("%+v", e)
	}
	if !h.find(tenantA, "alice").LastLogin.Equal(h.now.now()) {
		t.Error("the last login was not noted")
	}
}

// O-26: the session cookie that a browser brings is not the one it leaves with,
// at the first login and at the next.
func TestSessionChangesAtEveryLogin(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	planted := core.RandomToken(32)
	b.jar.SetCookies(&url.URL{Scheme: "https", Host: "a.test"}, []*http.Cookie{{Name: "__Host-authentik_session", Value: planted, Path: "/", Secure: true}})
	if b.session() != planted {
		t.Fatal("control: the cookie was not planted")
	}
	b.mustLogin("alice", "correct horse")
	first := b.session()
	if first == planted || first == "" {
		t.Fatal("the planted key was taken over")
	}
	// prompt=login: the form is shown although there is a session, and the new
	// session replaces it.
	h.require = func(w http.ResponseWriter, r *http.Request) {
		_, _ = h.Require(w, r, core.Need{ReturnTo: "/need", MaxAge: -1, LoggedInSince: h.now.now()})
	}
	h.now.add(time.Minute)
	page := b.get("/need")
	wantTo(t, b.submit(page.Header.Get("Location"), "username", "alice", "password", "correct horse"), http.StatusSeeOther, "/need")
	if n := len(h.logins(alice)); b.session() == first || n != 1 {
		t.Fatalf("%d sessions are left", n)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	for _, tt := range []struct{ name, password, says string }{
		{"alice", "wrong", "The name or the password is wrong."},
		{"alice", strings.Repeat("x", 2000), "The name or the password is wrong."},
		{strings.Repeat("x", 5000), "correct horse", "The name or the password is wrong."},
		{"al\x00ice", "correct horse", "The name or the password is wrong."},
		{"", "correct horse", "Type your name and your password."},
		{"alice", "", "Type your name and your password."},
	} {
		res := b.login(tt.name, tt.password)
		want(t, res, http.StatusUnprocessableEntity)
		if !strings.Contains(res.body, `role="alert" id="alert">`+tt.says) {
			t.Errorf("%.20q %.20q: %s", tt.name, tt.password, res.body)
		}
		if b.session() != "" {
			t.Error("a session was started")
		}
	}
	e := h.wantEvent(tenantA, core.EventLoginFailed)
	if e.UserName != "alice" || e.Address != "192.0.2.1" {
		t.Errorf("%+v", e)
	}
	for _, e := range h.events[tenantA] {
		if len(e.UserName) > 64 || strings.Contains(e.UserName+e.Message, "horse") {
			t.Errorf("%+v", e)
		}
	}
	if strings.Contains(h.log.String(), "horse") {
		t.Error("a password is in the log")
	}
	// Bodies that are no form.
	page := b.get(loginPath)
	for _, tt := range []struct {
		kind   string
		form   url.Values
		status int
	}{
		{"application/json", url.Values{"username": {"alice"}}, http.StatusUnsupportedMediaType},
		{"multipart/form-data; boundary=x", url.Values{"username": {"alice"}}, http.StatusUnsupportedMediaType},
		{"", nil, http.StatusUnsupportedMediaType},
		{"application/x-www-form-urlencoded", url.Values{"username": {strings.Repeat("x", 100<<10)}}, http.StatusRequestEntityTooLarge},
	} {
		b.header = http.Header{"Content-Type": {tt.kind}}
		want(t, b.post(loginPath, tt.form), tt.status)
	}
	b.header = http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}
	want(t, b.send(loginPath, page, "username", "alice", "password", "correct horse"), http.StatusSeeOther)
	want(t, b.do(http.MethodPut, loginPath, nil), http.StatusMethodNotAllowed)
}

// an unknown, an inactive and a password-less user are told apart by
// nothing: status, body, headers, cookies, and the calls made for them.
func TestUnknownUsersLookLikeKnownOnes(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.user(tenantA, "gone", "correct horse", func(u *core.User) { u.Active = false })
	h.user(tenantA, "bare", "")
	type outcome struct {
		status  int
		body    string
		headers string
		cookies []string
		calls   []string
	}
	try := func(name, password string) outcome {
		b := h.browser("a.test")
		page := b.get(loginPath)
		h.callsSince()
		res := b.send(loginPath, page, "username", name, "password", password)
		headers := ""
		for _, k := range slices.Sorted(func(yield func(string) bool) {
			for k := range res.Header {
				if !yield(k) {
					return
				}
			}
		}) {
			if k != "Set-Cookie" && k != "Location" {
				headers += k + ": " + strings.Join(res.Header[k], ", ") + "\n"
			}
		}
		var cookies []string
		for _, c := range res.Cookies() {
			cookies = append(cookies, c.Name)
		}
		token := inputs.FindStringSubmatch(res.body)
		body := res.body
		if token != nil {
			body = strings.Replace(body, token[2], "TOKEN", 1)
		}
		return outcome{res.StatusCode, strings.ReplaceAll(body, `"`+name+`"`, "NAME"), headers, cookies, h.callsSince()}
	}
	reference := try("nobody", "wrong password")
	for _, tt := range []struct{ name, password string }{
		{"alice", "wrong password"}, {"gone", "correct horse"}, {"gone", "wrong password"}, {"bare", "wrong password"}, {"nobody@corp.test", "correct horse"},
	} {
		got := try(tt.name, tt.password)
		if got.status != reference.status || got.body != reference.body || got.headers != reference.headers ||
			!slices.Equal(got.cookies, reference.cookies) || !slices.Equal(got.calls, reference.calls) {
			t.Errorf("%s is told apart:\n%+v\n%+v", tt.name, got, reference)
		}
	}
	// The control: what is compared does tell a right password from a wrong one.
	if got := try("alice", "correct horse"); got.status == reference.status || slices.Equal(got.cookies, reference.cookies) {
		t.Error("control: a login looks like a refusal")
	}
	// And locked out they look alike too.
	for range 5 {
		try("alice", "wrong password")
		try("nobody", "wrong password")
	}
	got, unknown := try("alice", "wrong password"), try("nobody", "wrong password")
	if got.status != http.StatusTooManyRequests || got.status != unknown.status || got.body != unknown.body || got.headers != unknown.headers || !slices.Equal(got.calls, unknown.calls) {
		t.Errorf("locked out, a user is told apart:\n%+v\n%+v", got, unknown)
	}
}

// A login form that is open survives a restart, and half a day.
func TestOpenFormSurvivesRestart(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	page := b.get(loginPath + "?next=/application/launch/x/")
	h.Handler = h.again(h.Master, cheap())
	h.now.add(12 * time.Hour)
	wantTo(t, b.send(loginPath+"?next=/application/launch/x/", page, "username", "alice", "password", "correct horse"), http.StatusSeeOther, "/application/launch/x/")
	// After a day the form is shown again, with a word on it, and works then.
	b = h.browser("a.test")
	page = b.get(loginPath)
	h.now.add(25 * time.Hour)
	again := b.send(loginPath, page, "username", "alice", "password", "correct horse")
	want(t, again, http.StatusForbidden)
	if b.session() != "" || !strings.Contains(again.body, "open for too long") {
		t.Error(again.body)
	}
	want(t, b.send(loginPath, again, "username", "alice", "password", "correct horse"), http.StatusSeeOther)
	// With another secret nothing that was sealed opens, and nothing breaks.
	other, err := keys.NewMaster([]byte("another secret of at least 32 bytes, it is"))
	if err != nil {
		t.Fatal(err)
	}
	b = h.browser("a.test")
	page = b.get(loginPath)
	h.Handler = h.again(other, cheap())
	want(t, b.send(loginPath, page, "username", "alice", "password", "correct horse"), http.StatusForbidden)
}

// A hash that was made with less work is made anew at the login, once.
func TestWeakHashIsMadeAnew(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	stored := func() string {
		hash, err := h.PasswordHash(t.Context(), tenantA, alice.ID)
		h.ok(err)
		return hash
	}
	weak := stored()
	h.Handler = h.again(h.Master, &login.Hasher{Memory: 32, Passes: 2})
	h.browser("a.test").mustLogin("alice", "correct horse")
	strong := stored()
	if strong == weak || !strings.Contains(strong, "$m=32,t=2,p=1$") {
		t.Fatalf("still %s", strong)
	}
	changed := h.find(tenantA, "alice").PasswordChanged
	h.browser("a.test").mustLogin("alice", "correct horse")
	if stored() != strong || !changed.Equal(alice.PasswordChanged) {
		t.Error("hashed again for nothing")
	}
}

// F-12: with the store out of reach there is a clear answer, no session and no
// cause on the page.
func TestStoreOutage(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	page := b.get(loginPath)
	h.down = http.ErrServerClosed
	res := b.send(loginPath, page, "username", "alice", "password", "correct horse")
	want(t, res, http.StatusServiceUnavailable)
	if res.Header.Get("Retry-After") == "" || b.session() != "" || strings.Contains(res.body, "Server closed") || !strings.Contains(res.body, "req-1") {
		t.Errorf("%v %s", res.Header, res.body)
	}
	if !strings.Contains(h.log.String(), "Server closed") {
		t.Error("the cause is not in the log")
	}
	h.down = nil
	want(t, b.send(loginPath, page, "username", "alice", "password", "correct horse"), http.StatusSeeOther)
}

// a user who is deactivated is out at the next request.
func TestDeactivatedUserIsOut(t *testing.T) {
	h := newHouse(t)
	u := h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	want(t, b.get("/if/user/"), http.StatusOK)
	h.change(u, func(u *core.User) { u.Active = false })
	wantTo(t, b.get("/if/user/"), http.StatusFound, loginPath+"?next=%2Fif%2Fuser%2F")
	h.change(u, func(u *core.User) { u.Active = true })
	want(t, b.get("/if/user/"), http.StatusFound)
}

func TestLogOut(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	const path = "/if/flow/default-invalidation-flow/"
	b := h.browser("a.test")
	wantTo(t, b.get(path), http.StatusFound, loginPath+"?left=1") // nobody is logged in
	b.mustLogin("alice", "correct horse")
	wantTo(t, b.get("/flows/-/default/invalidation/"), http.StatusFound, path)
	page := b.get(path)
	want(t, page, http.StatusOK)
	want(t, b.get("/if/user/"), http.StatusOK) // asking is not doing
	key := b.session()
	wantTo(t, b.send(path, page), http.StatusSeeOther, loginPath+"?left=1")
	if b.session() != "" || len(h.logins(alice)) != 0 {
		t.Error("the session lives on")
	}
	b.jar.SetCookies(&url.URL{Scheme: "https", Host: "a.test"}, []*http.Cookie{{Name: "__Host-authentik_session", Value: key, Path: "/", Secure: true}})
	want(t, b.get("/if/user/"), http.StatusFound) // the old key opens nothing
	if e := h.wantEvent(tenantA, core.EventLogout); e.User != alice.ID {
		t.Errorf("%+v", e)
	}
	// The button on the page of applications does it at once.
	b.mustLogin("alice", "correct horse")
	portal := b.get("/if/user/")
	form := url.Values{"token": {inputs.FindStringSubmatch(portal.body)[2]}}
	wantTo(t, b.post(path+"?next=/if/user/", form), http.StatusSeeOther, "/if/user/")
	if b.session() != "" {
		t.Error("the button did nothing")
	}
}

// changing is a store in which a password is changed while the old one is being
// checked.
type changing struct {
	*directory
	change func()
}

func (c *changing) PasswordHash(ctx context.Context, t core.TenantID, u core.UserID) (string, error) {
	hash, err := c.directory.PasswordHash(ctx, t, u)
	c.change()
	return hash, err
}

// A login that was under way with the old password when a new one was set opens
// nothing: the new one ended all that the old one opened.
func TestOldPasswordUnderWay(t *testing.T) {
	for name, changes := range map[string]bool{"changed": true, "control: not changed": false} {
		h := newHouse(t)
		alice := h.user(tenantA, "alice", "correct horse")
		store := &changing{directory: h.directory, change: func() {}}
		h.Store = store
		b := h.browser("a.test")
		page := b.get("/if/flow/default-authentication-flow/")
		store.change = func() {
			store.change = func() {}
			if changes {
				h.ok(h.SetPassword(t.Context(), tenantA, alice, "battery staple", ""))
			}
		}
		res := b.send("/if/flow/default-authentication-flow/", page, "username", "alice", "password", "correct horse")
		if live := len(h.logins(alice)); (live == 0) != changes {
			t.Errorf("%s: %d sessions, status %s", name, live, res.Status)
		}
		if !changes {
			continue
		}
		want(t, res, http.StatusUnprocessableEntity)
		want(t, b.get("/if/user/"), http.StatusFound)
		h.browser("a.test").mustLogin("alice", "battery staple")
	}
}
