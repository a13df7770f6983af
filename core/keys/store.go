package keys

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// Store finds key pairs.
type Store interface {
	// KeyPair returns core.ErrNotFound where there is none.
	KeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) (*core.KeyPair, error)
	// FormerKeys are those that a provider signed with before it was given another
	// key pair.
	FormerKeys(ctx context.Context, t core.TenantID, id core.ProviderID) ([]core.FormerKey, error)
}

// Use names the providers that a key pair is used by, in order.
type Use struct {
	Signing    []string // sign with it
	Encrypting []string // encrypt to it
	Other      []string // refer to it otherwise
}

// Pairs changes key pairs.
type Pairs interface {
	// KeyPairs lists all, with Former, by name.
	KeyPairs(ctx context.Context, t core.TenantID) ([]core.KeyPair, error)
	KeyPairUse(ctx context.Context, t core.TenantID, id core.KeyPairID) (Use, error)
	// UpdateKeyPair loads a key pair, calls change and saves. It may call change
	// again.
	UpdateKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID, change func(*core.KeyPair) error) (*core.KeyPair, error)
	// RevokeKeyPair is UpdateKeyPair that also notes kids as revoked and ends all
	// that was granted to clients which the pair signs for, or did, in one
	// transaction. It returns how many grants that were.
	RevokeKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID, kids []string, change func(*core.KeyPair) error) (int, error)
	// RevokedKey tells when a key was revoked: core.ErrNotFound for one that was not.
	RevokedKey(ctx context.Context, t core.TenantID, kid string) (time.Time, error)
	// WarnedOfKeyPair notes what was warned of, and reports whether that is new.
	WarnedOfKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID, mark int64) (bool, error)
	// EndAllSessions ends every login of the tenant and counts them.
	EndAllSessions(ctx context.Context, t core.TenantID) (int, error)
}
