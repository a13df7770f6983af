package keys

import (
	"context"

	"github.com/postern-sso/postern/core"
)

// Store finds key pairs.
type Store interface {
	// KeyPair returns core.ErrNotFound where there is none.
	KeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) (*core.KeyPair, error)
}
