package oidc

import (
	"context"
	"slices"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Preview returns the claims that a client would learn of a user now, with the scopes
// that are named, or with all that it may have where they are nil: what the
// administrator looks at before anybody logs in. app is nil for a provider that no
// application uses; then there is no issuer. It tells each mapping that failed, too.
func (p *Provider) Preview(ctx context.Context, client *core.Client, app *core.Application, user *core.User, scopes []string) (map[string]any, []core.MappingFailure, error) {
	to := &target{client: client, app: app}
	if app == nil {
		to.app = &core.Application{}
	}
	groups, err := p.Users.UserGroups(ctx, core.Request(ctx).Tenant.ID, user.ID)
	if err != nil {
		return nil, nil, err
	}
	mappings, err := p.scopeMappings(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	granted := scopeNames(mappings)
	if scopes != nil {
		granted = slices.DeleteFunc(granted, func(s string) bool { return s != scopeOpenID && !slices.Contains(scopes, s) })
	}
	grant := &Grant{User: user.ID, AuthTime: p.Now(), ACR: acrDefault}
	claims, failed, err := p.runMappings(ctx, to, user, groups, granted, mint{Provider: p, grant: grant, dry: true}, true)
	if err != nil {
		return nil, nil, err
	}
	p.standardClaims(ctx, to, issuance{grant: grant, user: user}, lifetimesOf(client).access, claims)
	if app == nil {
		delete(claims, "iss")
	}
	return claims, failed, nil
}

// maxNames bounds what one mapping adds to claims_supported.
const maxNames = 100

// Claims are the top-level keys that a scope mapping gives for nobody and, where
// it cannot do without a user, for one of whom nothing is known: what it adds to
// claims_supported. One that fails for both adds nothing.
func (p *Provider) Claims(ctx context.Context, t core.TenantID, m *core.PropertyMapping) []string {
	for _, user := range []*core.User{nil, {Attributes: map[string]any{}}} {
		value, err := p.Expressions.Eval(ctx, t, m.Expression, expression.Env{
			User: user, Groups: []core.Group{}, Request: core.Request(ctx), Mapping: m,
		})
		if err != nil {
			continue
		}
		result, _ := value.(map[string]any)
		var out []string
		for name := range result {
			if !reserved(name) && name != "" && len(name) <= 255 {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out[:min(len(out), maxNames)]
	}
	return nil
}
