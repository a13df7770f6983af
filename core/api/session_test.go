package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// session logs a user in.
func (e *env) session(user string, id core.SessionID) {
	e.Helper()
	u, err := e.db.UserByName(e.Context(), e.tenant.ID, user)
	e.must(err)
	e.must(e.db.SaveSession(e.Context(), e.tenant.ID, core.Hash(string(id)), &core.Session{
		ID: id, User: u.ID, AuthTime: e.now, Address: "192.0.2.7", Created: e.now, LastSeen: e.now, Expires: e.now.Add(time.Hour),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	}))
}

// grant makes what a client was granted in a login.
func (e *env) grant(user string, id core.SessionID) oidc.GrantID {
	e.Helper()
	u, err := e.db.UserByName(e.Context(), e.tenant.ID, user)
	e.must(err)
	g := &oidc.Grant{ClientID: "c", User: u.ID, Session: id, AuthTime: e.now, Created: e.now, Expires: e.now.Add(time.Hour)}
	e.must(e.db.SaveGrant(e.Context(), e.tenant.ID, g))
	return g.ID
}

func loginID(n int) core.SessionID {
	return core.SessionID(fmt.Sprintf("01900000-0000-7000-8000-%012d", n))
}

// TestSessionList: the shape and filters of both releases.
func TestSessionList(t *testing.T) {
	e := open(t)
	e.session("root", loginID(1))
	e.session("plain", loginID(2))
	e.session("plain", loginID(3))
	list := e.want(200, "GET", "core/authenticated_sessions/", nil)
	e.fitsList(list, "AuthenticatedSession")
	first := list["results"].([]any)[0].(map[string]any)
	if first["uuid"] != string(loginID(3)) || first["user"] != float64(e.plainPK) || first["last_ip"] != "192.0.2.7" || first["current"] != false {
		t.Errorf("the newest: %v", first)
	}
	agent := first["user_agent"].(map[string]any)
	if name := agent["user_agent"].(map[string]any); name["family"] != "Firefox" || name["major"] != "140" || agent["os"].(map[string]any)["family"] != "Linux" {
		t.Errorf("the browser: %v", agent)
	}
	for query, want := range map[string]int{
		"user__username=PLAIN": 2, "user__username=nobody": 0, "session__last_ip=192.0.2.7": 3, "last_ip=192.0.2.8": 0,
		"session__last_ip=192.0.2.7&last_ip=192.0.2.8": 0, "search=plain": 2, "search=firefox": 3, "search=plain%20linux": 2,
		"session__last_user_agent=Firefox": 0, "ordering=expires&page_size=2": 2, "page=2&page_size=2": 1,
	} {
		if got := e.names("core/authenticated_sessions/?"+query, "uuid"); len(got) != want {
			t.Errorf("%s: %v, want %d", query, got, want)
		}
	}
	e.fits(e.want(200, "GET", "core/authenticated_sessions/"+string(loginID(1))+"/", nil), "AuthenticatedSession")

	// By a browser, whose own login is told.
	e.logIn()
	e.logins.live["plain"].ID = loginID(2)
	r := e.request("GET", "core/authenticated_sessions/", nil)
	r.AddCookie(&http.Cookie{Name: "login", Value: "plain"})
	own := e.serve(r).object(t)["results"].([]any)
	if len(own) != 2 || own[0].(map[string]any)["current"] != false || own[1].(map[string]any)["current"] != true {
		t.Errorf("one's own: %v", own)
	}
}

// T-26, R-06: without a right one sees and ends one's own logins alone; with it, those of
// nobody who has more rights.
func TestSessionRights(t *testing.T) {
	e := open(t)
	role := e.role("desk")
	_, desk := e.person("desk", e.groupWith("desks", role))
	e.session("root", loginID(1))
	e.session("plain", loginID(2))
	e.session("desk", loginID(3))
	path := func(n int) string { return "core/authenticated_sessions/" + string(loginID(n)) + "/" }
	want := func(what, method, path string, status int) {
		t.Helper()
		if a := e.send(desk, method, path, nil); a.status != status {
			t.Errorf("%s: %s %s: %d %s, want %d", what, method, path, a.status, a.body, status)
		}
	}
	count := func() int {
		return len(e.send(desk, "GET", "core/authenticated_sessions/?user__username=plain", nil).object(t)["results"].([]any)) +
			len(e.send(desk, "GET", "core/authenticated_sessions/", nil).object(t)["results"].([]any))
	}
	bulk := fmt.Sprintf("core/authenticated_sessions/bulk_delete/?user_pks=%d", e.plainPK)
	want("no right", "GET", path(2), 404)
	want("no right", "DELETE", path(2), 404)
	want("no right", "DELETE", bulk, 403)
	want("one's own", "GET", path(3), 200)
	if n := count(); n != 1 {
		t.Errorf("without a right %d are listed", n)
	}
	e.permit(role, "authentik_core.view_authenticatedsession")
	want("to see", "GET", path(2), 200)
	want("to see", "DELETE", path(2), 403)
	if n := count(); n != 4 {
		t.Errorf("with the right to see %d are listed", n)
	}
	e.permit(role, "authentik_core.view_authenticatedsession", "authentik_core.delete_authenticatedsession")
	want("of one who has more", "DELETE", path(1), 403)
	want("of one who has more, in bulk", "DELETE", fmt.Sprintf("%s&user_pks=%d", bulk, e.rootPK), 403)
	want("the control: nobody's ended by it", "GET", path(2), 200)
	want("to end", "DELETE", bulk, 200)
	want("ended", "GET", path(2), 404)
	want("one's own", "DELETE", path(3), 204)
	want("a superuser's goes on", "GET", path(1), 200)
	e.refused("DELETE", "core/authenticated_sessions/bulk_delete/", nil, "user_pks", "Name 1 to 100")
}

// T-26: with a login ends all that was granted in it, and nothing else.
func TestSessionEndsWithGrants(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		e := open(t)
		e.session("plain", loginID(1))
		e.session("plain", loginID(2))
		ends, stays := e.grant("plain", loginID(1)), e.grant("plain", loginID(2))
		if !guarded {
			e.api.Grants = forgetful{}
		}
		if a := e.send(e.plain, "DELETE", "core/authenticated_sessions/"+strings.ToUpper(string(loginID(1)))+"/", nil); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if _, err := e.db.SessionByID(t.Context(), e.tenant.ID, loginID(1)); err == nil {
			t.Error("the login goes on")
		}
		if _, err := e.db.Grant(t.Context(), e.tenant.ID, ends); (err != nil) != guarded {
			t.Errorf("guarded %v: what was granted: %v", guarded, err)
		}
		if _, err := e.db.Grant(t.Context(), e.tenant.ID, stays); err != nil {
			t.Errorf("another login's: %v", err)
		}
		if !guarded {
			continue
		}
		last := e.events.list[len(e.events.list)-1]
		if last.Action != core.EventModelDeleted || last.UserName != "plain" {
			t.Errorf("the log: %+v", last)
		}
		if a := e.want(200, "DELETE", fmt.Sprintf("core/authenticated_sessions/bulk_delete/?user_pks=%d", e.plainPK), nil); a["deleted"] != float64(1) {
			t.Errorf("in bulk: %v", a)
		}
		if _, err := e.db.Grant(t.Context(), e.tenant.ID, stays); err == nil {
			t.Error("in bulk: what was granted lives")
		}
	}
}

// forgetful revokes nothing: what the test must find.
type forgetful struct{}

func (forgetful) RevokeSession(context.Context, core.TenantID, core.SessionID) error { return nil }
