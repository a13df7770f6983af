package expression

import (
	"context"

	"github.com/postern-sso/postern/core"
)

// Policies finds what ak_call_policy calls, of one tenant only.
type Policies interface {
	PolicyByName(ctx context.Context, t core.TenantID, name string) (*core.ExpressionPolicy, error)
}

// Directory is what expressions may read, of one tenant only.
type Directory interface {
	core.Users
	// FindUsers returns the users whose fields are as told, at most limit,
	// in the order of their PK. Keys are "pk", "uuid", "username", "email",
	// "name", "is_active", "type", "path"; a key may end in "__iexact",
	// "__startswith", "__contains" or "__icontains". Another key is an error.
	FindUsers(ctx context.Context, t core.TenantID, where map[string]any, limit int) ([]core.User, error)
	// GroupMembers returns the direct members of a group, at most limit, by PK.
	GroupMembers(ctx context.Context, t core.TenantID, id core.GroupID, limit int) ([]core.User, error)
	Group(ctx context.Context, t core.TenantID, id core.GroupID) (*core.Group, error)
}
