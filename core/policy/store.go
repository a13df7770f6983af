package policy

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Store is what decisions rest on.
type Store interface {
	// Rules returns every enabled binding of a tenant, whatever its target, ordered by
	// Order, then by ID.
	Rules(ctx context.Context, t core.TenantID) ([]Rule, error)
	// Entitlements returns those of all applications, ordered by folded name.
	Entitlements(ctx context.Context, t core.TenantID) ([]core.Entitlement, error)
	Denials
}

// Denials finds what was refused.
type Denials interface {
	// Denial returns the event of a refusal by its ID. Unknown, or no longer kept:
	// core.ErrNotFound.
	Denial(ctx context.Context, t core.TenantID, id string) (*core.Event, error)
}

// Expressions runs the source of an expression policy. messages are what it has
// to say to the person. An error means that it was not run to its end.
type Expressions interface {
	EvaluatePolicy(ctx context.Context, t core.TenantID, source string, env expression.Env) (passed bool, messages []string, err error)
}
