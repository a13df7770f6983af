package caddymodule

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/oidc"
)

// defaultMappings are the property mappings that every tenant starts with, each with the
// claims that discovery lists for it.
func defaultMappings(ctx context.Context) []core.PropertyMapping {
	all := expression.Defaults()
	op := &oidc.Provider{Expressions: &expression.Evaluator{}}
	for i := range all {
		if all[i].Kind == core.MappingScope {
			all[i].Claims = op.Claims(ctx, core.DefaultTenant, &all[i])
		}
	}
	return all
}
