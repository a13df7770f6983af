package oidc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// The scopes that mean something to this package. Others only choose mappings.
const (
	scopeOpenID        = "openid"
	scopeOfflineAccess = "offline_access" // OpenID Connect Core §11
)

// scopeMappings are the scope mappings of a client in the order in which they are
// merged: by scope name, and by their own name within one scope.
func (p *Provider) scopeMappings(ctx context.Context, client *core.Client) ([]core.PropertyMapping, error) {
	all, err := p.Store.Mappings(ctx, core.Request(ctx).Tenant.ID, client.Mappings)
	if err != nil {
		return nil, fmt.Errorf("read scope mappings: %w", err)
	}
	all = slices.DeleteFunc(all, func(m core.PropertyMapping) bool { return m.Kind != core.MappingScope })
	slices.SortStableFunc(all, func(a, b core.PropertyMapping) int {
		return strings.Compare(core.Fold(a.ScopeName), core.Fold(b.ScopeName))
	})
	return all, nil
}

// scopeNames lists the scopes that a client may have: those of its mappings, and
// openid.
func scopeNames(mappings []core.PropertyMapping) []string {
	var out []string
	for i := range mappings {
		if s := mappings[i].ScopeName; s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if !slices.Contains(out, scopeOpenID) {
		out = append(out, scopeOpenID)
	}
	return out
}

// grantable are the scopes asked for that the client may have, each once. None
// asked for means all; unknown ones are dropped.
func grantable(asked string, mappings []core.PropertyMapping) []string {
	may := scopeNames(mappings)
	want := strings.Fields(asked)
	if len(want) == 0 {
		return may
	}
	out := []string{}
	for _, s := range want {
		if slices.Contains(may, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
