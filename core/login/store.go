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
	// SetLastLogin is not a change of the directory: it makes no outbox row. It records
	// e, where that is not nil, in the same transaction.
	SetLastLogin(ctx context.Context, t core.TenantID, u core.UserID, at time.Time, e *core.Event) error
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

// Attempts counts failed attempts. Counters are shared by all nodes and survive a
// restart.
type Attempts interface {
	// Failures returns what each counter says: since it was last forgotten, and 0 where
	// its newest failure is older than its window.
	Failures(ctx context.Context, t core.TenantID, counters ...core.Counter) ([]core.Failures, error)
	// Fail adds one to each counter and returns the new counts, in one transaction. Where
	// accept, which may be nil, says no to them, nothing is counted, and it returns nil.
	Fail(ctx context.Context, t core.TenantID, accept func(counts []int) bool, counters ...core.Counter) ([]int, error)
	// Settle ends an attempt that was no failure, in one transaction. It takes one failure
	// back from each key of refund, but never below 0 and without a change of the newest,
	// and forgets all of each key of forget. Absent is no error.
	Settle(ctx context.Context, t core.TenantID, refund, forget []string) error
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
