package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/postern-sso/postern/core"
)

// introspect tells a client about a token of its own (RFC 7662). Of any other
// token it says that it is not active, and nothing else.
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	answer, err := p.introspection(r)
	if err != nil {
		p.writeError(w, r, "introspect", err)
		return
	}
	p.writeJSON(w, r, http.StatusOK, answer)
}

func (p *Provider) introspection(r *http.Request) (map[string]any, error) {
	client, token, err := p.clientAndToken(r)
	if err != nil {
		return nil, err
	}
	if client.Type == core.ClientPublic {
		return nil, &Error{Code: codeInvalidClient, Description: "A public client cannot prove who it is, and may not introspect tokens."}
	}
	ctx := r.Context()
	inactive := map[string]any{"active": false}
	at, err := p.readAccessToken(ctx, token)
	switch {
	case err == nil && at.target.client.ClientID != client.ClientID:
		return inactive, nil
	case err == nil:
		at.claims["active"] = true
		at.claims["client_id"] = client.ClientID
		at.claims["token_type"] = "Bearer"
		return at.claims, nil
	case !errors.Is(err, errToken):
		return nil, err
	}
	claims, err := p.introspectRefresh(ctx, client, token)
	if err != nil || claims == nil {
		return inactive, err
	}
	return claims, nil
}

// introspectRefresh is nil for what is not a live refresh token of the client.
func (p *Provider) introspectRefresh(ctx context.Context, client *core.Client, token string) (map[string]any, error) {
	t := core.Request(ctx).Tenant.ID
	rt, g, err := p.liveRefresh(ctx, token)
	if err != nil || rt == nil || g.ClientID != client.ClientID {
		return nil, err
	}
	to, err := p.applicationOf(ctx, client)
	if err != nil {
		return nil, err
	}
	user, _, decision, err := p.mayUse(ctx, to, g, "refresh_token")
	if err != nil || !decision.Allowed {
		return nil, err
	}
	bound, err := p.sessionLives(ctx, t, g)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	p.standardClaims(ctx, to, issuance{grant: g, user: user, nonce: g.Nonce, bound: bound}, 0, claims)
	claims["iat"] = rt.Issued.Unix()
	claims["exp"] = rt.Expires.Unix()
	claims["active"] = true
	claims["scope"] = strings.Join(g.Scopes, " ")
	claims["client_id"] = client.ClientID
	return claims, nil
}

// liveRefresh finds a refresh token that could be used now, or nil.
func (p *Provider) liveRefresh(ctx context.Context, token string) (*RefreshToken, *Grant, error) {
	t := core.Request(ctx).Tenant.ID
	rt, g, err := p.Store.Refresh(ctx, t, core.Hash(token))
	if errors.Is(err, core.ErrNotFound) || err == nil && (g == nil || !rt.Used.IsZero() || !p.Now().Before(rt.Expires)) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read refresh token: %w", err)
	}
	return rt, g, nil
}

// clientAndToken reads what introspection and revocation have in common.
func (p *Provider) clientAndToken(r *http.Request) (*core.Client, string, error) {
	in, err := form(r)
	if err != nil {
		return nil, "", err
	}
	if err := in.err(); err != nil {
		return nil, "", err
	}
	client, err := p.authenticateClient(r, in)
	if err != nil {
		return nil, "", err
	}
	token := in.get("token")
	if token == "" {
		return nil, "", invalidRequest("The parameter token is missing.")
	}
	return client, token, nil
}
