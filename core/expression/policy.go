package expression

import (
	"context"
	"math/big"

	"github.com/postern-sso/postern/core"
)

// EvaluatePolicy runs a source as an expression policy: it passes where what it
// returns is true in Python's sense. None, and no return at all, is false.
func (e *Evaluator) EvaluatePolicy(ctx context.Context, t core.TenantID, source string, env Env) (passed bool, messages []string, err error) {
	v, err := e.Eval(ctx, t, source, env)
	if err != nil {
		return false, nil, err
	}
	return truthy(v), nil, nil
}

// truthy is Python's bool() of what Eval returns.
func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case int64:
		return v != 0
	case *big.Int:
		return v.Sign() != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return false
}
