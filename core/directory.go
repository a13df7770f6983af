package core

import "context"

// Users finds people. It is read on most requests; every method takes the
// tenant, and what belongs to another tenant is ErrNotFound.
type Users interface {
	User(ctx context.Context, t TenantID, id UserID) (*User, error)
	// UserByName compares after Fold.
	UserByName(ctx context.Context, t TenantID, name string) (*User, error)
	// UserByLogin finds by user name or, where exactly one user has it, by
	// e-mail address, compared after Fold.
	UserByLogin(ctx context.Context, t TenantID, login string) (*User, error)
	// UserGroups are the groups that a user is in, direct ones and all their
	// ancestors, each once, ordered by folded name. A cycle ends; it does not
	// loop.
	UserGroups(ctx context.Context, t TenantID, id UserID) ([]Group, error)
}

// Applications finds what is guarded and listed. An overlay may answer for
// applications that the Caddyfile declares.
type Applications interface {
	Application(ctx context.Context, t TenantID, id ApplicationID) (*Application, error)
	ApplicationBySlug(ctx context.Context, t TenantID, slug string) (*Application, error)
	// ApplicationByProvider finds the application a provider is assigned to, not
	// counting backchannel ones.
	ApplicationByProvider(ctx context.Context, t TenantID, id ProviderID) (*Application, error)
	// Applications lists all, ordered by folded name.
	Applications(ctx context.Context, t TenantID) ([]Application, error)
	Provider(ctx context.Context, t TenantID, id ProviderID) (Provider, error)
	// ProxyApplications lists the applications with a ProxyProvider, each
	// beside its provider: what an outpost routes by host.
	ProxyApplications(ctx context.Context, t TenantID) ([]ProxyApplication, error)
}

// ProxyApplication is an application and the proxy provider that guards it.
type ProxyApplication struct {
	Application Application
	Provider    ProxyProvider
}

// Change is one line of the outbox: an object of the directory was created,
// updated or deleted. It is written in the transaction of the change itself.
type Change struct {
	Seq  int64  // grows with each change of the tenant; gaps are possible
	Kind string // "user", "group", "role", "membership", "application", "provider", "mapping", "keypair", "former_key", "token", "session", "grant", "policy", "binding", "entitlement", "brand", "settings"; or ChangedAny
	ID   string // the object's ID; of "membership", the user's; of "former_key", the provider's
	Op   string // "create", "update" or "delete"
}

// ChangedAny is the Kind of a Change that stands for any number of others: nobody
// knows what changed, and whatever is in memory of the tenant has to be read again.
const ChangedAny = "any"
