package oidc_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/storage/cached"
	"github.com/postern-sso/postern/storage/sqldb"
)

const (
	redirectURI = "https://rp.example/callback"
	secret      = "a-secret-of-the-client-0123456789-0123456789"
	tenantID    = core.DefaultTenant
)

// clock is a time that tests move: that of the machine, which steady follows where a test asks for it.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	ticks  time.Duration
	steady *core.Clock
}

func (c *clock) Now() time.Time {
	if c.steady != nil {
		return c.steady.Now()
	}
	return c.Wall()
}

func (c *clock) Wall() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) read() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.ticks
}

// Add lets time pass.
func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.ticks = c.now.Add(d), c.ticks+d
}

// set moves the machine's clock, and no time passes.
func (c *clock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is an OpenID Provider on a real SQLite directory, behind an HTTP server.
type world struct {
	t      testing.TB
	clock  *clock
	db     *sqldb.DB
	op     *oidc.Provider
	login  *login
	server *httptest.Server
	tenant *core.Tenant

	client *core.Client
	app    *core.Application
	alice  *core.User
	key    *core.KeyPair // ES256
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldAt(t, sqldb.Options{Dir: t.TempDir()})
}

// newWorldAt is newWorld on an engine of choice.
func newWorldAt(t testing.TB, opt sqldb.Options) *world {
	t.Helper()
	// A fraction of a second, so that a time that is rounded up shows.
	w := &world{t: t, clock: &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 900e6, time.UTC)}}
	ctx := context.Background()
	master, err := keys.NewMaster([]byte("a master secret of more than thirty-two bytes"))
	check(t, err)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	opt.Master, opt.Now, opt.Log, opt.Mappings = master, w.clock.Now, log, managedMappings()
	w.db, err = sqldb.Open(ctx, opt)
	check(t, err)
	t.Cleanup(func() { check(t, w.db.Close()) })
	w.tenant, err = w.db.Tenant(ctx, tenantID)
	check(t, err)
	w.login = &login{w: w, answers: map[string]bool{}}
	recent := cached.New(w.db) // as the product has it
	w.op = &oidc.Provider{
		Store: recent, Users: recent, Applications: recent, Sessions: w.db,
		Keys: &keys.Ring{Store: w.db, Now: w.clock.Now}, Master: master,
		Expressions: &expression.Evaluator{Directory: recent, Log: log, Now: w.clock.Now},
		Login:       w.login, Events: w.db, Now: w.clock.Now, Wall: w.clock.Wall, Log: log, Generation: recent.Generation,
	}
	evaluator := &expression.Evaluator{Directory: w.db, Log: log, Now: w.clock.Now}
	w.op.Policy = &policy.Engine{Store: w.db, Expressions: evaluator, Events: w.db, Now: w.clock.Now, Log: log}
	w.db.OnChange = func(t core.TenantID, changes []core.Change) {
		recent.Invalidate(t, changes...)
		w.op.Policy.Invalidate(t, changes...)
	}
	w.server = httptest.NewServer(w.front())
	t.Cleanup(w.server.Close)
	w.tenant.Origin = w.server.URL

	w.alice = w.newUser("alice")
	w.key, err = keys.Generate("ecdsa", "signing", nil, 0, w.clock.Now())
	check(t, err)
	check(t, w.db.CreateKeyPair(ctx, tenantID, w.key))
	w.client, w.app = w.newClient("app", nil)
	return w
}

// front does what the edge does: it states the request and finds the tenant.
func (w *world) front() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		tenant := *w.tenant
		info := &core.RequestInfo{
			Tenant: &tenant, Scheme: "http", Host: r.Host, ClientIP: netip.MustParseAddr("192.0.2.1"),
			URI: r.URL.RequestURI(), ID: "req-1",
		}
		if strings.HasPrefix(r.Host, "b.") { // another tenant on the same process
			b, err := w.db.Tenant(r.Context(), "t_b")
			if err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
				return
			}
			info.Tenant = b
		}
		w.op.ServeHTTP(rw, r.WithContext(core.WithRequest(r.Context(), info)))
	})
}

// ctx is a context of a request at the server's own address.
func (w *world) ctx() context.Context {
	return core.WithRequest(context.Background(), &core.RequestInfo{
		Tenant: w.tenant, Scheme: "http", Host: strings.TrimPrefix(w.server.URL, "http://"), ID: "req-2",
	})
}

func (w *world) newUser(name string) *core.User {
	w.t.Helper()
	u := &core.User{
		UserName: name, DisplayName: strings.ToUpper(name[:1]) + name[1:] + " Example", Email: name + "@example.com",
		Active: true, Type: core.UserInternal, Path: "users",
	}
	check(w.t, w.db.CreateUser(context.Background(), tenantID, u))
	return u
}

func (w *world) newGroup(name string, members ...*core.User) *core.Group {
	w.t.Helper()
	var pks []int64
	for _, u := range members {
		pks = append(pks, u.PK)
	}
	g := &core.Group{Name: name}
	check(w.t, w.db.CreateGroup(context.Background(), tenantID, g, pks))
	return g
}

// newClient makes a confidential client of ES256 with an application of the same
// slug. change may be nil.
func (w *world) newClient(id string, change func(*core.Client)) (*core.Client, *core.Application) {
	w.t.Helper()
	c := &core.Client{
		ProviderBase: core.ProviderBase{Name: id, AuthorizationFlow: w.flow(core.FlowImplicitConsent), InvalidationFlow: w.flow(core.FlowProviderInvalidation)},
		ClientID:     id, Type: core.ClientConfidential, Secret: secret,
		RedirectURIs: []core.RedirectURI{{Mode: core.MatchStrict, URL: redirectURI}},
		CodeValidity: "minutes=1", AccessValidity: "minutes=10", RefreshValidity: "days=30", RefreshThreshold: "seconds=0",
		SubMode: core.SubHashedUserID, IssuerMode: core.IssuerPerProvider, IncludeClaimsInIDToken: true, SigningKey: w.key.ID,
		LogoutMethod: "backchannel",
	}
	for _, m := range w.defaultMappings() {
		c.Mappings = append(c.Mappings, m.ID)
	}
	if change != nil {
		change(c)
	}
	check(w.t, w.db.CreateClient(context.Background(), tenantID, c))
	a := &core.Application{Slug: id, Name: strings.ToUpper(id[:1]) + id[1:] + " <Application>", Provider: c.ID, PolicyMode: "any"}
	check(w.t, w.db.CreateApplication(context.Background(), tenantID, a))
	return c, a
}

func (w *world) updateClient(change func(*core.Client)) {
	w.t.Helper()
	c, err := w.db.UpdateClient(context.Background(), tenantID, w.client.ID, func(c *core.Client) error { change(c); return nil })
	check(w.t, err)
	w.client = c
}

func (w *world) updateUser(u *core.User, change func(*core.User)) {
	w.t.Helper()
	_, err := w.db.UpdateUser(context.Background(), tenantID, u.PK, func(u *core.User) error { change(u); return nil })
	check(w.t, err)
}

func (w *world) flow(slug string) string {
	f, ok := core.FlowBySlug(w.tenant.UUID, slug)
	if !ok {
		w.t.Fatalf("no flow %s", slug)
	}
	return f.ID
}

func (w *world) mapping(scope, managed, source, description string, claims ...string) core.PropertyMapping {
	w.t.Helper()
	m := core.PropertyMapping{
		Kind: core.MappingScope, Managed: managed, Name: scope + " " + core.RandomAlphanumeric(6), Expression: source,
		ScopeName: scope, Description: description, Claims: claims,
	}
	if managed != "" {
		m.Name = managed
	}
	check(w.t, w.db.CreateMapping(context.Background(), tenantID, &m))
	return m
}

// addMapping gives the client another mapping, the admin's own.
func (w *world) addMapping(scope, source string) core.PropertyMapping {
	w.t.Helper()
	m := w.mapping(scope, "", source, "")
	w.updateClient(func(c *core.Client) { c.Mappings = append(c.Mappings, m.ID) })
	return m
}

const managed = "goauthentik.io/providers/oauth2/scope-"

// managedMappings are the default mappings, as every tenant has them.
func managedMappings() []core.PropertyMapping {
	scope := func(name, description, source string, claims ...string) core.PropertyMapping {
		return core.PropertyMapping{
			Kind: core.MappingScope, Managed: managed + name, Name: "authentik default OAuth Mapping: OpenID '" + name + "'",
			ScopeName: name, Description: description, Expression: source, Claims: claims,
		}
	}
	return []core.PropertyMapping{
		scope("openid", "", "return {}"),
		scope("email", "Email address", `return {
    "email": request.user.email,
    "email_verified": False,
}`, "email", "email_verified"),
		scope("profile", "General Profile Information", `return {
    "name": request.user.name,
    "given_name": request.user.name,
    "preferred_username": request.user.username,
    "nickname": request.user.username,
    "groups": [group.name for group in request.user.ak_groups.all()],
}`, "name", "given_name", "preferred_username", "nickname", "groups"),
		scope("offline_access", "Access to request new tokens without interaction", "return {}"),
	}
}

func (w *world) defaultMappings() []core.PropertyMapping {
	w.t.Helper()
	found, _, err := w.db.ListMappings(context.Background(), tenantID, core.MappingScope, api.Query{Limit: 100})
	check(w.t, err)
	return slices.DeleteFunc(found, func(m core.PropertyMapping) bool { return m.Managed == "" })
}

const verifier = "a-code-verifier-of-more-than-forty-three-characters"

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// query builds the query of an authorization request; later pairs replace
// earlier ones, and an empty value takes a parameter out.
func query(pairs ...string) url.Values {
	q := url.Values{
		"client_id": {"app"}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid email profile"},
		"state": {"the-state"}, "nonce": {"the-nonce"}, "code_challenge": {s256(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func (b *browser) authorize(pairs ...string) answer {
	b.w.t.Helper()
	return b.open("/application/o/authorize/?" + query(pairs...).Encode())
}

// response is the authorization response that a browser was led to.
func (a answer) response(t testing.TB) url.Values {
	t.Helper()
	location := a.Header.Get("Location")
	u, err := url.Parse(location)
	if err != nil || a.StatusCode/100 != 3 || !strings.HasPrefix(location, redirectURI) {
		t.Fatalf("not led to the client: %d %q %s", a.StatusCode, location, a.body)
	}
	return u.Query()
}

// code is the code of a successful response.
func (b *browser) code(pairs ...string) string {
	b.w.t.Helper()
	q := b.authorize(pairs...).response(b.w.t)
	if q.Get("code") == "" {
		b.w.t.Fatalf("no code: %v", q)
	}
	return q.Get("code")
}

// tokens is the body of a token answer.
type tokens struct {
	Status      int    `json:"-"`
	Access      string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	Type        string `json:"token_type"`
	Scope       string `json:"scope"`
	Expires     int64  `json:"expires_in"`
	ID          string `json:"id_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	header      http.Header
	raw         map[string]any
}

func (t tokens) String() string {
	return fmt.Sprintf("%d %s %q scope %q, tokens: %t", t.Status, t.Error, t.Description, t.Scope, t.Access != "")
}

// post sends a form with the client's Basic credentials, unless the form names a
// client itself.
func (w *world) post(path string, form url.Values) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.server.URL+"/application/o/"+path, strings.NewReader(form.Encode()))
	check(w.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !form.Has("client_id") {
		r.SetBasicAuth("app", secret)
	}
	return w.browser(nil).do(r)
}

func (w *world) token(form url.Values) tokens {
	w.t.Helper()
	a := w.post("token/", form)
	out := tokens{Status: a.StatusCode, header: a.Header}
	check(w.t, json.Unmarshal([]byte(a.body), &out))
	check(w.t, json.Unmarshal([]byte(a.body), &out.raw))
	return out
}

// exchange redeems a code as the client would. Pairs as in query.
func (w *world) exchange(code string, pairs ...string) tokens {
	w.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			form.Del(pairs[i])
		} else {
			form.Set(pairs[i], pairs[i+1])
		}
	}
	return w.token(form)
}

func (w *world) refresh(token string, pairs ...string) tokens {
	w.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return w.token(form)
}

// login goes the whole way for alice and returns the tokens.
func (w *world) tokens(scope string) tokens {
	w.t.Helper()
	got := w.exchange(w.browser(w.alice).code("scope", scope))
	if got.Error != "" {
		w.t.Fatalf("no tokens: %s: %s", got.Error, got.Description)
	}
	return got
}

func (w *world) userinfo(access string) (int, map[string]any) {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.server.URL+"/application/o/userinfo/", nil)
	check(w.t, err)
	r.Header.Set("Authorization", "Bearer "+access)
	a := w.browser(nil).do(r)
	var claims map[string]any
	if a.StatusCode == http.StatusOK {
		check(w.t, json.Unmarshal([]byte(a.body), &claims))
	}
	return a.StatusCode, claims
}

// claims reads a JWT without a look at its signature.
func claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	check(t, err)
	var out map[string]any
	check(t, json.Unmarshal(payload, &out))
	return out
}

// events are the messages of an action in the audit log.
func (w *world) events(action string) []string {
	w.t.Helper()
	all, err := w.db.RecentEvents(context.Background(), tenantID, 1000)
	check(w.t, err)
	var out []string
	for _, e := range all {
		if e.Action == action {
			out = append(out, e.Message)
		}
	}
	return out
}
