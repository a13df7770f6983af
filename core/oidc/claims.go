package oidc

import (
	"context"
	"fmt"
	"slices"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Expressions runs the expressions of property mappings: *expression.Evaluator.
type Expressions interface {
	Eval(ctx context.Context, t core.TenantID, src string, env expression.Env) (any, error)
}

// maxClaims bounds what one mapping may add to a token, in bytes of JSON.
const maxClaims = 64 << 10

// reserved are the claims that say who issued a token, for whom, until when and
// in answer to what. No mapping may set them.
func reserved(name string) bool {
	// However it is spelled: who reads a token may fold case, as Go does.
	switch core.Fold(name) {
	case "iss", "sub", "aud", "exp", "iat", "nbf", "auth_time", "nonce", "azp", "sid",
		"jti", "uid", "scope", "client_id", "active", "at_hash", "c_hash", "s_hash", "events", claimEnds:
		return true
	}
	return false
}

// mappedClaims runs the mappings whose scope was granted and merges what they
// give. A mapping that gives None or no dict adds nothing. Where one that the
// admin wrote fails, all that the admin wrote are left out: one of them may have
// been there to take something away.
func (p *Provider) mappedClaims(ctx context.Context, to *target, user *core.User, groups []core.Group, scopes []string, tokens mint) (map[string]any, error) {
	claims, _, err := p.runMappings(ctx, to, user, groups, scopes, tokens, false)
	return claims, err
}

// runMappings is mappedClaims, and tells what failed. Once one of the admin's did, the
// rest of them only run when all is set: nothing that they give is used. Where tokens is
// nil, mappings make none.
func (p *Provider) runMappings(ctx context.Context, to *target, user *core.User, groups []core.Group, scopes []string, tokens expression.Tokens, all bool) (map[string]any, []core.MappingFailure, error) {
	mappings, err := p.scopeMappings(ctx, to.client)
	if err != nil {
		return nil, nil, err
	}
	info := core.Request(ctx)
	env := expression.Env{
		User: user, Groups: groups, Request: info, Provider: to.client, Application: to.app,
		Context: map[string]any{"oauth_scopes": scopes}, HashedUserID: user.HashedID(info.Tenant.UUID),
		Tokens: tokens,
	}
	if env.Groups == nil {
		env.Groups = []core.Group{} // there are none: nobody is to look again
	}
	results := make([]map[string]any, len(mappings))
	var room []byte
	var failed []core.MappingFailure
	ownFailed := false
	for i := range mappings {
		m := &mappings[i]
		own := m.Managed == ""
		if !slices.Contains(scopes, m.ScopeName) || own && ownFailed && !all {
			continue
		}
		if results[i], err = p.runMapping(ctx, m, env, &room); err != nil {
			p.mappingFailed(ctx, to, user, m, err)
			failed = append(failed, core.MappingFailure{Mapping: *m, Err: err})
			ownFailed = ownFailed || own
		}
	}
	claims := make(map[string]any, 20) // most tokens have less, with the standard ones
	for i, result := range results {
		if result == nil || ownFailed && mappings[i].Managed == "" {
			continue
		}
		expression.Merge(claims, result)
	}
	for name, value := range claims {
		if value == nil || reserved(name) {
			delete(claims, name)
		}
	}
	return claims, failed, nil
}

// runMapping evaluates one mapping. What cannot be written as JSON counts as a
// failure of the mapping, not of the token. room is for the JSON that nobody keeps.
func (p *Provider) runMapping(ctx context.Context, m *core.PropertyMapping, env expression.Env, room *[]byte) (map[string]any, error) {
	value, err := p.Expressions.Eval(ctx, core.Request(ctx).Tenant.ID, m.Expression, env)
	if err != nil {
		return nil, err
	}
	claims, ok := value.(map[string]any)
	if !ok {
		return nil, nil
	}
	if *room, err = appendJSON((*room)[:0], claims); err != nil {
		return nil, fmt.Errorf("the result is not JSON: %w", err)
	}
	if len(*room) > maxClaims {
		return nil, fmt.Errorf("the result has %d bytes of JSON; at most %d are taken", len(*room), maxClaims)
	}
	return claims, nil
}

func (p *Provider) mappingFailed(ctx context.Context, to *target, user *core.User, m *core.PropertyMapping, err error) {
	p.Log.WarnContext(ctx, "oidc: a scope mapping failed", "mapping", m.Name, "client", to.client.ClientID, "error", err, "request", core.Request(ctx).ID)
	record, more := p.failures.take(failure{core.Request(ctx).Tenant.ID, m.ID, to.app.ID}, p.Now())
	if !record {
		return
	}
	consequence := "its claims are left out"
	if m.Managed == "" {
		consequence = "the claims of all mappings that are not built in are left out"
	}
	also := map[string]any{"mapping": string(m.ID), "scope": m.ScopeName, "client_id": to.client.ClientID}
	if more > 0 {
		consequence = fmt.Sprintf("%s; it failed %d more times since the event before this one", consequence, more)
		also["more"] = more
	}
	p.record(ctx, core.Event{
		Action: core.EventMappingException, User: user.ID, UserName: user.UserName, Application: to.app.ID,
		Message: fmt.Sprintf("the scope mapping %q failed: %v; %s", m.Name, err, consequence),
		Context: also,
	})
}
