package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-sso/postern/core"
)

// consentLife is how long an answer to the consent page is remembered.
const consentLife = 4 * 7 * 24 * time.Hour

// consent asks the person to agree where the client's flow or the request asks
// for it. An answer given before holds for the same scopes or fewer; a scope
// that is new is asked for again.
func (p *Provider) consent(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target, need core.Need, session *core.Session) error {
	ctx := r.Context()
	info := core.Request(ctx)
	if !a.Consent && !explicitConsent(info.Tenant, to.client) {
		return nil
	}
	before, err := p.Store.Consent(ctx, info.Tenant.ID, session.User, a.ClientID)
	if errors.Is(err, core.ErrNotFound) {
		before = &Consent{User: session.User, ClientID: a.ClientID}
	} else if err != nil {
		return fmt.Errorf("read consent: %w", err)
	} else if !a.Consent && covers(before.Scopes, a.Scopes) {
		return nil
	}
	scopes, err := p.consentScopes(ctx, to.client, a.Scopes, before.Scopes)
	if err != nil {
		return err
	}
	need.Consent = &core.ConsentNeed{ClientID: a.ClientID, Application: to.app.Name, Scopes: scopes, Request: a.ID}
	again, err := p.require(w, r, need)
	if err != nil {
		return err
	}
	if again.User != session.User {
		return fmt.Errorf("consent: the session changed from one user to another: %w", core.ErrStale)
	}
	after := &Consent{
		User: session.User, ClientID: a.ClientID, Expires: p.Now().Add(consentLife),
		Scopes: slices.Concat(before.Scopes, a.Scopes),
	}
	slices.Sort(after.Scopes)
	after.Scopes = slices.Compact(after.Scopes)
	if err := p.Store.SaveConsent(ctx, info.Tenant.ID, after); err != nil {
		return fmt.Errorf("save consent: %w", err)
	}
	return nil
}

// explicitConsent reports whether the client's authorization flow is the
// built-in one that asks.
func explicitConsent(tenant *core.Tenant, client *core.Client) bool {
	flow, ok := core.FlowByID(tenant.UUID, client.AuthorizationFlow)
	return ok && flow.Slug == core.FlowExplicitConsent
}

// consentScopes are the lines of the page. The first description of a scope
// counts; a scope without one is not shown.
func (p *Provider) consentScopes(ctx context.Context, client *core.Client, scopes, before []string) ([]core.ConsentScope, error) {
	mappings, err := p.scopeMappings(ctx, client)
	if err != nil {
		return nil, err
	}
	out := make([]core.ConsentScope, 0, len(scopes))
	for _, scope := range scopes {
		line := core.ConsentScope{Name: scope, Granted: slices.Contains(before, scope)}
		for i := range mappings {
			if m := &mappings[i]; m.ScopeName == scope && line.Description == "" {
				line.Description = m.Description
			}
		}
		out = append(out, line)
	}
	return out, nil
}

// covers reports whether every one of want is in have.
func covers(have, want []string) bool {
	for _, s := range want {
		if !slices.Contains(have, s) {
			return false
		}
	}
	return true
}

// RevokeConsent takes back what a person agreed to for a client, with all that
// was issued on it.
func (p *Provider) RevokeConsent(ctx context.Context, t core.TenantID, user core.UserID, clientID string) error {
	if err := p.Store.DeleteConsent(ctx, t, user, clientID); err != nil {
		return fmt.Errorf("delete consent: %w", err)
	}
	if err := p.Store.RevokeGrants(ctx, t, GrantMatch{User: user, ClientID: clientID}); err != nil {
		return fmt.Errorf("revoke grants: %w", err)
	}
	return nil
}
