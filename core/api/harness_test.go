package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/sqldb"
)

const tenantsKey = "the key of the tenants API of the tests"

const origin = "http://auth.test:9080"

// env is the API over a real SQLite directory, with a superuser and an ordinary
// user in it.
type env struct {
	testing.TB
	db        *sqldb.DB
	api       *api.Handler
	tenant    *core.Tenant
	now       time.Time
	events    *recorder
	logins    *logins
	passwords *passwords
	log       *bytes.Buffer
	files     media.Store
	root      string // API token of a superuser
	plain     string // API token of an ordinary user
	closed    bool   // a test closed the directory itself
	rootPK    int64
	plainPK   int64
	// lenient: the test sends what the document does not promise to be taken.
	lenient bool
}

// rsaPair is made once: RSA keys are slow to make.
var rsaPair = sync.OnceValues(func() (*core.KeyPair, error) {
	return keys.Generate("rsa", core.SelfSignedKeyPair, nil, 0, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
})

func open(t testing.TB) *env {
	t.Helper()
	return openAt(t, sqldb.Options{Dir: t.TempDir()})
}

// openAt is open on an engine of choice.
func openAt(t testing.TB, opt sqldb.Options) *env {
	t.Helper()
	e := &env{TB: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), log: &bytes.Buffer{}}
	clock := func() time.Time { return e.now }
	log := slog.New(slog.NewTextHandler(e.log, nil))
	master, err := keys.NewMaster(bytes.Repeat([]byte("k"), 32))
	e.must(err)
	var mappings []core.PropertyMapping
	for _, scope := range []string{"openid", "email", "profile"} {
		mappings = append(mappings, core.PropertyMapping{
			Kind: core.MappingScope, Managed: "goauthentik.io/providers/oauth2/scope-" + scope,
			Name: "authentik default OAuth Mapping: OpenID '" + scope + "'", ScopeName: scope, Expression: "return {}",
		})
	}
	opt.Master, opt.Now, opt.Log, opt.Mappings = master, clock, log, mappings
	opt.NewKeyPair = func() (*core.KeyPair, error) {
		k, err := rsaPair()
		if err != nil {
			return nil, err
		}
		own := *k
		return &own, nil
	}
	e.db, err = sqldb.Open(context.Background(), opt)
	e.must(err)
	t.Cleanup(func() {
		if !e.closed {
			e.must(e.db.Close())
		}
	})
	e.tenant, err = e.db.Tenant(t.Context(), core.DefaultTenant)
	e.must(err)
	e.events = &recorder{Events: e.db}
	e.logins = &logins{db: e.db}
	e.passwords = &passwords{}
	e.api = &api.Handler{
		Store: e.db, Sessions: e.logins, Logins: e.db, Grants: e.logins, Passwords: e.passwords, Expressions: syntax{},
		Evaluations: &expression.Evaluator{Directory: e.db, Policies: e.db, Log: log, Now: clock},
		TenantsKey:  tenantsKey,
		Claims:      syntax{}, Preview: preview{}, Recovery: preview{}, Events: e.events, Now: clock, Log: log, Version: "1.2.3",
		Policy: &policy.Engine{Store: e.db, Expressions: &expression.Evaluator{Directory: e.db, Policies: e.db, Log: log, Now: clock}, Now: clock, Log: log},
	}
	e.files = &mediastore.Dir{Path: t.TempDir()}
	e.api.Files, e.api.Signer = e.files, &media.Signer{Master: master, Store: e.files, Now: clock}
	e.db.OnChange = func(t core.TenantID, changes []core.Change) { e.api.Policy.Invalidate(t, changes...) }
	admins := &core.Group{Name: "test admins", Superuser: true}
	e.must(e.db.CreateGroup(t.Context(), e.tenant.ID, admins, nil))
	e.rootPK, e.root = e.person("root", admins.ID)
	e.plainPK, e.plain = e.person("plain")
	return e
}

// person makes a user with an API token.
func (e *env) person(name string, groups ...core.GroupID) (pk int64, token string) {
	e.Helper()
	u := &core.User{UserName: name, DisplayName: strings.ToTitle(name), Active: true, Type: core.UserInternal, Path: "users", Groups: groups}
	e.must(e.db.CreateUser(e.Context(), e.tenant.ID, u))
	return u.PK, e.token(u, core.IntentAPI, "of-"+name)
}

// role makes a role with permissions.
func (e *env) role(name string, permissions ...core.Permission) *core.Role {
	e.Helper()
	r := &core.Role{Name: name}
	e.must(e.db.CreateRole(e.Context(), e.tenant.ID, r))
	e.permit(r, permissions...)
	return r
}

// permit makes these a role's permissions.
func (e *env) permit(r *core.Role, permissions ...core.Permission) {
	e.Helper()
	_, err := e.db.UpdateRole(e.Context(), e.tenant.ID, r.ID, func(r *core.Role) error {
		r.Permissions = nil
		for _, p := range permissions {
			r.Permissions = append(r.Permissions, core.RolePermission{Permission: p})
		}
		return nil
	})
	e.must(err)
}

// groupWith makes a group with roles.
func (e *env) groupWith(name string, roles ...*core.Role) core.GroupID {
	e.Helper()
	g := &core.Group{Name: name}
	for _, r := range roles {
		g.Roles = append(g.Roles, r.ID)
	}
	e.must(e.db.CreateGroup(e.Context(), e.tenant.ID, g, nil))
	return g.ID
}

func (e *env) token(u *core.User, intent core.TokenIntent, identifier string) string {
	e.Helper()
	key := core.RandomAlphanumeric(60)
	e.must(e.db.CreateToken(e.Context(), e.tenant.ID, &core.Token{Identifier: identifier, Intent: intent, User: u.ID}, core.Secret(key)))
	return key
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) object(t testing.TB) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return out
}

// request makes one as the edge hands it over.
func (e *env) request(method, path string, body any) *http.Request {
	e.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		data, err := json.Marshal(body)
		e.must(err)
		reader = bytes.NewReader(data)
	}
	r := httptest.NewRequest(method, origin+"/api/v3/"+path, reader)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return e.at(e.tenant, r)
}

func (e *env) at(tenant *core.Tenant, r *http.Request) *http.Request {
	return r.WithContext(core.WithRequest(r.Context(), &core.RequestInfo{
		Tenant: tenant, Looks: e, Scheme: "http", Host: "auth.test:9080", ClientIP: netip.MustParseAddr("192.0.2.7"), URI: r.URL.RequestURI(), ID: "req-1",
	}))
}

func (e *env) serve(r *http.Request) answer {
	e.Helper()
	var body bytes.Buffer
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, &body), r.Body}
	w := httptest.NewRecorder()
	e.api.ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.Bytes()}
	e.conforms(r, body.Bytes(), a)
	return a
}

// forgiveWrongKeys forgets how many wrong keys of the tenants API came.
func (e *env) forgiveWrongKeys() {
	e.Helper()
	e.must(e.db.Settle(e.Context(), core.DefaultTenant, nil, []string{"tenants-key:192.0.2.7"}))
}

// send asks with a token ("" for none).
func (e *env) send(token, method, path string, body any) answer {
	e.Helper()
	r := e.request(method, path, body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return e.serve(r)
}

// opens is what opens a path: a superuser's token, but for the tenants API.
func (e *env) opens(path string) string {
	if strings.HasPrefix(path, "tenants/") {
		return tenantsKey
	}
	return e.root
}

// want asks as superuser and expects a status; it returns the object that came.
func (e *env) want(status int, method, path string, body any) map[string]any {
	e.Helper()
	a := e.send(e.opens(path), method, path, body)
	if a.status != status {
		e.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
	}
	if len(a.body) == 0 {
		return nil
	}
	return a.object(e.TB)
}

// refused asks as superuser and expects a 400 that names the field, with the text
// in its message.
func (e *env) refused(method, path string, body any, field, text string) {
	e.Helper()
	a := e.send(e.opens(path), method, path, body)
	var fields map[string][]string
	if a.status != http.StatusBadRequest || json.Unmarshal(a.body, &fields) != nil {
		e.Errorf("%s %s %v: %d %s, want 400 with field %s", method, path, body, a.status, a.body, field)
		return
	}
	if !strings.Contains(strings.Join(fields[field], " "), text) || len(fields[field]) == 0 {
		e.Errorf("%s %s %v: %s, want field %s with %q", method, path, body, a.body, field, text)
	}
}

// names lists one member of the results of a list.
func (e *env) names(path, member string) []string {
	e.Helper()
	var out []string
	for _, row := range e.want(200, "GET", path, nil)["results"].([]any) {
		out = append(out, fmt.Sprint(row.(map[string]any)[member]))
	}
	return out
}

// recorder keeps what the audit log is told.
type recorder struct {
	core.Events
	mu   sync.Mutex
	list []core.Event
}

func (r *recorder) Record(ctx context.Context, t core.TenantID, e core.Event) error {
	r.mu.Lock()
	r.list = append(r.list, e)
	r.mu.Unlock()
	return r.Events.Record(ctx, t, e)
}

// logins are sessions by the value of the cookie "login".
type logins struct {
	db    *sqldb.DB
	live  map[string]*core.Session
	ended []core.UserID
}

func (l *logins) Current(r *http.Request) (*core.Session, error) {
	c, err := r.Cookie("login")
	if err != nil {
		return nil, core.ErrNotFound
	}
	s, ok := l.live[c.Value]
	if !ok {
		return nil, core.ErrNotFound
	}
	return s, nil
}

func (l *logins) EndUser(_ context.Context, _ core.TenantID, u core.UserID, _ core.SessionID) error {
	l.ended = append(l.ended, u)
	return nil
}

func (l *logins) SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	return l.db.SessionByID(ctx, t, id)
}

func (l *logins) EndSession(ctx context.Context, t core.TenantID, id core.SessionID) error {
	_, err := l.db.DeleteSession(ctx, t, id)
	return err
}

func (l *logins) RevokeSession(ctx context.Context, t core.TenantID, id core.SessionID) error {
	return l.db.RevokeGrants(ctx, t, oidc.GrantMatch{Session: id})
}

// passwords keeps what it was given.
type passwords struct {
	of   map[core.UserID]string
	kept []core.SessionID
}

func (p *passwords) SetPassword(_ context.Context, _ core.TenantID, u *core.User, password string, keep core.SessionID) error {
	if len(password) < 8 {
		return &core.FieldError{Field: "password", Message: "Use at least 8 characters."}
	}
	if p.of == nil {
		p.of = map[core.UserID]string{}
	}
	p.of[u.ID], p.kept = password, append(p.kept, keep)
	return nil
}

// syntax takes every expression that has a return in it.
type syntax struct{}

func (syntax) Check(src string) error {
	if !strings.Contains(src, "return") {
		return errors.New("line 1: nothing is returned")
	}
	return nil
}

func (syntax) Claims(_ context.Context, _ core.TenantID, m *core.PropertyMapping) []string {
	return []string{"claim-of-" + m.ScopeName}
}

type preview struct{}

func (preview) Preview(_ context.Context, client *core.Client, app *core.Application, user *core.User, _ []string) (map[string]any, []core.MappingFailure, error) {
	out := map[string]any{"aud": client.ClientID, "preferred_username": user.UserName}
	if app != nil {
		out["app"] = app.Slug
	}
	return out, nil, nil
}

func (preview) RecoveryLink(_ context.Context, t *core.Tenant, _ core.UserID, validity time.Duration) (string, error) {
	return t.Origin + "/recovery/use-token/the-secret-for-" + validity.String() + "/", nil
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// flowIDs are the two flows that every provider needs.
type flowIDs struct{ authorization, invalidation any }

func (e *env) flows() flowIDs {
	e.Helper()
	one := func(slug string) any {
		f, found := core.FlowBySlug(e.tenant.UUID, slug)
		if !found {
			e.Fatalf("no flow %s", slug)
		}
		return f.ID
	}
	return flowIDs{one(core.FlowImplicitConsent), one(core.FlowProviderInvalidation)}
}

// with is the body of a provider: the flows, and what is given.
func (f flowIDs) with(body map[string]any) map[string]any {
	out := map[string]any{"authorization_flow": f.authorization, "invalidation_flow": f.invalidation}
	maps.Copy(out, body)
	return out
}

func ids(pk any) []core.MappingID { return []core.MappingID{core.MappingID(fmt.Sprint(pk))} }
