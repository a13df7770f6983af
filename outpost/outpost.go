package outpost

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/policy"
)

// Sessions keeps the session of each guarded application beside the login it
// came from.
type Sessions interface {
	// StartChild makes a session of one application under a login and returns the
	// key that its cookie holds.
	StartChild(ctx context.Context, t core.TenantID, parent core.SessionID, app core.ApplicationID) (*core.Session, string, error)
	// Child finds a live one whose login lives too. Anything else is
	// core.ErrNotFound.
	Child(ctx context.Context, t core.TenantID, key string, app core.ApplicationID) (*core.Session, error)
	// SessionByID finds a live session without counting as its use. Anything else
	// is core.ErrNotFound.
	SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error)
	// EndSession ends a session and its children at once.
	EndSession(ctx context.Context, t core.TenantID, id core.SessionID) error
}

// Issuer logs people in.
type Issuer interface {
	// Begin returns the URL at which a browser logs in for app and what must be
	// remembered until it comes back to redirectURI. ctx carries core.RequestInfo.
	Begin(ctx context.Context, app *core.Application, clientID, redirectURI string) (loginURL string, p core.Pending, err error)
	// Redeem consumes the code that came back and returns the login and its user.
	Redeem(ctx context.Context, t core.TenantID, clientID, redirectURI, code string, p core.Pending) (core.SessionID, core.UserID, error)
}

// Outpost is the guard. All fields but AppPasswords, AccessTokens, Fresh, Recheck and Observe
// are required.
type Outpost struct {
	Applications core.Applications
	Users        core.Users
	Sessions     Sessions
	Issuer       Issuer
	Policy       *policy.Engine
	AppPasswords AppPasswords // nil: none lets anybody in
	AccessTokens AccessTokens // nil: none lets anybody in
	Master       *keys.Master // seals the cookie of a login under way
	Cache        *Cache
	Now          func() time.Time
	Log          *slog.Logger
	// Fresh returns an error while what is in memory is older than it may be, because
	// the store that tells of changes is out of reach: then nothing is decided from
	// it. Nil: nobody else changes the store.
	Fresh func() error
	// Recheck is how often an open stream's right to go on is looked at. Zero:
	// half a second.
	Recheck time.Duration
	// Observe, where set, hears of each decision: "allow", "anonymous", "login",
	// "refuse" or "error".
	Observe func(outcome string)
}

// Guard is one place that is guarded: what the configuration says of it. Its
// methods are safe for concurrent use; its fields do not change once it is used.
type Guard struct {
	// Application is the slug of the application that is guarded. Empty: found by
	// host and path; and where none is registered, one is declared for the host.
	Application string
	// AllowGroups are names of groups, one of which a user must be in, whatever
	// else the application asks for. Empty: no such rule.
	AllowGroups []string
	// SkipPath are rules for paths that need no login. See ParseSkip.
	SkipPath []Skip
	// Headers says which headers carry the identity. Default: HeadersAuthentik.
	Headers HeaderSet
	// Own reports whether a path with its query belongs to the identity provider on this
	// host. It is answered by Portal and never by what is guarded. Nil: none does.
	Own func(path, query string) bool
	// Portal answers the paths that Own names.
	Portal http.Handler

	last atomic.Pointer[located]
}

// Invalidate drops from memory what changes of the directory made stale. It is called
// after each commit.
func (o *Outpost) Invalidate(t core.TenantID, changes ...core.Change) {
	o.Cache.Invalidate(t, changes...)
}
