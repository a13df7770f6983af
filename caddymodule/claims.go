package caddymodule

import (
	"context"
	"maps"
	"slices"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// claims works out, when a mapping is saved, which claims it adds to claims_supported:
// discovery itself then runs nothing.
type claims struct{ expressions *expression.Evaluator }

// Claims are the keys that the mapping gives for no user. One that needs a user
// to run gives none: nothing depends on the list.
func (c claims) Claims(ctx context.Context, t core.TenantID, m *core.PropertyMapping) []string {
	value, err := c.expressions.Eval(ctx, t, m.Expression, expression.Env{Request: core.Request(ctx), Mapping: m})
	if err != nil {
		return nil
	}
	result, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	return slices.Sorted(maps.Keys(result))
}
