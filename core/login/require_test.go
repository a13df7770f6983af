package login_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// need makes the path /need ask for a need, and keeps what came of it.
func (h *house) need(need core.Need) (session *core.Session, err *error) {
	session, err = &core.Session{}, new(error)
	if need.ReturnTo == "" {
		need.ReturnTo = "/need"
	}
	h.require = func(w http.ResponseWriter, r *http.Request) {
		s, e := h.Require(w, r, need)
		*err = e
		if e == nil {
			*session = *s
			w.WriteHeader(http.StatusNoContent)
		} else if !errors.Is(e, core.ErrAnswered) {
			w.WriteHeader(http.StatusTeapot)
		}
	}
	return session, err
}

func TestRequireLogsInAndComesBack(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	s, err := h.need(core.Need{ReturnTo: "/need?state=x%26y&z=1", MaxAge: -1, Application: "Console <1>", LoginHint: "alice"})
	res := b.get("/need?state=x%26y&z=1")
	want(t, res, http.StatusFound)
	to := res.Header.Get("Location")
	if !strings.HasPrefix(to, loginPath+"?next=%2Fneed%3Fstate%3Dx%2526y%26z%3D1&need=") || !errors.Is(*err, core.ErrAnswered) {
		t.Fatalf("%s, %v", to, *err)
	}
	page := b.get(to)
	if !strings.Contains(page.body, "to continue to <strong>Console &lt;1&gt;</strong>") || !strings.Contains(page.body, `value="alice"`) {
		t.Error(page.body)
	}
	// A wrong try keeps all of it.
	page = b.send(to, page, "username", "alice", "password", "wrong")
	if !strings.Contains(page.body, "Console") {
		t.Error(page.body)
	}
	wantTo(t, b.send(to, page, "username", "alice", "password", "correct horse"), http.StatusSeeOther, "/need?state=x%26y&z=1")
	want(t, b.get("/need?state=x%26y&z=1"), http.StatusNoContent)
	if *err != nil || s.User != alice.ID || s.AMR()[0] != "pwd" {
		t.Errorf("%+v, %v", s, *err)
	}
	// POST leads to the form by GET.
	want(t, h.browser("a.test").post("/need", nil), http.StatusSeeOther)
	// What was said of one request is not shown for another.
	moved := strings.Replace(to, "next=%2Fneed", "next=%2Fother", 1)
	if page := h.browser("a.test").get(moved); strings.Contains(page.body, "Console") {
		t.Error("the name of an application was moved to another request")
	}
}

// O-16: prompt=login and max_age ask for a login now, and dropping what the page
// was told of it changes nothing.
func TestRequireFreshLogin(t *testing.T) {
	for _, tt := range []struct {
		name string
		age  time.Duration // of the login
		need core.Need
		ok   bool
	}{
		{"any", 20 * time.Hour, core.Need{MaxAge: -1}, true},
		{"zero value", 20 * time.Hour, core.Need{}, true},
		{"max_age kept", time.Minute, core.Need{MaxAge: time.Minute}, true},
		{"max_age passed", time.Minute + time.Second, core.Need{MaxAge: time.Minute}, false},
		{"max_age=1", 2 * time.Second, core.Need{MaxAge: time.Second}, false},
		{"prompt=login", time.Second, core.Need{MaxAge: -1, LoggedInSince: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Add(time.Second)}, false},
		{"max_age=0", time.Second, core.Need{MaxAge: 0, LoggedInSince: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Add(time.Second)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			h.user(tenantA, "alice", "correct horse")
			b := h.browser("a.test")
			b.mustLogin("alice", "correct horse")
			h.now.add(tt.age)
			s, _ := h.need(tt.need)
			res := b.get("/need")
			if tt.ok {
				want(t, res, http.StatusNoContent)
				return
			}
			want(t, res, http.StatusFound)
			to := res.Header.Get("Location")
			// Dropping need= leads back to the question, not past it.
			wantTo(t, b.get(to[:strings.Index(to, "&need=")]), http.StatusFound, "/need")
			want(t, b.get("/need"), http.StatusFound)
			page := b.get(to)
			if !strings.Contains(page.body, "Confirm that it is you") || !strings.Contains(page.body, `value="alice"`) {
				t.Error(page.body)
			}
			want(t, b.send(to, page, "username", "alice", "password", "correct horse"), http.StatusSeeOther)
			want(t, b.get("/need"), http.StatusNoContent)
			if !s.AuthTime.Equal(h.now.now()) {
				t.Errorf("auth_time is %s", s.AuthTime)
			}
			silent := tt.need
			silent.Silent = true
			h.now.add(2 * time.Minute)
			silent.LoggedInSince = h.now.now()
			_, err := h.need(silent)
			b.get("/need")
			if !errors.Is(*err, core.ErrLoginRequired) {
				t.Errorf("silent: %v", *err)
			}
		})
	}
}

func TestRequireSilent(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	_, err := h.need(core.Need{Silent: true})
	b.get("/need")
	if !errors.Is(*err, core.ErrLoginRequired) {
		t.Errorf("nobody is logged in: %v", *err)
	}
	b.mustLogin("alice", "correct horse")
	want(t, b.get("/need"), http.StatusNoContent)
	_, err = h.need(core.Need{Silent: true, Consent: &core.ConsentNeed{ClientID: "c", Request: "r"}})
	b.get("/need")
	if !errors.Is(*err, core.ErrConsentRequired) {
		t.Errorf("no consent: %v", *err)
	}
}

func TestRequireRefusesAForeignReturn(t *testing.T) {
	h := newHouse(t)
	for _, to := range []string{"https://evil.test/", "//evil.test", "x"} {
		r := httptest.NewRequest(http.MethodGet, "/need", nil)
		_, err := h.need(core.Need{ReturnTo: to})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if *err == nil || errors.Is(*err, core.ErrAnswered) || w.Header().Get("Location") != "" {
			t.Errorf("%s: %v", to, *err)
		}
	}
}

func consent(request string, scopes ...core.ConsentScope) core.Need {
	return core.Need{MaxAge: -1, Consent: &core.ConsentNeed{ClientID: "client", Application: "Console", Request: request, Scopes: scopes}}
}

func TestConsent(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	email := core.ConsentScope{Name: "email", Description: "See your address", Granted: true}
	offline := core.ConsentScope{Name: "offline_access", Description: "Stay <here>"}
	hidden := core.ConsentScope{Name: "secret_name"}
	s, err := h.need(consent("r1", email, offline, hidden))
	// The login comes first, and then the question.
	to := b.get("/need").Header.Get("Location")
	wantTo(t, b.submit(to, "username", "alice", "password", "correct horse"), http.StatusSeeOther, "/need")
	to = b.get("/need").Header.Get("Location")
	if !strings.HasPrefix(to, "/if/flow/default-provider-authorization-explicit-consent/?next=%2Fneed&need=") {
		t.Fatal(to)
	}
	page := b.get(to)
	for _, part := range []string{"<strong>Console</strong>", "<li>See your address</li>", "<li>Stay &lt;here&gt; <mark>new</mark></li>", "<strong>alice</strong>"} {
		if !strings.Contains(page.body, part) {
			t.Errorf("the page lacks %s: %s", part, page.body)
		}
	}
	if strings.Contains(page.body, "secret_name") {
		t.Error("a scope without a description is shown")
	}
	if i := strings.Index(page.body, "<button"); !strings.HasPrefix(page.body[i:], `<button type="submit">Allow</button>`) {
		t.Error("the first button is not the primary action")
	}
	yes := b.send(to, page)
	want(t, yes, http.StatusSeeOther)
	want(t, b.get(yes.Header.Get("Location")), http.StatusNoContent)
	if *err != nil || s.User == "" {
		t.Fatal(*err)
	}
	no := b.send(to, page, "deny", "1")
	b.get(no.Header.Get("Location"))
	if !errors.Is(*err, core.ErrDenied) {
		t.Errorf("denied: %v", *err)
	}
	// The answer does not last.
	h.now.add(11 * time.Minute)
	want(t, b.get(yes.Header.Get("Location")), http.StatusFound)
}

// O-25: an answer counts for the session, request, client and scopes it was
// given to, and no other.
func TestConsentAnswerIsBound(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.user(tenantA, "bob", "battery staple")
	h.tenantB()
	h.user(tenantB, "alice", "correct horse")
	email := core.ConsentScope{Name: "email", Description: "See your address"}
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	h.need(consent("r1", email))
	to := b.get("/need").Header.Get("Location")
	answered := b.submit(to).Header.Get("Location")
	good := answered[strings.Index(answered, "consent="):]
	want(t, b.get("/need?"+good), http.StatusNoContent)

	other := consent("r1", email)
	other.Consent.ClientID = "other"
	var err *error
	for what, need := range map[string]core.Need{
		"another request": consent("r2", email),
		"more scopes":     consent("r1", email, core.ConsentScope{Name: "admin"}),
		"another client":  other,
	} {
		_, err = h.need(need)
		if b.get("/need?" + good); !errors.Is(*err, core.ErrAnswered) {
			t.Errorf("%s: %v", what, *err)
		}
	}
	_, err = h.need(consent("r1", email))
	for what, answer := range map[string]string{
		"none": "", "garbage": "consent=x", "the question itself": "consent=" + to[strings.Index(to, "need=")+5:], "changed": good[:len(good)-2] + "AA",
	} {
		if b.get("/need?" + answer); !errors.Is(*err, core.ErrAnswered) {
			t.Errorf("%s: %v", what, *err)
		}
	}
	bob := h.browser("a.test")
	bob.mustLogin("bob", "battery staple")
	if bob.get("/need?" + good); !errors.Is(*err, core.ErrAnswered) {
		t.Errorf("another session: %v", *err)
	}
	// Another person's page leads back to the question, and its form is theirs.
	wantTo(t, bob.get(to), http.StatusFound, "/need")
	tenant := h.browser("b.test")
	tenant.mustLogin("alice", "correct horse")
	if tenant.get("/need?" + good); !errors.Is(*err, core.ErrAnswered) {
		t.Errorf("another tenant: %v", *err)
	}
	// A form that another site sends is not an answer.
	page := b.get(to)
	b.header = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.test"}}
	want(t, b.send(to, page), http.StatusForbidden)
	b.header = http.Header{}
	want(t, b.post(to, url.Values{"answer": {"allow"}}), http.StatusForbidden)
	want(t, b.get("/need?"+good), http.StatusNoContent) // the control
}

// logoutNeed makes the path /need ask for a logout.
func (h *house) logoutNeed(need core.LogoutNeed) *error {
	err := new(error)
	need.ReturnTo = "/need?x=1"
	h.require = func(w http.ResponseWriter, r *http.Request) {
		*err = h.Logout(w, r, need)
		if *err == nil {
			h.LoggedOut(w, r, need.Application, "https://app.test/", need.EndLogin)
		}
	}
	return err
}

func TestLogoutOfAnApplication(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	err := h.logoutNeed(core.LogoutNeed{Request: "r", EndLogin: true, Application: "Console"})
	page := b.get("/need")
	if *err != nil || !strings.Contains(page.body, "It is safe to close this window.") {
		t.Fatalf("nobody is logged in: %v %s", *err, page.body)
	}
	b.mustLogin("alice", "correct horse")
	to := b.get("/need").Header.Get("Location")
	if !errors.Is(*err, core.ErrAnswered) || !strings.HasPrefix(to, "/if/flow/default-provider-invalidation-flow/?next=%2Fneed%3Fx%3D1&need=") {
		t.Fatal(*err, to)
	}
	page = b.get(to)
	if !strings.Contains(page.body, "Log out of Console?") {
		t.Error(page.body)
	}
	stay := b.send(to, page, "stay", "1").Header.Get("Location")
	if b.get(stay); !errors.Is(*err, core.ErrDenied) || b.session() == "" {
		t.Errorf("stay: %v", *err)
	}
	want(t, b.post(to, url.Values{"answer": {"leave"}}), http.StatusForbidden) // without the token
	leave := b.send(to, page).Header.Get("Location")
	// An answer to one request is none to another.
	err = h.logoutNeed(core.LogoutNeed{Request: "other", EndLogin: true})
	if b.get(leave); !errors.Is(*err, core.ErrAnswered) || b.session() == "" {
		t.Errorf("another request: %v", *err)
	}
	err = h.logoutNeed(core.LogoutNeed{Request: "r", EndLogin: true, Application: "Console"})
	if b.get(leave); *err != nil || b.session() != "" || len(h.logins(alice)) != 0 {
		t.Errorf("leave: %v", *err)
	}
	// Leaving only the application keeps the login, with a way to end it.
	b.mustLogin("alice", "correct horse")
	err = h.logoutNeed(core.LogoutNeed{Request: "r", Confirmed: true, Application: "Console"})
	page = b.get("/need")
	if *err != nil || b.session() == "" || !strings.Contains(page.body, "Log out of Postern too") || !strings.Contains(page.body, `href="https://app.test/"`) {
		t.Errorf("%v %s", *err, page.body)
	}
	wantTo(t, b.send("/if/flow/default-invalidation-flow/", page), http.StatusSeeOther, loginPath+"?left=1")
}

// Whose login ended while the question was open logs in and is asked again.
func TestConsentAfterTheLoginEnded(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	b := h.browser("a.test")
	b.mustLogin("alice", "correct horse")
	h.need(consent("r1", core.ConsentScope{Name: "email", Description: "See your address"}))
	to := b.get("/need").Header.Get("Location")
	page := b.get(to)
	h.ok(h.Sessions.EndUser(t.Context(), tenantA, alice.ID, ""))
	res := b.send(to, page)
	wantTo(t, res, http.StatusSeeOther, loginPath+"?next="+url.QueryEscape(to))
	back := b.submit(res.Header.Get("Location"), "username", "alice", "password", "correct horse")
	wantTo(t, back, http.StatusSeeOther, to)
	wantTo(t, b.get(to), http.StatusFound, "/need")
	again := b.get("/need").Header.Get("Location")
	want(t, b.get(b.submit(again).Header.Get("Location")), http.StatusNoContent)
}
