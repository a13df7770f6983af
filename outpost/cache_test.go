package outpost_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/outpost"
)

// blocking is a store whose answer is on its way while the directory changes.
type blocking struct {
	core.Users
	asked, release chan struct{}
}

func (s *blocking) UserGroups(ctx context.Context, t core.TenantID, id core.UserID) ([]core.Group, error) {
	groups, err := s.Users.UserGroups(ctx, t, id)
	if s.asked != nil {
		close(s.asked)
		s.asked = nil
		<-s.release
	}
	return groups, err
}

// Who was read before a change, and whose answer came after it, is not in memory for a moment: another
// request would be let in by it after the change was acknowledged.
func TestReadBeforeAChangeIsNotRemembered(t *testing.T) {
	w, b := guarded(t)
	w.bind(func(r *policy.Rule) { r.Group = "g2" })
	var left atomic.Int32
	w.out.Cache = outpost.NewWatchedCache(func() { left.Add(1) })
	asked, release := make(chan struct{}), make(chan struct{})
	w.out.Users = &blocking{w.out.Users, asked, release}
	answered := make(chan int)
	go func() { answered <- b.get(app + "/").StatusCode }()
	<-asked
	w.groups["u1"] = w.groups["u1"][:1]
	w.invalidate(core.Change{Kind: "membership", ID: "u1"})
	close(release)
	<-answered // either way: it was on its way
	if n := left.Load(); n != 0 {
		t.Error("who was read before the change was in memory after it")
	}
	if got := b.get(app + "/").StatusCode; got != http.StatusForbidden {
		t.Errorf("after the change: %d", got)
	}
	// Control: who is remembered is seen to leave.
	w.invalidate(core.Change{Kind: "user", ID: "u1"})
	if left.Load() != 1 {
		t.Error("nobody was remembered")
	}
}

// toggling is a store in which a person's groups change while others ask.
type toggling struct {
	core.Users
	groups atomic.Pointer[[]core.Group]
}

func (s *toggling) UserGroups(context.Context, core.TenantID, core.UserID) ([]core.Group, error) {
	return *s.groups.Load(), nil
}

// What was before a change is not remembered for those who ask after it because somebody asked while it was told. The
// control is Invalidate that counts a change before it drops the person: one time in some thousand.
func TestAskedWhileAChangeIsTold(t *testing.T) {
	w, b := guarded(t)
	both := w.groups["u1"]
	store := &toggling{Users: w.out.Users}
	store.groups.Store(&both)
	w.out.Users = store
	cookie := b.cookies()
	info := &core.RequestInfo{Tenant: w.tenant, Scheme: "https", Host: "app.a.test", URI: "/"}
	groups := func() (n int) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookie)
		w.out.Serve(httptest.NewRecorder(), r, info, w.guard, func(_ http.ResponseWriter, _ *http.Request, id *outpost.Identity) { n = len(id.Groups) })
		return n
	}
	var over atomic.Bool
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			for !over.Load() {
				groups()
			}
		})
	}
	defer asking.Wait()
	defer over.Store(true)
	for i := range 5000 {
		want := both[:1+i%2]
		store.groups.Store(&want)
		w.invalidate(core.Change{Kind: "membership", ID: "u1"})
		if got := groups(); got != len(want) {
			t.Fatalf("change %d: in %d groups after it, want %d", i, got, len(want))
		}
	}
}

type applications = core.Applications

// ofTenants are the applications of several tenants.
type ofTenants struct {
	applications
	apps map[core.TenantID][]core.ProxyApplication
}

func (s ofTenants) ProxyApplications(_ context.Context, t core.TenantID) ([]core.ProxyApplication, error) {
	return s.apps[t], nil
}

// One guard leads to each tenant's own application where a host moves between them.
func TestGuardOfSeveralTenants(t *testing.T) {
	w := newWorld(t)
	w.out.Applications = ofTenants{w.out.Applications, map[core.TenantID][]core.ProxyApplication{w.tenant.ID: {proxyApp("app", app)}}}
	other := *w.tenant
	other.ID = "t_other"
	client := func(tenant *core.Tenant) string {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", "text/html")
		info := &core.RequestInfo{Tenant: tenant, Scheme: "https", Host: "app.a.test", URI: "/"}
		w.out.Serve(rec, r, info, w.guard, nil)
		to, err := rec.Result().Location()
		if err != nil {
			t.Fatal(rec.Code, err)
		}
		return to.Query().Get("client_id")
	}
	for range 2 {
		if one, two := client(w.tenant), client(&other); one != "client-app" || two != "caddyfile:app.a.test" {
			t.Errorf("they lead to %q and %q", one, two)
		}
	}
}

// However many are logged in, everybody is who they are.
func TestEverybodyIsThemselves(t *testing.T) {
	w, b := guarded(t)
	w.users["u2"] = &core.User{ID: "u2", UserName: "second", Active: true}
	var child *core.Session
	for _, s := range w.keys {
		child = s
	}
	const sessions = 2500 // more than are found at first glance
	name, _, _ := strings.Cut(b.cookies(), "=")
	info := &core.RequestInfo{Tenant: w.tenant, Scheme: "https", Host: "app.a.test", URI: "/"}
	for i := range sessions {
		s, want := *child, w.users[child.User].UserName
		s.ID = core.SessionID(fmt.Sprintf("session %d", i))
		if i%2 == 1 {
			s.User, want = "u2", "second"
		}
		key := fmt.Sprintf("a key of a session %d", i)
		w.keys[key] = &s
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", name+"="+key)
		got := ""
		w.out.Serve(httptest.NewRecorder(), r, info, w.guard, func(_ http.ResponseWriter, _ *http.Request, id *outpost.Identity) { got = id.User.UserName })
		if got != want {
			t.Fatalf("session %d is %q's, and was served as %q", i, want, got)
		}
	}
}
