// Package storagetest holds what every backend must do. A backend's own test
// calls each suite with a function that opens an empty store.
package storagetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/core/session"
)

// Store is a whole directory.
type Store interface {
	core.Tenants
	api.Store
	api.SessionStore
	oidc.Store
	session.Store
	login.Store
	expression.Directory
	keys.Store
	keys.Pairs
	policy.Store

	PolicyByName(ctx context.Context, t core.TenantID, name string) (*core.ExpressionPolicy, error)
	Brands(ctx context.Context, t core.TenantID) ([]core.Brand, error)
	Tenant(ctx context.Context, id core.TenantID) (*core.Tenant, error)
	Changes(ctx context.Context, t core.TenantID, after int64, limit int) ([]core.Change, error)
	LastChange(ctx context.Context, t core.TenantID) (int64, error)
	RecentEvents(ctx context.Context, t core.TenantID, limit int) ([]core.Event, error)
	DeleteExpired(ctx context.Context, t core.TenantID, now time.Time) error
	Ping(ctx context.Context) error
}

// Open opens an empty store that reads the time from now, and closes it at the
// end of the test.
type Open func(t *testing.T, now func() time.Time) Store

// Clock is a time that a test sets.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock, back too.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// The tenants of the tests. Only the first exists in an empty store.
const (
	tenantA = core.DefaultTenant
	tenantB = core.TenantID("t_b")
)

// bench is an open store and the means to fill it.
type bench struct {
	*testing.T
	Store
	clock *Clock
	ctx   context.Context
	t     core.TenantID
}

func start(t *testing.T, open Open) *bench {
	t.Helper()
	clock := NewClock()
	return &bench{T: t, Store: open(t, clock.Now), clock: clock, ctx: t.Context(), t: tenantA}
}

// run makes a table of named tests, each with a store of its own.
func run(t *testing.T, open Open, tests map[string]func(*bench)) {
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(start(t, open))
		})
	}
}

// ok ends the test where err is not nil.
func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// is checks that err is target.
func (b *bench) is(err, target error) {
	b.Helper()
	if !errors.Is(err, target) {
		b.Errorf("error %v, want %v", err, target)
	}
}

// field checks that err refuses a field.
func (b *bench) field(err error, field string) {
	b.Helper()
	var fe *core.FieldError
	if !errors.As(err, &fe) {
		b.Errorf("error %v, want one that refuses %s", err, field)
		return
	}
	if fe.Field != field || fe.Message == "" {
		b.Errorf("refused %q: %q, want %q and a message", fe.Field, fe.Message, field)
	}
}

// equal checks that two values print alike.
func equal[T comparable](b *bench, what string, got, want T) {
	b.Helper()
	if got != want {
		b.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (b *bench) user(name string, groups ...core.GroupID) *core.User {
	b.Helper()
	u := &core.User{UserName: name, DisplayName: name + " of Test", Email: name + "@example.com", Active: true,
		Type: core.UserInternal, Path: "users", Groups: groups}
	b.ok(b.CreateUser(b.ctx, b.t, u))
	return u
}

func (b *bench) group(name string, parents ...core.GroupID) *core.Group {
	b.Helper()
	g := &core.Group{Name: name, Parents: parents}
	b.ok(b.CreateGroup(b.ctx, b.t, g, nil))
	return g
}

func (b *bench) client(id string) *core.Client {
	b.Helper()
	c := &core.Client{ProviderBase: core.ProviderBase{Name: "provider " + id, AuthorizationFlow: "flow"}, ClientID: id,
		Type: core.ClientConfidential, Secret: core.Secret("secret of " + id), AccessValidity: "minutes=10",
		SubMode: core.SubHashedUserID, IssuerMode: core.IssuerPerProvider,
		RedirectURIs: []core.RedirectURI{{Mode: core.MatchStrict, URL: "https://app.test/cb"}}}
	b.ok(b.CreateClient(b.ctx, b.t, c))
	return c
}

func (b *bench) grant(u core.UserID, c *core.Client) *oidc.Grant {
	b.Helper()
	now := b.clock.Now()
	g := &oidc.Grant{ID: oidc.GrantID("grant-" + core.RandomAlphanumeric(8)), ClientID: c.ClientID, Provider: c.ID, User: u,
		Session: "s1", Scopes: []string{"openid", "email"}, Nonce: "n", AuthTime: now, AMR: []string{"pwd"}, ACR: "1",
		Created: now, Expires: now.Add(time.Hour)}
	b.ok(b.SaveGrant(b.ctx, b.t, g))
	return g
}

func (b *bench) code(g *oidc.Grant, plain string) [32]byte {
	b.Helper()
	h := core.Hash(plain)
	b.ok(b.SaveCode(b.ctx, b.t, &oidc.Code{Hash: h, Grant: g.ID, ClientID: g.ClientID, RedirectURI: "https://app.test/cb",
		Challenge: "c", Method: "S256", Expires: b.clock.Now().Add(time.Minute)}, nil, nil))
	return h
}

func (b *bench) refresh(g *oidc.Grant, plain string) [32]byte {
	b.Helper()
	h := core.Hash(plain)
	b.ok(b.ConsumeCode(b.ctx, b.t, b.code(g, "code of "+plain), b.nextRefresh(g, plain)))
	return h
}

func (b *bench) nextRefresh(g *oidc.Grant, plain string) *oidc.RefreshToken {
	now := b.clock.Now()
	return &oidc.RefreshToken{Hash: core.Hash(plain), Grant: g.ID, Issued: now, Expires: now.Add(30 * 24 * time.Hour)}
}

func (b *bench) session(u core.UserID, id core.SessionID, parent core.SessionID) [32]byte {
	b.Helper()
	now := b.clock.Now()
	key := core.Hash("key of " + string(id))
	s := &core.Session{ID: id, User: u, AuthTime: now, Factors: []core.Factor{{Method: "pwd", At: now}}, ACR: "1", Parent: parent,
		Address: "192.0.2.1", UserAgent: "browser", Created: now, LastSeen: now, Expires: now.Add(24 * time.Hour), Idle: time.Hour}
	if parent != "" {
		s.Application = "app"
	}
	b.ok(b.SaveSession(b.ctx, b.t, key, s))
	return key
}

func (b *bench) token(u core.UserID, identifier string) core.Secret {
	b.Helper()
	key := core.Secret("key of " + identifier)
	b.ok(b.CreateToken(b.ctx, b.t, &core.Token{Identifier: identifier, Intent: core.IntentAPI, User: u}, key))
	return key
}

// Remove deletes the tenant that has the name.
func Remove(t testing.TB, db Store, id core.TenantID) {
	t.Helper()
	tenant, err := db.Tenant(t.Context(), id)
	if err == nil {
		err = db.DeleteTenant(t.Context(), id, tenant.UUID)
	}
	if err != nil {
		t.Fatal(err)
	}
}
