package outpost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/outpost"
)

var errStore = errors.New("disk on fire")

// world is a tenant with people, a login page that says yes, and an application that
// shows what it received.
type world struct {
	t            testing.TB
	now          time.Time
	tenant       *core.Tenant
	out          *outpost.Outpost
	guard        *outpost.Guard
	mu           sync.Mutex
	calls        int   // of every store
	broken       error // what every store answers
	users        map[core.UserID]*core.User
	groups       map[core.UserID][]core.Group
	apps         []core.ProxyApplication
	keys         map[string]*core.Session // by cookie key
	logins       map[core.SessionID]core.UserID
	codes        map[string]code
	events       []core.Event
	rules        []policy.Rule
	entitlements []core.Entitlement
	policy       func(source string, env expression.Env) (bool, []string, error)
	runs         int // of expressions
	next         int
	panics       bool
	got          *http.Request // what the application received
	respond      func(w http.ResponseWriter, r *http.Request)
}

type code struct {
	client, redirect, verifier string
	login                      core.SessionID
	tenant                     core.TenantID
}

func newWorld(t testing.TB) *world {
	t.Helper()
	master, err := keys.NewMaster([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		tenant: &core.Tenant{ID: "public", UUID: "0000-tenant", Origin: "https://auth.a.test"},
		users:  map[core.UserID]*core.User{}, groups: map[core.UserID][]core.Group{},
		keys: map[string]*core.Session{}, logins: map[core.SessionID]core.UserID{}, codes: map[string]code{},
		guard: &outpost.Guard{},
	}
	w.users["u1"] = &core.User{ID: "u1", PK: 7, UserName: "alice", DisplayName: "Alice Liddell", Email: "alice@a.test", Active: true}
	w.groups["u1"] = []core.Group{{ID: "g1", Name: "admins"}, {ID: "g2", Name: "staff"}}
	w.out = &outpost.Outpost{
		Applications: w, Users: w, Sessions: w, Issuer: w, Master: master,
		Policy: &policy.Engine{Store: w, Expressions: w, Events: w, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)},
		Cache:  outpost.NewCache(), Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	}
	w.respond = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "application") }
	return w
}

func (w *world) touch() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.panics {
		panic("nil map, say")
	}
	return w.broken
}

func (w *world) User(_ context.Context, _ core.TenantID, id core.UserID) (*core.User, error) {
	if err := w.touch(); err != nil {
		return nil, err
	}
	if u := w.users[id]; u != nil {
		c := *u
		return &c, nil
	}
	return nil, core.ErrNotFound
}

func (w *world) UserByName(context.Context, core.TenantID, string) (*core.User, error) {
	panic("not the guard's business")
}

func (w *world) UserByLogin(context.Context, core.TenantID, string) (*core.User, error) {
	panic("not the guard's business")
}

func (w *world) UserGroups(_ context.Context, _ core.TenantID, id core.UserID) ([]core.Group, error) {
	return w.groups[id], w.touch()
}

func (w *world) Application(context.Context, core.TenantID, core.ApplicationID) (*core.Application, error) {
	panic("not the guard's business")
}

func (w *world) ApplicationBySlug(_ context.Context, _ core.TenantID, slug string) (*core.Application, error) {
	if err := w.touch(); err != nil {
		return nil, err
	}
	for i := range w.apps {
		if w.apps[i].Application.Slug == slug {
			return &w.apps[i].Application, nil
		}
	}
	return nil, core.ErrNotFound
}

func (w *world) ApplicationByProvider(context.Context, core.TenantID, core.ProviderID) (*core.Application, error) {
	panic("not the guard's business")
}

func (w *world) Provider(_ context.Context, _ core.TenantID, id core.ProviderID) (core.Provider, error) {
	for i := range w.apps {
		if w.apps[i].Provider.ID == id {
			return &w.apps[i].Provider, nil
		}
	}
	return nil, core.ErrNotFound
}

func (w *world) ProxyApplications(context.Context, core.TenantID) ([]core.ProxyApplication, error) {
	return w.apps, w.touch()
}

func (w *world) Applications(context.Context, core.TenantID) ([]core.Application, error) {
	panic("not the guard's business")
}

func (w *world) Rules(context.Context, core.TenantID) ([]policy.Rule, error) {
	err := w.touch()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.rules), err
}

func (w *world) Entitlements(context.Context, core.TenantID) ([]core.Entitlement, error) {
	return w.entitlements, w.touch()
}

func (w *world) Denial(context.Context, core.TenantID, string) (*core.Event, error) {
	panic("not the guard's business")
}

// EvaluatePolicy runs w.policy in place of an expression.
func (w *world) EvaluatePolicy(_ context.Context, _ core.TenantID, source string, env expression.Env) (bool, []string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs++
	return w.policy(source, env)
}

// invalidate tells the policy and the guard of changes, in the order in which the server does.
func (w *world) invalidate(changes ...core.Change) {
	w.out.Policy.Invalidate("public", changes...)
	w.out.Invalidate("public", changes...)
}

func (w *world) Record(_ context.Context, _ core.TenantID, e core.Event) error {
	w.events = append(w.events, e)
	return nil
}

func (w *world) StartChild(_ context.Context, _ core.TenantID, parent core.SessionID, app core.ApplicationID) (*core.Session, string, error) {
	if err := w.touch(); err != nil {
		return nil, "", err
	}
	user, ok := w.logins[parent]
	if !ok {
		return nil, "", core.ErrNotFound
	}
	w.next++
	s := &core.Session{ID: core.SessionID(fmt.Sprint("child", w.next)), User: user, Parent: parent, Application: app}
	key := core.RandomToken(32)
	w.keys[key] = s
	return s, key, nil
}

// Child answers from memory, as the session service does for a live session: it is no store call.
func (w *world) Child(_ context.Context, _ core.TenantID, key string, app core.ApplicationID) (*core.Session, error) {
	if w.panics {
		panic("nil map, say")
	}
	if w.broken != nil {
		return nil, w.broken
	}
	s, ok := w.keys[key]
	if !ok || s.Application != app {
		return nil, core.ErrNotFound
	}
	if _, alive := w.logins[s.Parent]; !alive {
		return nil, core.ErrNotFound
	}
	return s, nil
}

func (w *world) SessionByID(_ context.Context, _ core.TenantID, id core.SessionID) (*core.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	for _, s := range w.keys {
		if s.ID == id {
			return s, nil
		}
	}
	if user, alive := w.logins[id]; alive {
		return &core.Session{ID: id, User: user}, nil
	}
	return nil, core.ErrNotFound
}

func (w *world) EndSession(_ context.Context, _ core.TenantID, id core.SessionID) error {
	if err := w.touch(); err != nil {
		return err
	}
	delete(w.logins, id)
	for k, s := range w.keys {
		if s.ID == id || s.Parent == id {
			delete(w.keys, k)
		}
	}
	return nil
}

func (w *world) Begin(ctx context.Context, _ *core.Application, clientID, redirectURI string) (string, core.Pending, error) {
	if err := w.touch(); err != nil {
		return "", core.Pending{}, err
	}
	p := core.Pending{State: core.RandomToken(16), Nonce: core.RandomToken(16), Verifier: core.RandomToken(32)}
	q := url.Values{"client_id": {clientID}, "redirect_uri": {redirectURI}, "state": {p.State}, "verifier": {p.Verifier}}
	return core.Request(ctx).Tenant.Origin + "/login?" + q.Encode(), p, nil
}

func (w *world) Redeem(_ context.Context, t core.TenantID, clientID, redirectURI, value string, p core.Pending) (core.SessionID, core.UserID, error) {
	if err := w.touch(); err != nil {
		return "", "", err
	}
	c, ok := w.codes[value]
	delete(w.codes, value)
	if !ok || c.client != clientID || c.redirect != redirectURI || c.verifier != p.Verifier || c.tenant != t {
		return "", "", fmt.Errorf("invalid_grant: %w", core.ErrNotFound)
	}
	return c.login, w.logins[c.login], nil
}

// approve is the login page: it logs user in and returns the URL that the browser is
// sent back to.
func (w *world) approve(loginURL string, login core.SessionID, user core.UserID) string {
	w.t.Helper()
	u, err := url.Parse(loginURL)
	if err != nil || u.Path != "/login" {
		w.t.Fatalf("not a login URL: %q", loginURL)
	}
	q := u.Query()
	w.logins[login] = user
	value := core.RandomToken(16)
	w.codes[value] = code{client: q.Get("client_id"), redirect: q.Get("redirect_uri"), verifier: q.Get("verifier"), login: login, tenant: w.tenant.ID}
	sep := "?"
	if strings.Contains(q.Get("redirect_uri"), "?") {
		sep = "&"
	}
	return q.Get("redirect_uri") + sep + url.Values{"code": {value}, "state": {q.Get("state")}, "iss": {"https://auth.a.test/"}}.Encode()
}

// do sends a request through the guard. target is a URL whose path goes in as it is.
func (w *world) do(method, target string, header http.Header) *http.Response {
	w.t.Helper()
	scheme, rest, _ := strings.Cut(target, "://")
	host, uri, _ := strings.Cut(rest, "/")
	r := httptest.NewRequest(method, "http://placeholder/", nil)
	r.RequestURI = "/" + uri
	r.Host = host
	for k, v := range header {
		r.Header[k] = v
	}
	return w.send(scheme, host, "/"+uri, r)
}

func (w *world) send(scheme, host, uri string, r *http.Request) *http.Response {
	info := &core.RequestInfo{Tenant: w.tenant, Scheme: scheme, Host: host, URI: uri, ClientIP: netip.MustParseAddr("192.0.2.7"), ID: "req-1"}
	rec := httptest.NewRecorder()
	w.got = nil
	w.out.Serve(rec, r, info, w.guard, func(rw http.ResponseWriter, r *http.Request, _ *outpost.Identity) {
		w.got = r
		w.respond(rw, r)
	})
	return rec.Result()
}

// browser keeps cookies by name.
type browser struct {
	w      *world
	jar    map[string]string
	header http.Header
}

func (w *world) browser() *browser {
	return &browser{w: w, jar: map[string]string{}, header: http.Header{"Accept": {"text/html,*/*"}}}
}

func (b *browser) cookies() string {
	var all []string
	for k, v := range b.jar {
		all = append(all, k+"="+v)
	}
	return strings.Join(all, "; ")
}

func (b *browser) get(target string) *http.Response { return b.do(http.MethodGet, target) }

func (b *browser) do(method, target string) *http.Response {
	b.w.t.Helper()
	h := b.header.Clone()
	if len(b.jar) > 0 {
		h.Set("Cookie", b.cookies())
	}
	res := b.w.do(method, target, h)
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
		} else {
			b.jar[c.Name] = c.Value
		}
	}
	return res
}

// login goes the whole way and returns where it ended.
func (b *browser) login(target string) string {
	b.w.t.Helper()
	res := b.get(target)
	if res.StatusCode != http.StatusFound {
		b.w.t.Fatalf("GET %s: %d, want a redirect to the login", target, res.StatusCode)
	}
	res = b.get(b.w.approve(res.Header.Get("Location"), "login1", "u1"))
	if res.StatusCode != http.StatusFound {
		b.w.t.Fatalf("callback of %s: %d, want a redirect", target, res.StatusCode)
	}
	return res.Header.Get("Location")
}

// isRefused fails the test where a request got through.
func (w *world) isRefused(res *http.Response, what string) {
	w.t.Helper()
	if w.got != nil {
		w.t.Errorf("%s: reached the application", what)
	}
	if res.StatusCode < 300 && res.StatusCode != http.StatusNoContent {
		w.t.Errorf("%s: status %d", what, res.StatusCode)
	}
	if cc := res.Header.Get("Cache-Control"); cc != "no-store" {
		w.t.Errorf("%s: Cache-Control %q, want no-store", what, cc) // F-30
	}
}
