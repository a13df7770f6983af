package login

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// Credentials keeps password hashes, in PHC string form, apart from the users
// themselves.
type Credentials interface {
	// PasswordHash is "" for a user without a usable password.
	PasswordHash(ctx context.Context, t core.TenantID, u core.UserID) (string, error)
	// SetPasswordHash also sets PasswordChanged to at, and revokes the grants of
	// the user: refresh tokens outlive their login. An empty hash leaves
	// the user without a usable password.
	SetPasswordHash(ctx context.Context, t core.TenantID, u core.UserID, hash string, at time.Time) error
	// RehashPassword replaces the hash of the same password by a stronger one: only
	// where old is still stored. PasswordChanged stays.
	RehashPassword(ctx context.Context, t core.TenantID, u core.UserID, old, hash string) error
	// SetLastLogin is not a change of the directory: it makes no outbox row.
	SetLastLogin(ctx context.Context, t core.TenantID, u core.UserID, at time.Time) error
}

// Links are single-use links: set-up and recovery. They are tokens of intent
// recovery, kept by hash.
type Links interface {
	SaveLink(ctx context.Context, t core.TenantID, l *Link) error
	// Link finds without using it up: mail scanners fetch links.
	Link(ctx context.Context, t core.TenantID, hash [32]byte) (*Link, error)
	// ConsumeLink uses it up in one statement. A second call: core.ErrConsumed.
	ConsumeLink(ctx context.Context, t core.TenantID, hash [32]byte, now time.Time) (*Link, error)
	// DeleteLinks removes all of a user's links of a purpose.
	DeleteLinks(ctx context.Context, t core.TenantID, u core.UserID, purpose string) error
}

// The purposes of a link.
const (
	LinkSetup    = "initial-setup"
	LinkRecovery = "recovery"
)

// Link is one single-use link, bound to a user and a purpose.
type Link struct {
	Hash    [32]byte
	Purpose string
	User    core.UserID
	Expires time.Time
}

// Setups remember for ever that a tenant's first password was set: an administrator who is
// made anew later is none that set-up is for.
type Setups interface {
	SetupClosed(ctx context.Context, t core.TenantID) (bool, error)
	CloseSetup(ctx context.Context, t core.TenantID) error
}

// Attempts counts failed attempts under a key, such as "account:<user ID>" or
// "address:<prefix>". Counters are shared by all nodes and survive a restart.
type Attempts interface {
	// Failures returns how many failures the key has since the last Forget, and
	// when the newest was. None, or older than window: 0.
	Failures(ctx context.Context, t core.TenantID, key string, window time.Duration) (int, time.Time, error)
	// Fail adds one and returns the new count, in one statement. A count whose
	// newest failure is older than window starts again at 1.
	Fail(ctx context.Context, t core.TenantID, key string, window time.Duration) (int, error)
	// Refund takes one Fail back: it turned out to be no failure. The count does
	// not go below 0, and the time of the newest failure stays. Absent is no error.
	Refund(ctx context.Context, t core.TenantID, key string) error
	Forget(ctx context.Context, t core.TenantID, key string) error
}

// Tokens finds API tokens, of which app passwords are one kind.
type Tokens interface {
	// TokenByKey finds by the hash of the key. Unknown: core.ErrNotFound. It does not look at
	// Expires.
	TokenByKey(ctx context.Context, t core.TenantID, hash [32]byte) (*core.Token, error)
}

// Store is all that this package needs kept.
type Store interface {
	Credentials
	Links
	Setups
	Attempts
	Tokens
}
