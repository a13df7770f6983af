package api

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/policy"
)

// Query narrows, orders and pages a list. Filters and Order hold the field names
// that the API shows, checked by this package against each resource's list before
// they come here; a store refuses a name that it does not know.
type Query struct {
	// Where: a row must match every key, by any of the key's values. A key may
	// end in "__isnull" with the value "true" or "false".
	Where map[string][]string
	// Only: a row must be one of these, which are the keys that the API shows. Nil: any; empty:
	// none is.
	Only []string
	// Search: a row must hold every word in one of the resource's search
	// fields, compared after core.Fold.
	Search string
	// Order: field names, a leading "-" for descending. The store appends the primary key, so
	// that pages never overlap.
	Order  []string
	Offset int
	Limit  int
}

// Users, below, and its siblings: Create sets ID, PK, Created and Updated in
// what it is given. Update loads the object, calls change and saves, in one
// transaction; an error of change is returned as it is and nothing is saved. A
// name or slug that is taken gives a *core.FieldError that wraps core.ErrExists,
// a reference to what does not exist a *core.FieldError. Delete of what is
// absent is core.ErrNotFound. Every list returns the page and the count of all
// rows that match.

// UserStore is the write side of users.
type UserStore interface {
	core.Users
	UserByPK(ctx context.Context, t core.TenantID, pk int64) (*core.User, error)
	ListUsers(ctx context.Context, t core.TenantID, q Query) ([]core.User, int, error)
	CreateUser(ctx context.Context, t core.TenantID, u *core.User) error
	UpdateUser(ctx context.Context, t core.TenantID, pk int64, change func(*core.User) error) (*core.User, error)
	DeleteUser(ctx context.Context, t core.TenantID, pk int64) error
}

// GroupStore is the write side of groups.
type GroupStore interface {
	Group(ctx context.Context, t core.TenantID, id core.GroupID) (*core.Group, error)
	ListGroups(ctx context.Context, t core.TenantID, q Query) ([]core.Group, int, error)
	// CreateGroup takes the direct members too.
	CreateGroup(ctx context.Context, t core.TenantID, g *core.Group, members []int64) error
	// UpdateGroup replaces the direct members where change returns a list that
	// is not nil. A parent that is the group itself or below it is refused.
	UpdateGroup(ctx context.Context, t core.TenantID, id core.GroupID, change func(*core.Group) (members []int64, err error)) (*core.Group, error)
	DeleteGroup(ctx context.Context, t core.TenantID, id core.GroupID) error
	AddMember(ctx context.Context, t core.TenantID, id core.GroupID, user int64) error
	RemoveMember(ctx context.Context, t core.TenantID, id core.GroupID, user int64) error
	// GroupMembers are the direct members, by PK.
	GroupMembers(ctx context.Context, t core.TenantID, id core.GroupID, limit int) ([]core.User, error)
}

// RoleStore is the write side of roles, and what they come to.
type RoleStore interface {
	Role(ctx context.Context, t core.TenantID, id core.RoleID) (*core.Role, error)
	ListRoles(ctx context.Context, t core.TenantID, q Query) ([]core.Role, int, error)
	CreateRole(ctx context.Context, t core.TenantID, r *core.Role) error
	UpdateRole(ctx context.Context, t core.TenantID, id core.RoleID, change func(*core.Role) error) (*core.Role, error)
	DeleteRole(ctx context.Context, t core.TenantID, id core.RoleID) error
	// Rights is what a user may do by their own roles and those of all their groups.
	Rights(ctx context.Context, t core.TenantID, u core.UserID) (core.Rights, error)
}

// ApplicationStore is the write side of applications.
type ApplicationStore interface {
	core.Applications
	ListApplications(ctx context.Context, t core.TenantID, q Query) ([]core.Application, int, error)
	CreateApplication(ctx context.Context, t core.TenantID, a *core.Application) error
	UpdateApplication(ctx context.Context, t core.TenantID, slug string, change func(*core.Application) error) (*core.Application, error)
	DeleteApplication(ctx context.Context, t core.TenantID, slug string) error
}

// ProviderStore is the write side of providers. A delete takes the provider's
// grants and tokens with it and detaches it from its application.
type ProviderStore interface {
	ListClients(ctx context.Context, t core.TenantID, q Query) ([]core.Client, int, error)
	CreateClient(ctx context.Context, t core.TenantID, c *core.Client) error
	UpdateClient(ctx context.Context, t core.TenantID, id core.ProviderID, change func(*core.Client) error) (*core.Client, error)
	ListProxyProviders(ctx context.Context, t core.TenantID, q Query) ([]core.ProxyProvider, int, error)
	CreateProxyProvider(ctx context.Context, t core.TenantID, p *core.ProxyProvider) error
	UpdateProxyProvider(ctx context.Context, t core.TenantID, id core.ProviderID, change func(*core.ProxyProvider) error) (*core.ProxyProvider, error)
	DeleteProvider(ctx context.Context, t core.TenantID, id core.ProviderID) error
}

// MappingStore is the write side of property mappings.
type MappingStore interface {
	Mapping(ctx context.Context, t core.TenantID, kind core.MappingKind, id core.MappingID) (*core.PropertyMapping, error)
	// Mappings returns those of the IDs that exist, ordered by folded name.
	Mappings(ctx context.Context, t core.TenantID, ids []core.MappingID) ([]core.PropertyMapping, error)
	ListMappings(ctx context.Context, t core.TenantID, kind core.MappingKind, q Query) ([]core.PropertyMapping, int, error)
	CreateMapping(ctx context.Context, t core.TenantID, m *core.PropertyMapping) error
	UpdateMapping(ctx context.Context, t core.TenantID, kind core.MappingKind, id core.MappingID, change func(*core.PropertyMapping) error) (*core.PropertyMapping, error)
	DeleteMapping(ctx context.Context, t core.TenantID, kind core.MappingKind, id core.MappingID) error
}

// KeyPairStore is the write side of key pairs. One that a provider uses cannot
// be deleted: core.ErrInUse.
type KeyPairStore interface {
	KeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) (*core.KeyPair, error)
	ListKeyPairs(ctx context.Context, t core.TenantID, q Query) ([]core.KeyPair, int, error)
	CreateKeyPair(ctx context.Context, t core.TenantID, k *core.KeyPair) error
	UpdateKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID, change func(*core.KeyPair) error) (*core.KeyPair, error)
	DeleteKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) error
	KeyPairUse(ctx context.Context, t core.TenantID, id core.KeyPairID) (keys.Use, error)
	// RevokedKey tells when a key was revoked: core.ErrNotFound for one that was not.
	RevokedKey(ctx context.Context, t core.TenantID, kid string) (time.Time, error)
}

// TokenStore is the write side of API tokens.
type TokenStore interface {
	Token(ctx context.Context, t core.TenantID, identifier string) (*core.Token, error)
	// TokenByKey finds by the hash of the key.
	TokenByKey(ctx context.Context, t core.TenantID, hash [32]byte) (*core.Token, error)
	TokenKey(ctx context.Context, t core.TenantID, identifier string) (core.Secret, error)
	SetTokenKey(ctx context.Context, t core.TenantID, identifier string, key core.Secret) error
	ListTokens(ctx context.Context, t core.TenantID, q Query) ([]core.Token, int, error)
	CreateToken(ctx context.Context, t core.TenantID, tok *core.Token, key core.Secret) error
	UpdateToken(ctx context.Context, t core.TenantID, identifier string, change func(*core.Token) error) (*core.Token, error)
	DeleteToken(ctx context.Context, t core.TenantID, identifier string) error
}

// PolicyStore is the write side of expression policies.
type PolicyStore interface {
	Policy(ctx context.Context, t core.TenantID, id core.PolicyID) (*core.ExpressionPolicy, error)
	ListPolicies(ctx context.Context, t core.TenantID, q Query) ([]core.ExpressionPolicy, int, error)
	CreatePolicy(ctx context.Context, t core.TenantID, p *core.ExpressionPolicy) error
	UpdatePolicy(ctx context.Context, t core.TenantID, id core.PolicyID, change func(*core.ExpressionPolicy) error) (*core.ExpressionPolicy, error)
	// DeletePolicy leaves its bindings, which do not pass from then on.
	DeletePolicy(ctx context.Context, t core.TenantID, id core.PolicyID) error
}

// BindingStore is the write side of bindings. Exactly one of policy, group and user
// is set, and an entitlement takes no policy: else a *core.FieldError.
type BindingStore interface {
	Binding(ctx context.Context, t core.TenantID, id policy.BindingID) (*policy.Binding, error)
	ListBindings(ctx context.Context, t core.TenantID, q Query) ([]policy.Binding, int, error)
	CreateBinding(ctx context.Context, t core.TenantID, b *policy.Binding) error
	UpdateBinding(ctx context.Context, t core.TenantID, id policy.BindingID, change func(*policy.Binding) error) (*policy.Binding, error)
	DeleteBinding(ctx context.Context, t core.TenantID, id policy.BindingID) error
}

// EntitlementStore is the write side of applications' entitlements. A delete takes
// their bindings with it.
type EntitlementStore interface {
	Entitlement(ctx context.Context, t core.TenantID, id core.EntitlementID) (*core.Entitlement, error)
	ListEntitlements(ctx context.Context, t core.TenantID, q Query) ([]core.Entitlement, int, error)
	CreateEntitlement(ctx context.Context, t core.TenantID, e *core.Entitlement) error
	UpdateEntitlement(ctx context.Context, t core.TenantID, id core.EntitlementID, change func(*core.Entitlement) error) (*core.Entitlement, error)
	DeleteEntitlement(ctx context.Context, t core.TenantID, id core.EntitlementID) error
}

// SessionStore lists logins, wherever sessions are kept.
type SessionStore interface {
	// ListSessions lists live logins, without those of guarded applications that hang from
	// them. Filters: uuid, user (a core.UserID), last_ip, last_user_agent, each exact. Order:
	// uuid (by age), last_used, expires, last_ip. A word of the search is in the
	// address, the browser's name or the user's name.
	ListSessions(ctx context.Context, t core.TenantID, q Query) ([]core.Session, int, error)
}

// EventCount is how many events of an action there were from a time on.
type EventCount struct {
	Action string
	Time   time.Time
	Count  int
}

// ApplicationCount is how many events name an application, and of how many users.
type ApplicationCount struct {
	Application   core.ApplicationID
	Events, Users int
}

// BrandStore is the write side of brands and of the tenant's settings. A tenant has
// exactly one default brand: what is made the default takes that from the one that was, and
// the oldest other one follows the one that is deleted. The only one is core.ErrInUse.
type BrandStore interface {
	Brand(ctx context.Context, t core.TenantID, id core.BrandID) (*core.Brand, error)
	ListBrands(ctx context.Context, t core.TenantID, q Query) ([]core.Brand, int, error)
	CreateBrand(ctx context.Context, t core.TenantID, b *core.Brand) error
	UpdateBrand(ctx context.Context, t core.TenantID, id core.BrandID, change func(*core.Brand) error) (*core.Brand, error)
	DeleteBrand(ctx context.Context, t core.TenantID, id core.BrandID) error
	Settings(ctx context.Context, t core.TenantID) (*core.Settings, error)
	UpdateSettings(ctx context.Context, t core.TenantID, change func(*core.Settings) error) (*core.Settings, error)
}

// EventStore reads the audit log.
type EventStore interface {
	core.Events
	Event(ctx context.Context, t core.TenantID, id string) (*core.Event, error)
	ListEvents(ctx context.Context, t core.TenantID, q Query) ([]core.Event, int, error)
	// EventVolume counts what the query matches, in steps of a length.
	EventVolume(ctx context.Context, t core.TenantID, q Query, step time.Duration) ([]EventCount, error)
	TopApplications(ctx context.Context, t core.TenantID, action string, limit int) ([]ApplicationCount, error)
}

// Attempts counts wrong keys: the counters that logins have, under names of their own.
type Attempts interface {
	Failures(ctx context.Context, t core.TenantID, counters ...core.Counter) ([]core.Failures, error)
	Fail(ctx context.Context, t core.TenantID, accept func(counts []int) bool, counters ...core.Counter) ([]int, error)
}

// TenantStore is the registry of tenants, which is one for all of them: its methods take
// no tenant to act in. Only the tenants API and commands call those that write.
type TenantStore interface {
	// RegisteredTenant finds by UUID, one that is not ready too.
	RegisteredTenant(ctx context.Context, uuid string) (*core.Tenant, error)
	ListTenants(ctx context.Context, q Query) ([]core.Tenant, int, error)
	// CreateTenant makes a tenant with all that every tenant starts with. It is ready.
	CreateTenant(ctx context.Context, id core.TenantID, name string) (*core.Tenant, error)
	UpdateTenant(ctx context.Context, id core.TenantID, change func(*core.Tenant) error) (*core.Tenant, error)
	// DeleteTenant removes all that the tenant of the UUID has, and nothing of another one that has
	// its name by now: core.ErrNotFound. The default tenant is refused with a *core.FieldError.
	DeleteTenant(ctx context.Context, id core.TenantID, uuid string) error
	Domain(ctx context.Context, id int64) (*core.Domain, error)
	ListDomains(ctx context.Context, q Query) ([]core.Domain, int, error)
	// CreateDomain sets ID, brings Name into its form, and Primary to what it is.
	CreateDomain(ctx context.Context, d *core.Domain) error
	UpdateDomain(ctx context.Context, id int64, change func(*core.Domain) error) (*core.Domain, error)
	DeleteDomain(ctx context.Context, id int64) error
}

// Store is the write side of the directory. Only this package and the start-up
// code may call it. Every write obeys the context's core.Delegation.
type Store interface {
	UserStore
	GroupStore
	RoleStore
	ApplicationStore
	ProviderStore
	MappingStore
	KeyPairStore
	TokenStore
	PolicyStore
	BindingStore
	EntitlementStore
	BrandStore
	EventStore
	TenantStore
	Attempts
}
