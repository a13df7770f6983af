package api

import (
	"context"
	"maps"
	"slices"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Evaluated tells what a mapping adds to claims_supported by running it once: for
// nobody and, where it cannot do without a user, for one of whom nothing is known.
type Evaluated struct {
	Evaluator *expression.Evaluator
}

// maxClaims bounds what one mapping adds.
const maxClaims = 100

// Claims are the top-level keys of the result, sorted; none where the mapping
// fails, or gives no object, without a real user.
func (e Evaluated) Claims(ctx context.Context, t core.TenantID, m *core.PropertyMapping) []string {
	for _, user := range []*core.User{nil, {Attributes: map[string]any{}}} {
		result, err := e.Evaluator.Eval(ctx, t, m.Expression, expression.Env{
			User: user, Groups: []core.Group{}, Request: core.Request(ctx), Mapping: m,
		})
		if err != nil {
			continue
		}
		claims, _ := result.(map[string]any)
		names := slices.Sorted(maps.Keys(claims))
		return names[:min(len(names), maxClaims)]
	}
	return nil
}
